"""Folds as GPU jobs: preempted ones go on, and the model is whole."""

import json
from collections import Counter
from pathlib import Path

import pytest

from doubles import datasets as layouts
from slurm.cluster import Cluster
from slurm.runs import SlurmRun
from slurm.settings import N_GPUS

pytestmark = [pytest.mark.slurm, pytest.mark.slow]
RESULTS = "work/nnunet/results/Dataset001_Organome/OrganomeTrainer__nnUNetPlans__3d_fullres"


def test_five_folds_one_preempted(sound_cluster: Cluster, profile: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    layouts.bodies(tmp_path / "bodies", 5)
    folder.mkdir()
    layouts.config(
        folder / "config.yaml",
        {**layouts.BODIES, "path": "../bodies"},
        train={**layouts.TRAIN, "device": "auto", "n_folds": 5},
        plan=dict(layouts.PLAN),
        resources={"processes": 1, "mem_gb": 6, "runtime_min": 10},
    )
    run = SlurmRun(folder, sound_cluster, profile=profile)
    try:
        process = run.start()
        latest = [folder / RESULTS / f"fold_{fold}" / "checkpoint_latest.pth" for fold in range(5)]
        run.wait_for(lambda: any(path.exists() for path in latest), what="an epoch", within_s=900)
        for node, n_gpus in N_GPUS.items():
            sound_cluster.preempt(node, n_gpus=n_gpus)
        run.finish(process, within_s=1800)
    finally:
        run.clear()
    folds = [json.loads((folder / f"results/folds/{k}.json").read_text()) for k in range(5)]
    assert [fold["n_epochs"] for fold in folds] == [4] * 5
    model = folder / "results/models/tiny"
    assert len(list(model.glob("fold_*/checkpoint_final.pth"))) == 5
    rows = run.jobs("JobID", "State", "AllocTRES", "NodeList")
    folds_of = [row for row in rows if "gres/gpu=1" in row["AllocTRES"].split(",")]
    assert {row["NodeList"] for row in folds_of} <= set(N_GPUS)
    ended = Counter(row["State"] for row in folds_of)
    assert ended.pop("COMPLETED") == 5, rows
    # A fold may use the seconds of grace to stop by itself: it has failed by SLURM's account, and
    # Snakemake submits it again.
    assert ended.keys() and ended.keys() <= {"PREEMPTED", "FAILED"}, rows

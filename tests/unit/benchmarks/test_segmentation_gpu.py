"""The benchmark for GPUs, in its smallest form on a processor; and what only a GPU shows."""

from pathlib import Path

import pytest
import torch

from doubles.places import REPOSITORY

N_VOXELS = 20 * 18 * 24


def run_smoke(folder: Path, monkeypatch: pytest.MonkeyPatch, device: str):
    monkeypatch.syspath_prepend(str(REPOSITORY))
    from benchmarks import segmentation_gpu as bench

    rows, lines = bench.run_size(folder, "smoke", bench.label_one, device=device)
    return bench.table(rows), lines


def test_it_runs_without_a_gpu_and_labels_are_those_of_nnunet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, lines = run_smoke(tmp_path, monkeypatch, "cpu")
    engines = [line.split(" | ")[1] for line in table.splitlines()[2:]]
    assert engines == ["ours", "again", "timed", "stock"]
    assert lines == [
        f"smoke, {other}: 0 of {N_VOXELS} voxels have another label"
        for other in ("nnU-Net", "a second process of ours", "a choice of cuDNN by the clock")
    ]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")
def test_labels_of_a_gpu_repeat_and_hardly_differ_from_those_of_nnunet_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, (of_nnunet, again, _) = run_smoke(tmp_path, monkeypatch, "cuda")
    n_other = int(of_nnunet.split(": ")[1].split()[0])
    assert n_other <= 1e-3 * N_VOXELS
    assert f": 0 of {N_VOXELS} " in again

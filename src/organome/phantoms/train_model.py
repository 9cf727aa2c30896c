"""Train the small phantom model: bodies drawn, network trained, a stock nnU-Net folder written."""

import json
import logging
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path

from organome import __version__
from organome.compute.inference.network import build_network
from organome.domain.models import ModelNote
from organome.domain.organs import N_ORGANS
from organome.domain.schemes import MRSEGMENTATOR
from organome.io.files.atomic import write_text_atomic
from organome.io.models.folders import (
    model_digest,
    read_model,
    read_weights,
    write_model,
    write_note,
)
from organome.phantoms.model.plans import (
    CONFIGURATION,
    PATCH_ZYX,
    SPACING_ZYX_MM,
    phantom_dataset,
    phantom_plans,
)
from organome.phantoms.model.training import Case, PatchSampler, Progress, draw_case, train
from organome.phantoms.score_model import RECORD

logger = logging.getLogger(__name__)

FIRST_TRAINING_SEED = 100_000  # test phantoms and demo cohorts stay below
SAVE_EVERY = 1000  # steps; a training that is killed leaves its latest averaged weights


def run(
    *,
    output: Path,
    seed: int = 1,
    minutes: float = 90.0,
    n_cases: int = 240,
    n_threads: int = 2,
    init: Path | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> None:
    """Train the phantom model.

    Args:
        output: Model folder to write: plans.json, dataset.json, fold_0/checkpoint_final.pth.
        seed: Seeds bodies, weights and patches. The result also depends on how many steps fit
            into the budget, so it is repeatable in kind, not bit for bit.
        minutes: Budget of the optimisation, wall time, after the bodies are drawn.
        n_cases: Training images, one body each.
        n_threads: Threads of the network, and processes that draw bodies.
        init: Model folder to start from; fresh weights when None.
        on_progress: Called a few hundred times.
    """
    import torch

    torch.manual_seed(seed)
    torch.set_num_threads(n_threads)
    cases = draw_cases(FIRST_TRAINING_SEED * seed, n_cases, n_threads)
    plans = phantom_plans()
    network = build_network(plans, CONFIGURATION, n_outputs=N_ORGANS + 1, deep_supervision=True)
    if init is not None:
        network.load_state_dict(read_weights(init)[0])
    network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload] # untyped in torch
    sampler = PatchSampler(cases, PATCH_ZYX, seed)
    start = time.monotonic()
    for progress in train(
        network, sampler, share_used=lambda: (time.monotonic() - start) / (60.0 * minutes)
    ):
        logger.info(
            "event=training_progress step=train_model n_steps=%d share=%.3f loss=%.4f",
            progress.n_steps,
            progress.share,
            progress.loss,
        )
        if on_progress is not None:
            on_progress(progress)
        if progress.share >= 1.0 or progress.n_steps % SAVE_EVERY == 0:
            write_model(
                output,
                plans=plans,
                dataset=phantom_dataset(n_cases),
                configuration=CONFIGURATION,
                weights=[progress.weights],
            )
            _write_note(output)
            _write_record(output, seed, minutes, n_cases, n_threads, init, progress)


def _write_note(folder: Path) -> None:
    """Note what kind of model it is: nobody is to label people with it."""
    model = read_model(folder)
    write_note(
        folder,
        ModelNote(
            name=folder.name,
            digest=model.digest,
            source="organome dev train-model",
            archive_sha256=model.digest,
            verified=True,
            version=None,
            configuration=model.configuration,
            trainer_name="organome",
            n_folds=len(model.weights),
            mirroring_axes=model.mirroring_axes,
            scheme=MRSEGMENTATOR.name,
            labels_as_delivered=None,
            licence="Apache-2.0",
            citation=None,
            made_with={"organome": __version__, "torch": version("torch")},
            for_phantoms=True,
        ),
    )


def _write_record(
    folder: Path,
    seed: int,
    minutes: float,
    n_cases: int,
    n_threads: int,
    init: Path | None,
    progress: Progress,
) -> None:
    """Keep beside the weights what they came from; the card is made from it."""
    record = {
        "seed": seed,
        "budget_minutes": minutes,
        "budget_used": f"{progress.share:.0%}",
        "n_steps": progress.n_steps,
        "n_training_bodies": n_cases,
        "n_threads": n_threads,
        "started_from": "fresh weights" if init is None else f"digest {model_digest(init)}",
        "torch": version("torch"),
        "nnunetv2": version("nnunetv2"),
    }
    write_text_atomic(folder / RECORD, json.dumps(record, indent=2) + "\n")


def draw_cases(first_seed: int, n_cases: int, n_processes: int) -> list[Case]:
    """Draw training cases with consecutive seeds, in parallel, in the order of their seeds."""
    spacing = (SPACING_ZYX_MM[2], SPACING_ZYX_MM[1], SPACING_ZYX_MM[0])
    with ProcessPoolExecutor(n_processes, mp_context=get_context("spawn")) as pool:
        seeds = range(first_seed, first_seed + n_cases)
        return list(pool.map(partial(draw_case, spacing_xyz_mm=spacing), seeds, chunksize=4))

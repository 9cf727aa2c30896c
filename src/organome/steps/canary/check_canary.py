"""check_canary: does this machine label the reference scans as they were labelled?

A GPU of another kind, another driver or another release of a library can move a labelmap a little,
and a broken one can move it far without any error. So each kind of machine labels the canary once
before it labels a cohort, and leaves a verdict that the jobs after it find.
"""

import logging
from pathlib import Path
from typing import Literal

import torch

from organome.compute.inference.loading import choose_device, load_segmenter
from organome.domain.canaries import Canary, Judgement, Question, Tolerance, Verdict
from organome.domain.errors import ScanError, SetupError
from organome.domain.outcomes import JsonValue
from organome.io.canaries.references import check_files, read_canary
from organome.io.canaries.verdicts import read_verdict, verdict_path, write_verdict
from organome.io.machine.machines import read_machine
from organome.io.models import folders as models
from organome.io.tables.schemes import find_scheme
from organome.shards.faults import machine_faults_stop_the_job
from organome.steps.canary.comparison import compare_scans, judge

_logger = logging.getLogger(__name__)


def run(
    *,
    canary: Path,
    model: Path,
    verdicts: Path,
    model_digest: Path | None = None,
    scheme: str = "mrsegmentator",
    device: Literal["auto", "cpu", "cuda"] = "auto",
    tile_step_size: float = 0.5,
    n_threads: int = 1,
    min_dice: float = 0.99,
    max_volume_change: float = 0.01,
    min_volume_ml: float = 5.0,
) -> Verdict:
    """Label the reference scans on this kind of machine, unless that has been done.

    Args:
        canary: Folder that make-canary wrote.
        model: Model folder.
        verdicts: Folder for the verdicts, one file for each kind of machine.
        model_digest: File with the digest that the model must have.
        scheme: What the model's labels mean: a built-in scheme, or a file (.yaml, .json).
        device: Where the network runs.
        tile_step_size: Step of the sliding window as a share of the patch.
        n_threads: Threads of the network on a CPU.
        min_dice: Lowest Dice coefficient of an organ that is no drift.
        max_volume_change: Largest change of an organ's volume that is no drift, as a share.
        min_volume_ml: Organs smaller than this in the reference are not compared, in mL; that one
            of them grows by more than this is drift all the same.

    Returns:
        The verdict, always that the machine held.

    Raises:
        SetupError: The machine drifts; or the canary was made with another model or with other
            settings, or its files are not what they were.
    """
    reference, canary_digest = read_canary(canary)
    digest = _digest_of_model(model, pinned=model_digest)
    meaning = find_scheme(scheme)
    settings: dict[str, JsonValue] = {"scheme": meaning.name, "tile_step_size": tile_step_size}
    _refuse_another(reference, model_digest=digest, settings=settings)
    if min_volume_ml <= 0:
        raise SetupError(f"min_volume_ml is {min_volume_ml:g}, must be above 0")
    question = Question(canary_digest, Tolerance(min_dice, max_volume_change, min_volume_ml))
    try:
        with machine_faults_stop_the_job():
            machine = read_machine(choose_device(device).type)
            verdict = read_verdict(verdicts, machine)
            if verdict is not None and verdict.question == question:
                _log("canary_known", verdict)
            else:
                check_files(canary, reference)
                torch.set_num_threads(n_threads)
                segmenter = load_segmenter(
                    models.read_model(model, expected_digest=digest),
                    device=device,
                    tile_step_size=tile_step_size,
                )
                compared = compare_scans(canary, reference, segmenter, meaning)
                verdict = judge(compared, question=question, canary=reference, machine=machine)
                write_verdict(verdicts, verdict)
                _log("canary_checked", verdict)
    except ScanError as error:
        raise SetupError(f"a scan of the canary cannot be labelled: {error.fact}") from error
    if verdict.judgement is Judgement.DRIFT:
        raise SetupError(
            f"{verdict}; verdict in {verdict_path(verdicts, machine)}, remove it to check again"
        )
    return verdict


def _digest_of_model(model: Path, *, pinned: Path | None) -> str:
    if pinned is None:
        return models.model_digest(model)
    try:
        return pinned.read_text(encoding="utf-8").strip()
    except FileNotFoundError as error:
        raise SetupError(f"{pinned}: no such file, it holds the digest of the model") from error


def _refuse_another(canary: Canary, *, model_digest: str, settings: dict[str, JsonValue]) -> None:
    """Raise if the canary says nothing about labelmaps made with this model and these settings."""
    if canary.model_digest != model_digest:
        raise SetupError(
            f"the canary was made with another model ({canary.model_digest}, now {model_digest});"
            " make it anew (organome make-canary)"
        )
    if dict(canary.settings) != settings:
        raise SetupError(
            f"the canary was made with other settings ({dict(canary.settings)}, now {settings});"
            " make it anew (organome make-canary)"
        )


def _log(event: str, verdict: Verdict) -> None:
    _logger.info(
        "event=%s machine=%s judgement=%s identical=%s n_scans=%d min_dice=%.4f",
        *(event, verdict.machine.kind, verdict.judgement, verdict.identical),
        *(verdict.n_scans, verdict.min_dice),
    )

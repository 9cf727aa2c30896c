"""check_canary: does this machine label the reference scans as they were labelled?

A GPU of another kind, another driver or another release of a library can move a labelmap a little,
and a broken one can move it far without any error. So each kind of machine labels the canary once
before it labels a cohort, and leaves a check that the jobs after it find.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from organome.compute.labelmaps.overlap import organ_differences
from organome.compute.labelmaps.remapping import remap_labelmap
from organome.domain.canaries import (
    Canary,
    CanaryCheck,
    Judgement,
    Machine,
    OrganDifference,
    Question,
    ReferenceScan,
    Tolerance,
)
from organome.domain.errors import ScanError, SetupError
from organome.domain.inference import Device, InferenceSettings, Precision
from organome.domain.outcomes import JsonValue
from organome.domain.schemes import LabelScheme
from organome.io.canaries.references import (
    check_files,
    check_path,
    read_canary,
    read_check,
    write_check,
)
from organome.io.images.image_files import read_image
from organome.io.machine.machines import read_machine
from organome.io.models import folders as models
from organome.io.tables.schemes import find_scheme
from organome.shards.faults import machine_faults_stop_the_job

if TYPE_CHECKING:  # torch takes seconds to load, and most jobs find a check
    from organome.compute.inference.segmenter import Segmenter

_logger = logging.getLogger(__name__)


def run(
    *,
    canary: Path,
    model: Path,
    checks: Path,
    model_digest: Path | None = None,
    scheme: str = "mrsegmentator",
    device: Device = "auto",
    tile_step_size: float = 0.5,
    precision: Precision = Precision.STOCK,
    n_threads: int = 1,
    min_dice: float = 0.99,
    max_volume_change: float = 0.01,
    min_volume_ml: float = 5.0,
) -> CanaryCheck:
    """Label the reference scans on this kind of machine, unless that has been done.

    Args:
        canary: Folder that make-canary wrote.
        model: Model folder.
        checks: Folder for what was found, one file for each kind of machine.
        model_digest: File with the digest that the model must have.
        scheme: What the model's labels mean: a built-in scheme, or a file (.yaml, .json).
        device: Where the network runs.
        tile_step_size: Step of the sliding window as a share of the patch.
        precision: With what numbers the network computes.
        n_threads: Threads of the network on a CPU.
        min_dice: Lowest Dice coefficient of an organ that is not drift.
        max_volume_change: Largest change of an organ's volume that is not drift, as a share.
        min_volume_ml: Organs smaller than this in the reference are not compared, in mL; one of
            them that grows by more than this is drift, too.

    Returns:
        What was found, always that the machine held.

    Raises:
        SetupError: The machine drifts; or the canary was made with another model or with other
            settings, or its files are not what they were.
    """
    reference, canary_digest = read_canary(canary)
    digest = models.read_pinned(model_digest) if model_digest else models.model_digest(model)
    meaning = find_scheme(scheme)
    inference = InferenceSettings(tile_step_size=tile_step_size, precision=precision)
    settings: dict[str, JsonValue] = {
        "scheme": meaning.name,
        "tile_step_size": tile_step_size,
        **inference.of_labels(),
    }
    _refuse_another(reference, model_digest=digest, settings=settings)
    if min_volume_ml <= 0:
        raise SetupError(f"min_volume_ml is {min_volume_ml:g}, must be above 0")
    question = Question(canary_digest, Tolerance(min_dice, max_volume_change, min_volume_ml))
    try:
        with machine_faults_stop_the_job():
            machine = read_machine(device)
            check = read_check(checks, machine)
            if check is not None and check.question == question:
                _log("canary_known", check)
            else:
                check_files(canary, reference)
                segmenter = _load(
                    model,
                    digest=digest,
                    device=device,
                    inference=inference,
                    n_threads=n_threads,
                )
                compared = [_compare(canary, scan, segmenter, meaning) for scan in reference.scans]
                check = _sum_up(compared, question=question, canary=reference, machine=machine)
                write_check(checks, check)
                _log("canary_checked", check)
    except ScanError as error:
        raise SetupError(f"a scan of the canary cannot be labelled: {error.fact}") from error
    if check.judgement is Judgement.DRIFT:
        raise SetupError(f"{check}; see {check_path(checks, machine)}, remove it to check again")
    return check


def _refuse_another(canary: Canary, *, model_digest: str, settings: dict[str, JsonValue]) -> None:
    """Raise if the canary says nothing about labelmaps made with this model and these settings."""
    if canary.model_digest != model_digest:
        raise SetupError(
            f"the canary was made with another model ({canary.model_digest}, now {model_digest});"
            " make it again (organome make-canary)"
        )
    if dict(canary.settings) != settings:
        raise SetupError(
            f"the canary was made with other settings ({dict(canary.settings)}, now {settings});"
            " make it again (organome make-canary)"
        )


def _load(
    model: Path, *, digest: str, device: Device, inference: InferenceSettings, n_threads: int
) -> "Segmenter":
    import torch

    from organome.compute.inference import loading

    torch.set_num_threads(n_threads)
    return loading.load_segmenter(
        models.read_model(model, expected_digest=digest),
        device=device,
        settings=inference,
    )


def _compare(
    folder: Path, scan: ReferenceScan, segmenter: "Segmenter", scheme: LabelScheme
) -> tuple[bool, list[OrganDifference]]:
    """Label a reference scan again and compare.

    Returns:
        Whether the two labelmaps are the same to the last voxel; how they differ, by organ.

    Raises:
        ScanError: It cannot be read, or its labels cannot be understood.
    """
    image = read_image(folder / scan.image, constant=True)
    reference = read_image(folder / scan.labelmap, constant=True)
    labels = segmenter.restore(segmenter.infer(segmenter.prepare(image)))
    labelmap = remap_labelmap(labels, scheme)
    labelmap.CopyInformation(reference)  # one grid, but rounded twice
    identical = np.array_equal(
        sitk.GetArrayViewFromImage(reference), sitk.GetArrayViewFromImage(labelmap)
    )
    found = organ_differences(reference, labelmap, scheme.structures)
    return identical, [replace(difference, scan=scan.scan) for difference in found]


def _sum_up(
    scans: Sequence[tuple[bool, list[OrganDifference]]],
    *,
    question: Question,
    canary: Canary,
    machine: Machine,
) -> CanaryCheck:
    """Sum up all scans.

    Raises:
        SetupError: No organ is large enough to be compared: such a check could not fail.
    """
    tolerance = question.tolerance
    differences = [one for _, of_scan in scans for one in of_scan]
    drifting = [one for one in differences if one.drifts(tolerance)]
    compared = [one for one in differences if one.is_compared(tolerance)]
    if not compared:
        raise SetupError(
            f"no organ of the canary has {tolerance.min_volume_ml:g} mL: nothing to compare"
        )
    return CanaryCheck(
        judgement=Judgement.DRIFT if drifting else Judgement.HELD,
        question=question,
        model_digest=canary.model_digest,
        settings=canary.settings,
        machine=machine,
        n_scans=len(scans),
        n_organs=len(compared),
        identical=all(identical for identical, _ in scans),
        worst=min(drifting or compared, key=lambda one: (one.dice, -one.volume_change)),
        min_dice=min(one.dice for one in compared),
        max_volume_change=max(one.volume_change for one in compared),
    )


def _log(event: str, check: CanaryCheck) -> None:
    _logger.info(
        "event=%s machine=%s judgement=%s identical=%s n_scans=%d min_dice=%.4f",
        *(event, check.machine.kind, check.judgement, check.identical),
        *(check.n_scans, check.min_dice),
    )

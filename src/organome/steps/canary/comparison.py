"""The reference scans of a canary, labelled anew and compared."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from organome.compute.inference.loading import segment
from organome.compute.inference.segmenter import Segmenter
from organome.compute.labelmaps.differences import organ_differences
from organome.compute.labelmaps.remapping import remap_labelmap
from organome.domain.canaries import (
    Canary,
    Judgement,
    OrganDifference,
    Question,
    ReferenceScan,
    Verdict,
)
from organome.domain.errors import SetupError
from organome.domain.machines import Machine
from organome.domain.schemes import LabelScheme
from organome.io.images.image_files import read_image


@dataclass(frozen=True, slots=True)
class ComparedScan:
    """A reference scan that was labelled anew.

    Attributes:
        identical: Whether the two labelmaps are the same to the last voxel.
        differences: How they differ, organ by organ.
    """

    identical: bool
    differences: tuple[OrganDifference, ...]


def compare_scans(
    folder: Path, canary: Canary, segmenter: Segmenter, scheme: LabelScheme
) -> list[ComparedScan]:
    """Label each reference scan anew.

    Args:
        folder: Folder of the canary.
        canary: What it is.
        segmenter: The network.
        scheme: What its labels mean.

    Raises:
        ScanError: A scan cannot be read, or its labels cannot be understood.
    """
    return [_compare_scan(folder, scan, segmenter, scheme) for scan in canary.scans]


def judge(
    scans: Sequence[ComparedScan], *, question: Question, canary: Canary, machine: Machine
) -> Verdict:
    """Sum up all scans.

    Args:
        scans: The canary's scans, compared.
        question: What is asked.
        canary: What was compared with.
        machine: The machine that labelled them anew.

    Raises:
        SetupError: No organ is large enough to be compared: such a check could not fail.
    """
    tolerance = question.tolerance
    differences = [one for scan in scans for one in scan.differences]
    drifting = [one for one in differences if one.drifts(tolerance)]
    compared = [one for one in differences if one.is_compared(tolerance)]
    if not compared:
        raise SetupError(
            f"no organ of the canary has {tolerance.min_volume_ml:g} mL: nothing to compare"
        )
    return Verdict(
        judgement=Judgement.DRIFT if drifting else Judgement.HELD,
        question=question,
        model_digest=canary.model_digest,
        settings=canary.settings,
        machine=machine,
        n_scans=len(scans),
        n_organs=len(compared),
        identical=all(scan.identical for scan in scans),
        worst=min(drifting or compared, key=lambda one: (one.dice, -one.volume_change)),
        min_dice=min(one.dice for one in compared),
        max_volume_change=max(one.volume_change for one in compared),
    )


def _compare_scan(
    folder: Path, scan: ReferenceScan, segmenter: Segmenter, scheme: LabelScheme
) -> ComparedScan:
    image = read_image(folder / scan.image, constant=True)
    reference = read_image(folder / scan.labelmap, constant=True)
    labelmap = remap_labelmap(segment(image, segmenter), scheme)
    labelmap.CopyInformation(reference)  # one grid, but rounded twice
    return ComparedScan(
        identical=np.array_equal(
            sitk.GetArrayViewFromImage(reference), sitk.GetArrayViewFromImage(labelmap)
        ),
        differences=tuple(
            replace(difference, scan=scan.scan)
            for difference in organ_differences(reference, labelmap, scheme.structures)
        ),
    )

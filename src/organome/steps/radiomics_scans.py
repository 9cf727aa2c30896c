"""One scan's radiomics: its files -> rows of the table. It runs in a process of its own."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from organome.compute.faces import share_grid
from organome.compute.fat_fraction import fat_fraction
from organome.compute.radiomics.extraction import RegionFeatures, extract_features
from organome.compute.radiomics.pyradiomics_engine import extract_by_pyradiomics
from organome.domain.errors import ScanError
from organome.domain.organs import ORGANS
from organome.domain.outcomes import OrganReason, Reason, Status
from organome.domain.schemes import scheme_by_name
from organome.steps.measure_volumes import read_published
from organome.steps.radiomics_plans import Plan

Row = dict[str, Any]

_PERCENT = 100.0


@dataclass(frozen=True, slots=True)
class ScanJob:
    """What is needed to measure a scan.

    Attributes:
        scan: Its key.
        labelmap: File of its labels.
        images: Name and files of each image that it has; a fat fraction has fat and water.
        scheme: Label scheme that the labels came in.
        plans: What is to be measured.
    """

    scan: str
    labelmap: Path
    images: tuple[tuple[str, tuple[Path, ...]], ...]
    scheme: str
    plans: tuple[Plan, ...]


def measured_rows(job: ScanJob) -> list[Row]:
    """Measure a scan: a row per planned contrast and organ.

    Raises:
        ScanError: If an image does not lie on the grid of the labelmap, or a file is broken.
    """
    labelmap = read_published(job.labelmap)
    files = dict(job.images)
    rows: list[Row] = []
    for plan in job.plans:
        if plan.contrast not in files:
            rows += missing_rows(job.scan, [plan], Reason.CONTRAST_MISSING, status=Status.DONE)
            continue
        image, labels = _read(files[plan.contrast], labelmap)
        if plan.settings is None:
            found = extract_by_pyradiomics(image, labels, plan.parameters)
        else:
            found = extract_features(image, labels, plan.settings)
        rows += _rows(job, plan, found)
    return rows


def missing_rows(
    scan: str, plans: Sequence[Plan], reason: Reason, *, status: Status = Status.FAILED
) -> Iterator[Row]:
    """Make the rows of a scan that was not measured."""
    for plan in plans:
        for organ in ORGANS:
            yield {
                **_key(scan, plan, organ.label, organ.name),
                "status": status.value,
                "na_reason": reason.value,
            }


def _read(paths: Sequence[Path], labelmap: sitk.Image) -> tuple[sitk.Image, sitk.Image]:
    images = [read_published(path) for path in paths]
    for image in images:
        if not share_grid(labelmap, image):
            raise ScanError(
                Reason.LABELMAP_OFF_GRID,
                f"labelmap of {labelmap.GetSize()} voxels is not on the grid of the image of "
                f"{image.GetSize()}",
            )
    if len(images) == 1:
        return images[0], labelmap
    percent_zyx = fat_fraction(*images) * _PERCENT
    without_signal = np.isnan(percent_zyx)
    labels_zyx = sitk.GetArrayFromImage(labelmap)
    labels_zyx[without_signal] = 0
    percent_zyx[without_signal] = 0
    made = [sitk.GetImageFromArray(each) for each in (percent_zyx, labels_zyx)]
    for each in made:
        each.CopyInformation(labelmap)
    return made[0], made[1]


def _rows(job: ScanJob, plan: Plan, found: dict[int, RegionFeatures]) -> Iterator[Row]:
    scheme = scheme_by_name(job.scheme)
    for organ in ORGANS:
        row = {**_key(job.scan, plan, organ.label, organ.name), "status": Status.DONE.value}
        region = found.get(organ.label)
        if region is None and not scheme.covers(organ):
            yield {**row, "na_reason": OrganReason.NOT_IN_SCHEME.value}
            continue
        if region is None:
            yield {**row, "n_voxels": 0, "na_reason": OrganReason.NOT_FOUND.value}
            continue
        yield {
            **row,
            "n_voxels": region.n_voxels,
            "na_reason": region.reason and region.reason.value,
            **{name: None if np.isnan(value) else value for name, value in region.values.items()},
        }


def _key(scan: str, plan: Plan, label: int, organ: str) -> Row:
    return {
        "scan": scan,
        "label": label,
        "organ": organ,
        "contrast": plan.contrast,
        "engine": plan.engine.value,
        "settings_digest": plan.digest,
    }

"""One scan's radiomics: its files -> rows of the table."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from organome.compute.dixon.fat_fraction import fat_fraction
from organome.compute.geometry.grids import share_grid
from organome.compute.radiomics.extraction import RegionFeatures, extract_features
from organome.compute.radiomics.pyradiomics_engine import extract_by_pyradiomics
from organome.domain.contrasts import FatWater
from organome.domain.errors import ScanError
from organome.domain.organs import Organ
from organome.domain.outcomes import FeatureReason, JsonValue, OrganReason, Outcome, Reason, Status
from organome.domain.radiomics_tables import FAT_FRACTION
from organome.domain.rows import scan_key_values
from organome.domain.scans import Contrast, Scan
from organome.domain.schemes import LabelScheme
from organome.io.images.image_files import read_published
from organome.io.images.labelmaps import labelmap_identity, labelmap_path, read_labelmap
from organome.steps.radiomics.plans import Plan

Row = dict[str, Any]

_PERCENT = 100.0


@dataclass(frozen=True, slots=True)
class ScanImages:
    """Where the images and labelmaps of a shard are.

    Attributes:
        images: Folder of the shard that prepare_images published.
        labelmaps: Folder of the shard that segment_organs published.
        prepared: Outcomes of prepare_images by scan key.
    """

    images: Path
    labelmaps: Path
    prepared: Mapping[str, Outcome]

    def labels(self, scan: Scan) -> sitk.Image:
        """Read the labels of a scan.

        Raises:
            SetupError: If they are gone: then the run is at fault, not the scan.
            ScanError: If they are broken.
        """
        return read_labelmap(labelmap_path(self.labelmaps, scan.scan))

    def labels_identity(self, scan: Scan) -> JsonValue:
        """Tell whether the labels of a scan are still the same: GPUs differ in single voxels."""
        return labelmap_identity(labelmap_path(self.labelmaps, scan.scan))

    def fingerprint(self, scan: Scan) -> str:
        """Tell what the images of a scan depend on."""
        return self.prepared[scan.scan].fingerprint

    def contrasts(self, scan: Scan) -> tuple[str, ...]:
        """Name the images of a scan that can be measured; exchanged ones make no fat fraction."""
        facts = self.prepared[scan.scan].facts
        found = tuple(facts.get("contrasts", ()))
        both = {Contrast.FAT, Contrast.WATER} <= set(found)
        is_swapped = facts.get("fat_water") == FatWater.SWAPPED
        return (*found, FAT_FRACTION) if both and not is_swapped else found

    def read(
        self, scan: Scan, contrast: str, labelmap: sitk.Image
    ) -> tuple[sitk.Image, sitk.Image]:
        """Read an image and give it with its labels; a fat fraction is made, in percent.

        Where there is no signal there is no fat fraction, so there are no labels.

        Raises:
            ScanError: If an image does not lie on the grid of the labelmap, or a file is broken.
        """
        sources = (Contrast.FAT, Contrast.WATER) if contrast == FAT_FRACTION else (contrast,)
        images = [
            read_published(self.images / f"{scan.scan}_{source}.nii.gz") for source in sources
        ]
        for image in images:
            if not share_grid(labelmap, image):
                raise ScanError(
                    Reason.LABELMAP_OFF_GRID,
                    f"labelmap of {labelmap.GetSize()} voxels is not on the grid of the image of "
                    f"{image.GetSize()}",
                )
        if len(images) == 1:
            return images[0], labelmap
        fat, water = images
        return _fat_percent(fat, water, labelmap)


def measured_rows(
    scan: Scan, images: ScanImages, plans: Sequence[Plan], scheme: LabelScheme
) -> Iterator[Row]:
    """Measure a scan: a row per planned contrast and organ.

    Args:
        scan: The scan.
        images: Where its files are.
        plans: What is to be measured.
        scheme: Label scheme of the labels; it says which organs there are rows for.

    Raises:
        ScanError: If an image does not lie on the grid of the labelmap, or a file is broken.
    """
    labelmap = images.labels(scan)
    truncated = labels_on_faces(labelmap)
    for plan in plans:
        if plan.contrast not in images.contrasts(scan):
            missing = Reason.CONTRAST_MISSING
            yield from missing_rows(scan, [plan], scheme.structures, missing, status=Status.DONE)
            continue
        found = region_features(*images.read(scan, plan.contrast, labelmap), plan)
        for organ in scheme.structures:
            yield {
                **row_key(scan, plan, organ.label, organ.name),
                "status": Status.DONE.value,
                **_organ_values(organ, scheme, found.get(organ.label), truncated),
            }


def region_features(
    image: sitk.Image, labelmap: sitk.Image, plan: Plan
) -> dict[int, RegionFeatures]:
    """Measure an image by a plan."""
    if plan.settings is None:
        return extract_by_pyradiomics(image, labelmap, plan.parameters)
    return extract_features(image, labelmap, plan.settings.on_grid(image.GetSpacing()))


def missing_rows(
    scan: Scan,
    plans: Sequence[Plan],
    organs: Sequence[Organ],
    reason: Reason,
    *,
    status: Status = Status.FAILED,
) -> Iterator[Row]:
    """Make the rows of a scan that was not measured."""
    for plan in plans:
        for organ in organs:
            yield {
                **row_key(scan, plan, organ.label, organ.name),
                "status": status.value,
                "na_reason": reason.value,
            }


def labels_on_faces(labelmap: sitk.Image) -> frozenset[int]:
    """Name the labels that reach a face of the image."""
    labels_zyx = sitk.GetArrayViewFromImage(labelmap)
    faces = (labels_zyx.take(end, axis) for axis in range(3) for end in (0, -1))
    return frozenset(int(label) for face in faces for label in np.unique(face))


def feature_values(region: RegionFeatures) -> Row:
    """Make the part of a row that is of one region; what is no number is null."""
    values = {name: value if isfinite(value) else None for name, value in region.values.items()}
    reason = region.reason
    if reason is None and None in values.values():
        reason = FeatureReason.UNDEFINED
    return {"n_voxels": region.n_voxels, "na_reason": reason and reason.value, **values}


def row_key(scan: Scan, plan: Plan, label: int, organ: str) -> Row:
    """Make the part of a row that is there whatever becomes of the organ."""
    return {
        **scan_key_values(scan),
        "contrast": plan.contrast,
        "label": label,
        "organ": organ,
        "engine": plan.engine.value,
        "settings_digest": plan.digest,
    }


def _organ_values(
    organ: Organ, scheme: LabelScheme, region: RegionFeatures | None, truncated: frozenset[int]
) -> Row:
    if region is not None:
        return {"truncated": organ.label in truncated, **feature_values(region)}
    if scheme.covers(organ):
        return {"n_voxels": 0, "na_reason": OrganReason.NOT_FOUND.value}
    return {"na_reason": OrganReason.NOT_IN_SCHEME.value}


def _fat_percent(
    fat: sitk.Image, water: sitk.Image, labelmap: sitk.Image
) -> tuple[sitk.Image, sitk.Image]:
    percent_zyx = fat_fraction(fat, water) * _PERCENT
    without_signal = np.isnan(percent_zyx)
    labels_zyx = sitk.GetArrayFromImage(labelmap)
    labels_zyx[without_signal] = 0
    percent_zyx[without_signal] = 0
    made = [sitk.GetImageFromArray(each) for each in (percent_zyx, labels_zyx)]
    for each in made:
        each.CopyInformation(labelmap)
    return made[0], made[1]

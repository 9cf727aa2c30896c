"""Deliver phantom images as files: by BIDS names, or as a plain folder with a list."""

from pathlib import Path
from typing import Final

import SimpleITK as sitk

from organome.domain.scans import Contrast
from organome.io.images.image_files import write_image
from organome.phantoms.delivery.cohort import Visit
from organome.phantoms.delivery.defects import Defect
from organome.phantoms.delivery.formats import Format, PhantomSeries
from organome.phantoms.delivery.records import (
    DeliveredImage,
    DeliveredScan,
    labelmap_name,
)

# BIDS has no entity for Dixon contrasts; ``part-`` with the suffix of the German National
# Cohort's converter (TPTBox).
BIDS_ENDINGS: Final = {
    Contrast.IN_PHASE: "part-inphase_vibe",
    Contrast.OPPOSED_PHASE: "part-outphase_vibe",
    Contrast.FAT: "part-fat_vibe",
    Contrast.WATER: "part-water_vibe",
    Contrast.T1: "T1w",
    Contrast.T2: "T2w",
    Contrast.CT: "ct",
}
# Every format that is read shows up, whoever is in the cohort.
FILE_SUFFIXES: Final = {"dixon": ".nii.gz", "t1": ".nrrd", "t2": ".mha", "ct": ".nii.gz"}


def deliver_bids(
    series: tuple[PhantomSeries, ...],
    visit: Visit,
    *,
    protocol: str,
    defect: Defect | None,
    output: Path,
) -> DeliveredScan:
    """Write the images of one protocol below ``bids/sub-*/ses-*/``."""
    stem = f"sub-{visit.participant}_ses-{visit.instance}"
    folder = Path(Format.BIDS, f"sub-{visit.participant}", f"ses-{visit.instance}")
    images = []
    for one in series:
        kind = "ct" if one.contrast is Contrast.CT else "anat"
        path = folder / kind / f"{stem}_{BIDS_ENDINGS[one.contrast]}.nii.gz"
        write_image(output / path, one.image)
        images.append(DeliveredImage(path.as_posix(), one.contrast))
    return DeliveredScan(Format.BIDS, protocol, tuple(images), defect)


def deliver_files(
    series: tuple[PhantomSeries, ...],
    visit: Visit,
    *,
    protocol: str,
    defect: Defect | None,
    output: Path,
    labelmap: sitk.Image | None,
) -> DeliveredScan:
    """Write the images of one protocol below ``nifti/``, each protocol in a format of its own.

    Args:
        series: What to write.
        visit: Who and when.
        protocol: What was acquired.
        defect: What was planted in them.
        output: The phantom folder.
        labelmap: Delivered with the images, turned onto their grid; None: none is delivered.
    """
    labelmap_path = None
    if labelmap is not None:
        labelmap_path = Path(Format.NIFTI, "labelmaps", labelmap_name(visit, protocol)).as_posix()
        write_image(output / labelmap_path, _turned_like(labelmap, series[0].image))
    images = []
    for one in series:
        name = f"{visit.participant}_{visit.instance}_{protocol}_{one.contrast}"
        path = Path(Format.NIFTI, "images", name + FILE_SUFFIXES[protocol])
        write_image(output / path, one.image)
        images.append(DeliveredImage(path.as_posix(), one.contrast, labelmap_path))
    return DeliveredScan(Format.NIFTI, protocol, tuple(images), defect)


def _turned_like(labelmap: sitk.Image, image: sitk.Image) -> sitk.Image:
    axes = sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(image.GetDirection())
    turned: sitk.Image = sitk.DICOMOrient(labelmap, axes)
    return turned

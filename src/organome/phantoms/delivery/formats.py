"""Formats in which a phantom cohort is delivered, and its images on their way there."""

from dataclasses import dataclass
from enum import StrEnum

import SimpleITK as sitk

from organome.domain.scans import Contrast


class Format(StrEnum):
    """How a phantom cohort is delivered; each format is a cohort of its own."""

    UKB = "ukb"  # zips of Dixon DICOM
    CT = "ct"  # CT as DICOM series, listed in a TSV
    BIDS = "bids"  # NIfTI, named by BIDS entities
    NIFTI = "nifti"  # NIfTI, NRRD and MetaImage files, listed in a TSV

    @property
    def cohort(self) -> str:
        """Name of the cohort, such as ``phantom_ukb``."""
        return f"phantom_{self.value}"

    @property
    def array(self) -> str:
        """Repeat within the visit of all its scans: UK Biobank counts from 0, others from 1."""
        return "0" if self is Format.UKB else "1"


@dataclass(frozen=True, slots=True)
class PhantomSeries:
    """One image of one contrast.

    Attributes:
        contrast: What it shows.
        image: Voxels and grid.
        station: Table position counted from the head; None for an image that is not part of one.
        take: 1, or 2 for a station that was acquired again.
        slice_order: Slice indices in the order in which they are numbered; all, upwards, if None.
            Slices left out get lost.
    """

    contrast: Contrast
    image: sitk.Image
    station: int | None = None
    take: int = 1
    slice_order: tuple[int, ...] | None = None

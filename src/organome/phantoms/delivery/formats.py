"""Formats in which a phantom cohort is delivered."""

from enum import StrEnum


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

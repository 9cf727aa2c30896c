"""The neck-to-knee Dixon protocol of UK Biobank, as prescribed at the scanner.

What is delivered may differ (43 slices for 44, a station twice): decisions about real scans are
made from DICOM headers, never from this table. It says what to expect and how to imitate it.

Source: series, matrices and slice counts from a delivered archive as tabulated in the Broad
Institute's ml4h ``ingest_mri.py``; slice spacings from its ``station_z_scales``, from recoh's
``SERIES_DIM`` and from Table 3 of Kart et al. 2021 (preprint rs-1840125), which also gives the
acquisition; size of the stitched product from recoh.
"""

from dataclasses import dataclass
from typing import Final

from organome.domain.scans import DIXON_CONTRASTS, Contrast

DIXON_FIELD: Final = "20201"
PANCREAS_FIELD: Final = "20202"  # one 3D T1 VIBE volume, and a copy normalised on the scanner
# One slice, or a few, of several echoes, by what is planned on it and how it is acquired; of one
# visit the first that can be used counts. IDEAL has the lower flip angle, so less of T1.
MULTI_ECHO_FIELDS: Final = {
    "20254": "pdff_liver_ideal",
    "20203": "pdff_liver",
    "20260": "pdff_pancreas",
}
PIXEL_MM: Final = 500.0 / 224.0  # both directions; 2.232142857


@dataclass(frozen=True, slots=True)
class Station:
    """One table position.

    Attributes:
        number: Counted from the head, 1 to 6.
        n_columns: Pixels from right to left.
        n_rows: Pixels from front to back.
        n_slices: Slices, all axial.
        slice_mm: Thickness of a slice and distance to the next, without a gap.
        breath_hold: Acquired in one breath-hold of 17 s.
    """

    number: int
    n_columns: int
    n_rows: int
    n_slices: int
    slice_mm: float
    breath_hold: bool

    @property
    def extent_mm(self) -> float:
        """Length of the station along the body, from outer face to outer face."""
        return self.n_slices * self.slice_mm

    def series_number(self, contrast: Contrast) -> int:
        """DICOM series number: 1 to 24, in-phase, opposed-phase, fat, water in each station."""
        return 4 * (self.number - 1) + DIXON_CONTRASTS.index(contrast) + 1

    def series_description(self, contrast: Contrast) -> str:
        """DICOM series description, such as ``Dixon_BH_17s_W``."""
        hold = "BH_17s" if self.breath_hold else "noBH"
        return f"Dixon_{hold}_{SERIES_SUFFIXES[contrast]}"


# How phantoms have several echoes, after IDEAL at 1.5 T; headers of a scan say how it was acquired.
MULTI_ECHO_TIMES_MS: Final = (1.2, 3.2, 5.2, 7.2, 9.2, 11.2)
MULTI_ECHO_REPETITION_TIME_MS: Final = 14.0
MULTI_ECHO_FLIP_ANGLE_DEG: Final = 5.0
MULTI_ECHO_PIXEL_MM: Final = 1.72
MULTI_ECHO_SIZE_XY: Final = (256, 232)
MULTI_ECHO_SLICE_MM: Final = 10.0

# How all stations are acquired.
REPETITION_TIME_MS: Final = 6.69
OPPOSED_PHASE_ECHO_TIME_MS: Final = 2.39  # the first echo
IN_PHASE_ECHO_TIME_MS: Final = 4.77  # the second
FLIP_ANGLE_DEG: Final = 10.0
PIXEL_BANDWIDTH_HZ: Final = 440.0
FIELD_STRENGTH_T: Final = 1.5  # nominal; Siemens writes 1.5
MANUFACTURER: Final = "SIEMENS"
MODEL_NAME: Final = "Aera"

SERIES_SUFFIXES: Final = dict(zip(DIXON_CONTRASTS, ("in", "opp", "F", "W"), strict=True))
STATIONS: Final = (
    Station(number=1, n_columns=224, n_rows=168, n_slices=64, slice_mm=3.0, breath_hold=False),
    Station(number=2, n_columns=224, n_rows=174, n_slices=44, slice_mm=4.5, breath_hold=True),
    Station(number=3, n_columns=224, n_rows=174, n_slices=44, slice_mm=4.5, breath_hold=True),
    Station(number=4, n_columns=224, n_rows=174, n_slices=44, slice_mm=4.5, breath_hold=True),
    Station(number=5, n_columns=224, n_rows=162, n_slices=72, slice_mm=3.5, breath_hold=False),
    Station(number=6, n_columns=224, n_rows=156, n_slices=64, slice_mm=4.0, breath_hold=False),
)
STITCHED_SIZE_XYZ: Final = (224, 174, 370)
STITCHED_SLICE_MM: Final = 3.0
STITCHED_EXTENT_MM: Final = STITCHED_SIZE_XYZ[2] * STITCHED_SLICE_MM  # 1110 mm
# The extents add up to 1294 mm; that the five seams share the rest equally is our inference.
OVERLAP_MM: Final = (sum(station.extent_mm for station in STATIONS) - STITCHED_EXTENT_MM) / 5.0

"""The grids of UK Biobank's six Dixon stations, laid along a phantom from the neck to the knees."""

from itertools import accumulate
from typing import Final

from organome.domain import ukb_protocol
from organome.domain.ukb_protocol import OVERLAP_MM, PIXEL_MM, STATIONS, Station
from organome.phantoms.rendering.fields_of_view import axial_grid
from organome.phantoms.rendering.render import SampledGrid

# Upper face of the first station above the femoral heads; the last one then ends at -450 mm. The
# table moves by fixed steps from the landmark, so the coverage does not scale with height.
TOP_MM: Final = 660.0


def station_grids(*, reduce: int = 1) -> tuple[SampledGrid, ...]:
    """Lay the stations from the neck to the knees, each overlapping the one before.

    Args:
        reduce: In-plane pixels are so many times larger and fewer; 1 is the true matrix. Slices
            stay true: their number and spacing per station are what makes stitching hard.

    Returns:
        One grid per station, station 1 (neck) first; LPS, identity direction.
    """
    steps_mm = (station.extent_mm - OVERLAP_MM for station in STATIONS[:-1])
    tops_mm = accumulate(steps_mm, lambda top_mm, step_mm: top_mm - step_mm, initial=TOP_MM)
    return tuple(
        _station_grid(station, top_mm=top_mm, reduce=reduce)
        for station, top_mm in zip(STATIONS, tops_mm, strict=True)
    )


def stitched_grid(*, reduce: int = 1) -> SampledGrid:
    """Grid that covers all stations: the largest matrix, the finest slices; 224 x 174 x 370."""
    return axial_grid(
        size_xyz=ukb_protocol.STITCHED_SIZE_XYZ,
        pixel_mm=PIXEL_MM,
        slice_mm=ukb_protocol.STITCHED_SLICE_MM,
        bottom_mm=TOP_MM - ukb_protocol.STITCHED_EXTENT_MM,
        reduce=reduce,
    )


def _station_grid(station: Station, *, top_mm: float, reduce: int) -> SampledGrid:
    return axial_grid(
        size_xyz=(station.n_columns, station.n_rows, station.n_slices),
        pixel_mm=PIXEL_MM,
        slice_mm=station.slice_mm,
        bottom_mm=round(top_mm - station.extent_mm, 6),  # no dust of floats in DICOM headers
        reduce=reduce,
    )

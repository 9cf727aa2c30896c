"""Grids that scanners put over a phantom: CT, abdominal MRI, UK Biobank's six Dixon stations."""

from itertools import accumulate
from typing import Final

from organome.domain import ukb_protocol
from organome.domain.ukb_protocol import OVERLAP_MM, PIXEL_MM, STATIONS, Station
from organome.phantoms.rendering.render import SampledGrid

# Upper face of the first station above the femoral heads; the last one then ends at -450 mm. The
# table moves by fixed steps from the landmark, so the coverage does not scale with height.
TOP_MM: Final = 660.0


def axial_grid(
    *,
    size_xyz: tuple[int, int, int],
    pixel_mm: float,
    slice_mm: float,
    bottom_mm: float,
    reduce: int = 1,
) -> SampledGrid:
    """Lay an axial grid symmetrically about the body axis (x = y = 0).

    Args:
        size_xyz: Columns, rows, slices of the true grid.
        pixel_mm: Pixel of the true grid, both directions.
        slice_mm: Distance of slices.
        bottom_mm: Lower face of the lowest slice, z in mm above the femoral heads.
        reduce: Pixels are so many times larger in-plane, and so many times fewer per direction;
            slices stay as they are.

    Raises:
        ValueError: If ``reduce`` is not between 1 and the smaller side of the matrix.
    """
    n_columns, n_rows, n_slices = size_xyz
    if not 1 <= reduce <= min(n_columns, n_rows):
        raise ValueError(f"reduce is {reduce}, 1 to {min(n_columns, n_rows)} possible")
    n_columns, n_rows, pixel_mm = n_columns // reduce, n_rows // reduce, pixel_mm * reduce
    return SampledGrid(
        size_xyz=(n_columns, n_rows, n_slices),
        spacing_xyz_mm=(pixel_mm, pixel_mm, slice_mm),
        origin_xyz_mm=(
            -0.5 * (n_columns - 1) * pixel_mm,
            -0.5 * (n_rows - 1) * pixel_mm,
            bottom_mm + 0.5 * slice_mm,
        ),
    )


def ct_grid(*, reduce: int = 1) -> SampledGrid:
    """Grid of a CT of chest, abdomen and pelvis, lung apices to ischium.

    A 500 mm field of view at the 256 matrix and slices of 4 mm: coarser than diagnostic CT, on
    purpose, for that 512 pixels cost four times the work and show no more.
    """
    return axial_grid(
        size_xyz=(256, 256, 180),
        pixel_mm=500.0 / 256.0,
        slice_mm=4.0,
        bottom_mm=-110.0,
        reduce=reduce,
    )


def abdomen_grid(*, reduce: int = 1) -> SampledGrid:
    """Grid of an axial T1 or T2 of the abdomen, dome of the liver to iliac crests.

    A usual protocol: organs beyond it are cut.
    """
    return axial_grid(
        size_xyz=(256, 192, 60),
        pixel_mm=420.0 / 256.0,
        slice_mm=5.0,
        bottom_mm=100.0,
        reduce=reduce,
    )


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

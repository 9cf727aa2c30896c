from itertools import pairwise

import pytest

from organome.domain.ukb_protocol import OVERLAP_MM, STATIONS
from organome.phantoms.rendering.fields_of_view import station_grids, stitched_grid
from organome.phantoms.rendering.render import SampledGrid


def faces_z_mm(grid: SampledGrid) -> tuple[float, float]:
    bottom = grid.origin_xyz_mm[2] - 0.5 * grid.spacing_xyz_mm[2]
    return bottom, bottom + grid.size_xyz[2] * grid.spacing_xyz_mm[2]


def test_stations_have_their_true_matrix_and_spacing() -> None:
    for grid, station in zip(station_grids(), STATIONS, strict=True):
        assert grid.size_xyz == (station.n_columns, station.n_rows, station.n_slices)
        assert grid.spacing_xyz_mm == pytest.approx((2.232142857, 2.232142857, station.slice_mm))


def test_neighbours_overlap_by_the_same_length_from_head_to_knee() -> None:
    grids = station_grids()
    for upper, lower in pairwise(grids):
        assert faces_z_mm(lower)[1] - faces_z_mm(upper)[0] == pytest.approx(OVERLAP_MM)


def test_the_stitched_grid_covers_all_stations_and_no_more() -> None:
    grids = station_grids()
    bottom, top = faces_z_mm(stitched_grid())
    assert (bottom, top) == pytest.approx((faces_z_mm(grids[-1])[0], faces_z_mm(grids[0])[1]))
    assert stitched_grid().size_xyz == (224, 174, 370)


def test_pixels_of_all_stations_lie_on_one_lattice() -> None:
    stitched = stitched_grid()
    for grid in station_grids():
        for axis in (0, 1):
            shift = grid.origin_xyz_mm[axis] - stitched.origin_xyz_mm[axis]
            assert shift / stitched.spacing_xyz_mm[axis] == pytest.approx(
                round(shift / stitched.spacing_xyz_mm[axis])
            )


def test_reduction_leaves_the_slices_true() -> None:
    for full, reduced in zip(station_grids(), station_grids(reduce=4), strict=True):
        assert reduced.size_xyz == (56, full.size_xyz[1] // 4, full.size_xyz[2])
        assert faces_z_mm(reduced) == faces_z_mm(full)

import pytest

from organome.phantoms.rendering.fields_of_view import abdomen_grid, axial_grid, ct_grid


@pytest.mark.parametrize("grid", [ct_grid(), abdomen_grid(), ct_grid(reduce=4)])
def test_fields_of_view_lie_symmetrically_about_the_body_axis(grid) -> None:  # type: ignore[no-untyped-def]
    for axis in (0, 1):
        last = grid.origin_xyz_mm[axis] + (grid.size_xyz[axis] - 1) * grid.spacing_xyz_mm[axis]
        assert last == pytest.approx(-grid.origin_xyz_mm[axis])


def test_lowest_face_is_where_it_was_asked_for() -> None:
    grid = axial_grid(size_xyz=(8, 6, 4), pixel_mm=2.0, slice_mm=5.0, bottom_mm=-20.0)
    assert grid.origin_xyz_mm[2] - 2.5 == -20.0


def test_reduction_keeps_field_of_view_and_slices() -> None:
    full, reduced = ct_grid(), ct_grid(reduce=4)
    assert reduced.size_xyz == (64, 64, full.size_xyz[2])
    assert reduced.spacing_xyz_mm[0] * 64 == pytest.approx(full.spacing_xyz_mm[0] * 256)
    assert reduced.origin_xyz_mm[2] == full.origin_xyz_mm[2]


@pytest.mark.parametrize("reduce", [0, -1, 300])
def test_impossible_reductions_are_refused(reduce: int) -> None:
    with pytest.raises(ValueError, match="reduce"):
        ct_grid(reduce=reduce)

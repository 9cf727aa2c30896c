"""Plausible grids."""

import pytest

from organome.domain.geometry import geometry_fault


@pytest.mark.parametrize(
    ("size_xyz", "spacing_xyz_mm"),
    [
        ((224, 174, 370), (2.232, 2.232, 3.0)),
        ((512, 512, 2000), (0.6, 0.6, 1.0)),
        ((256, 256, 4), (1.5, 1.5, 6.0)),
    ],
)
def test_grids_of_scans(size_xyz: tuple[int, ...], spacing_xyz_mm: tuple[float, ...]) -> None:
    assert geometry_fault(size_xyz, spacing_xyz_mm) is None


@pytest.mark.parametrize(
    ("size_xyz", "spacing_xyz_mm", "fault"),
    [
        ((10, 10, 10), (0.001, 1, 1), "spacing of 0.001 mm along x"),
        ((10, 10, 10), (1, float("nan"), 1), "spacing of nan mm along y"),
        ((10, 10, 500), (1, 1, 10), "extent of 5000 mm along z"),
        ((10, 10, 3), (1, 1, 1), "extent of 3 mm along z"),
        ((2000, 2000, 2000), (0.2, 0.2, 0.2), "8000000000 voxels"),
    ],
)
def test_faults_name_the_axis(
    size_xyz: tuple[int, ...], spacing_xyz_mm: tuple[float, ...], fault: str
) -> None:
    assert geometry_fault(size_xyz, spacing_xyz_mm) == fault

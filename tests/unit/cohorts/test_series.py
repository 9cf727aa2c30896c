"""DICOM series from headers."""

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from organome.cohorts.series import group_series
from organome.domain.errors import ScanError
from organome.domain.flags import Flag
from organome.domain.headers import Header
from organome.domain.outcomes import Reason

MakeSeries = Callable[..., list[Header]]


def _fault(headers: list[Header]) -> tuple[Reason, str]:
    (series,) = group_series(headers)
    with pytest.raises(ScanError) as caught:
        series.check()
    return caught.value.reason, caught.value.fact


@pytest.mark.odd_input(
    "D-44",
    make="instance numbers that do not follow the positions",
    source="own",
    outcome="positions count, `instances_shuffled`",
)
def test_slices_go_by_position_never_by_instance_number(make_series: MakeSeries) -> None:
    headers = make_series(n=8, instances=[3, 1, 8, 2, 5, 7, 4, 6])
    (series,) = group_series(random.Random(0).sample(headers, len(headers)))
    assert list(series.slices) == headers
    assert series.flags == {Flag.INSTANCES_SHUFFLED}
    assert series.fault is None


def test_instances_from_head_to_foot_are_nothing_odd(make_series: MakeSeries) -> None:
    (series,) = group_series(make_series(n=8, instances=range(8, 0, -1)))
    assert series.flags == frozenset()


def test_inner_slice_missing_is_told_with_series_and_place(make_series: MakeSeries) -> None:
    headers = make_series(n=9)
    reason, fact = _fault(headers[:4] + headers[5:])
    assert reason is Reason.SLICES_MISSING
    assert "series 1 steps 6.00 mm after slice 4 of 8" in fact


def test_end_slice_missing_is_not_a_fault(make_series: MakeSeries) -> None:
    (series,) = group_series(make_series(n=9)[1:])
    assert series.fault is None
    assert series.step_mm == pytest.approx(3.0)


@pytest.mark.odd_input(
    "D-45",
    make="slices of two matrices in one series",
    source="own",
    outcome="`grids_differ`",
)
def test_slices_of_two_sizes(make_series: MakeSeries) -> None:
    headers = make_series()
    headers[3] = replace(headers[3], size_xy=(16, 10))
    assert _fault(headers) == (
        Reason.GRIDS_DIFFER,
        "series 1 has slices of 16 x 10 and 16 x 12 pixels",
    )


@pytest.mark.odd_input(
    "D-46",
    make="slices of two directions in one series",
    source="own",
    outcome="`grids_differ`",
)
def test_slices_of_two_directions(make_series: MakeSeries) -> None:
    headers = make_series()
    headers[3] = replace(headers[3], orientation=(0.99, 0.141, 0, -0.141, 0.99, 0))
    assert _fault(headers)[0] is Reason.GRIDS_DIFFER


def test_single_slice_is_not_3d(make_series: MakeSeries) -> None:
    assert _fault(make_series(n=1))[0] is Reason.NOT_3D


def test_two_volumes_in_one_series_are_not_3d(make_series: MakeSeries) -> None:
    twice = make_series() + [replace(one, file=f"b{one.file}") for one in make_series()]
    assert _fault(twice) == (Reason.NOT_3D, "series 1 holds 2 volumes")


@pytest.mark.odd_input(
    "D-47",
    make="a slice acquired again at its position",
    source="own",
    outcome="the last instance, `duplicate_slices`",
)
def test_of_a_repeated_slice_the_last_instance_is_kept(make_series: MakeSeries) -> None:
    headers = make_series()
    again = replace(headers[2], file="again.dcm", instance_number=99)
    (series,) = group_series([again, *headers])
    assert series.slices[2].file == "again.dcm"
    assert len(series.slices) == len(headers)
    assert Flag.DUPLICATE_SLICES in series.flags


def test_tilted_gantry_is_not_a_rectangular_grid(make_series: MakeSeries) -> None:
    tilted = [
        replace(one, position_xyz_mm=(0.0, 0.5 * index, one.position_xyz_mm[2]))
        for index, one in enumerate(make_series())
    ]
    reason, fact = _fault(tilted)
    assert reason is Reason.GEOMETRY_IMPLAUSIBLE
    assert "4.5 mm" in fact

"""Contrasts of one station on one grid."""

from collections.abc import Callable

import pytest

from organome.cohorts.dixon import Acquisition, match_contrasts
from organome.cohorts.series import group_series
from organome.domain.errors import ScanError
from organome.domain.flags import Flag
from organome.domain.headers import Header
from organome.domain.outcomes import Reason
from organome.domain.scans import Contrast

MakeSeries = Callable[..., list[Header]]
FAT, WATER = Contrast.FAT, Contrast.WATER


def _acquisition(fat: list[Header], water: list[Header]) -> Acquisition:
    (fat_series,), (water_series,) = group_series(fat), group_series(water)
    return Acquisition({FAT: fat_series, WATER: water_series})


def _refusal(fat: list[Header], water: list[Header]) -> tuple[Reason, str]:
    with pytest.raises(ScanError) as caught:
        match_contrasts(_acquisition(fat, water), [FAT, WATER])
    return caught.value.reason, caught.value.fact


def test_a_contrast_is_missing_only_if_it_is_wanted(make_series: MakeSeries) -> None:
    acquisition = _acquisition(make_series(number=3), make_series(number=4))
    assert set(match_contrasts(acquisition, [WATER])[0]) == {WATER}
    with pytest.raises(ScanError, match="in_phase of the station of series 3") as caught:
        match_contrasts(acquisition, [Contrast.IN_PHASE, WATER])
    assert caught.value.reason is Reason.CONTRAST_MISSING


@pytest.mark.odd_input(
    "V-40",
    make="water and fat of a station with matrices of two sizes",
    source="ukb_mimir",
    outcome="`grids_differ`",
)
def test_wrong_size_names_both_series(make_series: MakeSeries) -> None:
    reason, fact = _refusal(make_series(number=3, size_xy=(16, 10)), make_series(number=4))
    assert reason is Reason.GRIDS_DIFFER
    assert fact == "series 3 (fat) and series 4 (water) have 16 x 10 and 16 x 12 pixels"


@pytest.mark.odd_input(
    "V-41",
    make="water shifted against fat in plane",
    source="ukb_mimir",
    outcome="`grids_differ`",
)
def test_shift_in_plane(make_series: MakeSeries) -> None:
    reason, fact = _refusal(make_series(number=3, x_mm=1.0), make_series(number=4))
    assert reason is Reason.GRIDS_DIFFER
    assert "shifted" in fact


def test_other_slice_spacing(make_series: MakeSeries) -> None:
    fat, water = make_series(number=3, step_mm=3.2), make_series(number=4)
    assert _refusal(fat, water) == (
        Reason.GRIDS_DIFFER,
        "series 3 (fat) and series 4 (water) differ in slice spacing",
    )


@pytest.mark.odd_input(
    "V-42",
    make="slices of one contrast between those of the other",
    source="own",
    outcome="`grids_differ`",
)
def test_slices_between_the_slices_of_the_other(make_series: MakeSeries) -> None:
    reason, _ = _refusal(make_series(number=3, first_z_mm=1.4), make_series(number=4))
    assert reason is Reason.GRIDS_DIFFER


@pytest.mark.parametrize("lost", [0, 9])
@pytest.mark.odd_input(
    "V-43",
    make="a contrast lacks the slice at an end of the stack (43 of 44)",
    source="ml4h",
    outcome="all contrasts cropped to what they share, `slices_cropped`",
)
def test_end_slice_that_one_contrast_lacks_is_cropped_from_the_other(
    make_series: MakeSeries, lost: int
) -> None:
    water = make_series(number=4)
    del water[lost]
    matched, flags = match_contrasts(_acquisition(make_series(number=3), water), [FAT, WATER])
    positions = [[one.offset_mm for one in matched[contrast].slices] for contrast in (FAT, WATER)]
    assert positions[0] == positions[1]
    assert len(positions[0]) == 9
    assert flags == {Flag.SLICES_CROPPED}


def test_two_slices_fewer_at_an_end_are_too_many(make_series: MakeSeries) -> None:
    reason, fact = _refusal(make_series(number=3), make_series(number=4)[2:])
    assert reason is Reason.SLICES_MISSING
    assert "series 3 (fat) has 2 slices" in fact


def test_inner_gap_of_a_wanted_contrast(make_series: MakeSeries) -> None:
    water = make_series(number=4)
    del water[5]
    assert _refusal(make_series(number=3), water)[0] is Reason.SLICES_MISSING


@pytest.mark.odd_input(
    "V-44",
    make="a SeriesDescription that does not tell the contrast",
    source="own",
    outcome="ImageType does, `contrast_from_image_type`",
)
def test_contrast_that_only_the_image_type_tells_is_flagged(make_series: MakeSeries) -> None:
    (fat,) = group_series(make_series(description="vibe", image_type=("FAT",)))
    _, flags = match_contrasts(Acquisition({FAT: fat}), [FAT])
    assert flags == {Flag.CONTRAST_FROM_IMAGE_TYPE}

"""Dixon stations from series."""

from collections.abc import Callable

import pytest

from organome.cohorts.dixon import choose_acquisition, find_stations, series_contrast
from organome.cohorts.series import group_series
from organome.domain.headers import Header
from organome.domain.scans import DIXON_CONTRASTS, Contrast

MakeSeries = Callable[..., list[Header]]


@pytest.mark.parametrize(
    ("description", "image_type", "contrast"),
    [
        ("Dixon_noBH_in", (), Contrast.IN_PHASE),
        ("Dixon_BH_17s_opp", (), Contrast.OPPOSED_PHASE),
        ("Dixon_BH_17s_F", (), Contrast.FAT),
        ("Dixon_BH_17s_W", (), Contrast.WATER),
        ("t1_vibe", ("DERIVED", "PRIMARY", "DIXON", "WATER"), Contrast.WATER),
        ("t1_vibe", ("ORIGINAL", "PRIMARY", "OPP_PHASE"), Contrast.OPPOSED_PHASE),
        # the description says what the people meant, the image type what a machine assumed
        ("Dixon_noBH_F", ("DERIVED", "WATER"), Contrast.FAT),
        ("localizer", ("ORIGINAL", "PRIMARY"), None),
    ],
)
def test_contrast_from_description_else_from_image_type(
    make_series: MakeSeries,
    description: str,
    image_type: tuple[str, ...],
    contrast: Contrast | None,
) -> None:
    (series,) = group_series(make_series(description=description, image_type=image_type))
    assert series_contrast(series) is contrast


def test_stations_go_from_head_to_foot_whatever_their_numbers(make_station: MakeSeries) -> None:
    headers = [
        *make_station(3, first_series=1),
        *make_station(1, first_series=9),
        *make_station(2, first_series=5),
    ]
    stations = find_stations(group_series(headers))
    assert [station[0].number for station in stations] == [9, 5, 1]


def test_repeat_at_the_same_place_is_not_a_station_of_its_own(make_station: MakeSeries) -> None:
    repeat = make_station(1, first_series=25, time="20200101130000", first_z_mm=-20.0)
    (station,) = find_stations(group_series([*repeat, *make_station(1)]))
    assert [one.number for one in station] == [1, 25]
    assert choose_acquisition(station, DIXON_CONTRASTS).number == 25


def test_repeat_by_number_where_headers_tell_no_time(make_station: MakeSeries) -> None:
    headers = [*make_station(1, first_series=25, time=""), *make_station(1, time="")]
    (station,) = find_stations(group_series(headers))
    assert choose_acquisition(station, DIXON_CONTRASTS).number == 25


def test_repeat_that_was_broken_off_does_not_displace_the_first(make_station: MakeSeries) -> None:
    broken_off = make_station(
        1, first_series=25, time="20200101130000", contrasts=DIXON_CONTRASTS[:2]
    )
    (station,) = find_stations(group_series([*make_station(1), *broken_off]))
    assert choose_acquisition(station, DIXON_CONTRASTS).number == 1
    assert choose_acquisition(station, DIXON_CONTRASTS[:1]).number == 25


def test_repeat_with_a_gap_does_not_displace_the_first(make_station: MakeSeries) -> None:
    repeat = make_station(1, first_series=25, time="20200101130000")
    del repeat[4]
    (station,) = find_stations(group_series([*make_station(1), *repeat]))
    assert choose_acquisition(station, DIXON_CONTRASTS).number == 1


def test_short_repeat_is_not_a_station_of_its_own_and_does_not_displace(
    make_station: MakeSeries,
) -> None:
    repeat = make_station(1, first_series=25, time="20200101130000", n=3)
    (station,) = find_stations(group_series([*make_station(1), *repeat]))
    assert choose_acquisition(station, DIXON_CONTRASTS).number == 1

"""UK Biobank archives: names, stations, irregular deliveries."""

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from organome.cohorts.ukb import (
    MANIFEST_NAME,
    archive_scans,
    choose_pancreas,
    choose_series,
    manifest_flags,
)
from organome.domain.errors import ScanError
from organome.domain.flags import Flag
from organome.domain.headers import Header
from organome.domain.outcomes import Reason
from organome.domain.scans import DIXON_CONTRASTS, Contrast, Stations

MakeSeries = Callable[..., list[Header]]
WATER = Contrast.WATER


@pytest.fixture
def whole_scan(make_station: MakeSeries) -> list[Header]:
    headers = [header for station in range(1, 7) for header in make_station(station)]
    return random.Random(0).sample(headers, len(headers))


def _without_station(headers: list[Header], station: int) -> list[Header]:
    first = 4 * (station - 1) + 1
    return [one for one in headers if one.series_number not in range(first, first + 4)]


def _refusal(headers: list[Header], station: int | None = None) -> tuple[Reason, str]:
    with pytest.raises(ScanError) as caught:
        choose_series(headers, contrasts=DIXON_CONTRASTS, station=station)
    return caught.value.reason, caught.value.fact


def test_archive_name_gives_the_scan() -> None:
    (scan,) = archive_scans(
        "1000004_20201_3_1.zip", "/a/1000004_20201_3_1.zip", cohort="ukb", stations=Stations.STITCH
    )
    assert scan.identity == ("ukb", "1000004", "3", "1", "dixon", 0)
    assert scan.sources[0].path == "/a/1000004_20201_3_1.zip"


def test_each_station_is_listed_where_stations_are_kept() -> None:
    scans = archive_scans("1000004_20201_2_0.zip", "x", cohort="ukb", stations=Stations.SEPARATE)
    assert [scan.station for scan in scans] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    "name",
    ["1000004_20201_2_0.zip.part", "1000004_20204_2_0.zip", "manifest.csv", "x_20201_2_0.zip"],
)
def test_other_names_and_fields_are_no_scans_of_ours(name: str) -> None:
    assert archive_scans(name, name, cohort="ukb", stations=Stations.STITCH) == ()


def test_24_series_are_6_stations_of_4_contrasts(whole_scan: list[Header]) -> None:
    choice = choose_series(whole_scan, contrasts=DIXON_CONTRASTS)
    assert [
        [series.first.series_number for series in station.values()] for station in choice.stations
    ] == [[4 * n + c for c in range(1, 5)] for n in range(6)]
    assert choice.flags == frozenset()


@pytest.mark.odd_input(
    "V-45",
    make="more than 24 series: reports, localizers, maps",
    source="recoh",
    outcome="left out, `extra_series`",
)
def test_series_that_are_no_dixon_are_left_out(
    whole_scan: list[Header], make_series: MakeSeries
) -> None:
    localizer = make_series(number=30, description="localizer", n=3)
    choice = choose_series([*localizer, *whole_scan], contrasts=DIXON_CONTRASTS)
    assert len(choice.stations) == 6
    assert choice.flags == {Flag.EXTRA_SERIES}


@pytest.mark.odd_input(
    "V-46",
    make="a station twice at one position",
    source="ukb_mimir",
    outcome="the most recent whole one, `duplicate_station`",
)
def test_station_twice_takes_the_most_recent(
    whole_scan: list[Header], make_station: MakeSeries
) -> None:
    repeat = make_station(3, first_series=25, time="20200101130000")
    choice = choose_series([*whole_scan, *repeat], contrasts=DIXON_CONTRASTS)
    assert choice.stations[2][WATER].first.series_number == 28
    assert len(choice.stations) == 6
    assert choice.flags == {Flag.DUPLICATE_STATION}


def test_missing_station_is_named(whole_scan: list[Header]) -> None:
    assert _refusal(_without_station(whole_scan, 3)) == (
        Reason.STATION_MISSING,
        "5 of 6 stations, 3 missing",
    )


def test_missing_station_costs_the_others_nothing_where_stations_are_kept(
    whole_scan: list[Header],
) -> None:
    headers = _without_station(whole_scan, 3)
    (fourth,) = choose_series(headers, contrasts=[WATER], station=4).stations
    assert fourth[WATER].first.series_number == 16
    assert _refusal(headers, station=3)[0] is Reason.STATION_MISSING


@pytest.mark.odd_input(
    "V-49",
    make="stations missing, and series numbers that do not tell which",
    source="own",
    outcome="`station_missing`",
)
@pytest.mark.odd_input(
    "C-7",
    make="no opposed-phase in the knee station, or in one within",
    source="own reading; UK Biobank delivers such archives",
    outcome="measured on water, flag `contrast_left_out`",
)
def test_contrasts_that_are_not_required_cost_themselves_only(whole_scan: list[Header]) -> None:
    for lost in (22, 10):  # opposed-phase of the knees, and of the third station
        headers = [one for one in whole_scan if one.series_number != lost]
        choice = choose_series(headers, contrasts=DIXON_CONTRASTS, required=[WATER, Contrast.FAT])
        assert {len(station) for station in choice.stations} == {3}
        assert len(choice.stations) == 6
        assert choice.flags == {Flag.CONTRAST_LEFT_OUT}


@pytest.mark.odd_input(
    "C-24",
    make="one slice lost of the opposed-phase images of the knees",
    source="ml4h, ingest_mri.py: 43 slices for 44",
    outcome="no slice less of water and fat, flag `contrast_left_out`",
)
def test_an_end_slice_that_an_optional_contrast_lacks_is_not_cropped_from_the_others(
    whole_scan: list[Header],
) -> None:
    headers = [
        one for one in whole_scan if (one.series_number, one.instance_number) not in [(22, 1)]
    ]
    choice = choose_series(headers, contrasts=DIXON_CONTRASTS, required=[WATER])
    assert [len(station[WATER].slices) for station in choice.stations] == [10] * 6
    assert choice.flags == {Flag.CONTRAST_LEFT_OUT}


@pytest.mark.odd_input(
    "C-25",
    make="knee station, neck station or several at an end missing",
    source="Basty 2020: knees missing in 3.3 %, shoulders in 0.8 %",
    outcome="the others are measured, flag `stations_missing`; one within: `station_missing`",
)
@pytest.mark.parametrize("lost", [{1}, {6}, {1, 2, 6}, {2, 3, 4, 5, 6}])
def test_stations_at_the_ends_may_lack(whole_scan: list[Header], lost: set[int]) -> None:
    headers = whole_scan
    for station in lost:
        headers = _without_station(headers, station)
    choice = choose_series(headers, contrasts=DIXON_CONTRASTS)
    assert len(choice.stations) == 6 - len(lost)
    assert choice.flags == {Flag.STATIONS_MISSING}


@pytest.mark.odd_input(
    "C-26",
    make="no fat (or water) in the knee station",
    source="own",
    outcome="the station counts as missing: `stations_missing`; within: `contrast_missing`",
)
def test_a_station_at_an_end_that_lacks_what_is_required_counts_as_missing(
    whole_scan: list[Header],
) -> None:
    headers = [one for one in whole_scan if one.series_number != 23]  # fat of the knees
    choice = choose_series(headers, contrasts=DIXON_CONTRASTS)
    assert len(choice.stations) == 5
    assert choice.flags == {Flag.STATIONS_MISSING}


def test_stations_that_no_number_tells_apart_are_not_guessed(make_station: MakeSeries) -> None:
    headers = [
        header
        for station, first in ((1, 101), (2, 105), (3, 109))
        for header in make_station(station, first_series=first)
    ]
    assert _refusal(headers, station=1) == (Reason.STATION_MISSING, "3 of 6 stations")


@pytest.mark.odd_input(
    "V-47",
    make="more positions than stations: the participant was moved",
    source="own",
    outcome="`several_series`",
)
def test_more_positions_than_stations_are_refused(
    whole_scan: list[Header], make_station: MakeSeries
) -> None:
    assert _refusal([*whole_scan, *make_station(7)])[0] is Reason.SEVERAL_SERIES


@pytest.mark.odd_input(
    "V-48",
    make="an archive without a Dixon series",
    source="ukb_mimir",
    outcome="`contrast_missing`",
)
@pytest.mark.parametrize(
    ("image_types", "reason", "number"),
    [
        ([("ORIGINAL", "M")], None, 1),
        ([("ORIGINAL", "M"), ("ORIGINAL", "M", "NORM")], None, 2),
        ([("ORIGINAL", "M"), ("ORIGINAL", "M")], Reason.SEVERAL_SERIES, 0),
        ([("ORIGINAL", "LOCALIZER")], Reason.CONTRAST_MISSING, 0),
        ([("DERIVED", "WATER"), ("DERIVED", "FAT")], Reason.CONTRAST_MISSING, 0),
    ],
    ids=["one", "normalised", "two", "localizer", "dixon"],
)
@pytest.mark.odd_input(
    "C-29",
    make="archives of field 20202: one T1 volume, its normalised copy, two, Dixon series",
    source="rivas-lab, list of fields; the seed paper calls its Dixon field 20202",
    outcome="the normalised volume; else `several_series` or `contrast_missing`",
)
def test_the_t1_volume_of_a_pancreas_archive(
    make_series: MakeSeries,
    image_types: list[tuple[str, ...]],
    reason: Reason | None,
    number: int,
) -> None:
    headers = [
        header
        for place, image_type in enumerate(image_types, start=1)
        for header in make_series(number=place, description="pancreas", image_type=image_type)
    ]
    if reason is None:
        (station,) = choose_pancreas(headers).stations
        assert station[Contrast.T1].first.series_number == number
        return
    with pytest.raises(ScanError) as caught:
        choose_pancreas(headers)
    assert caught.value.reason is reason


@pytest.mark.parametrize("stations", list(Stations))
def test_a_pancreas_archive_is_one_scan(stations: Stations) -> None:
    (scan,) = archive_scans("1000004_20202_2_0.zip", "x", cohort="ukb", stations=stations)
    assert (scan.protocol, scan.station) == ("t1_pancreas", None)


def test_archive_without_any_dixon_series(make_series: MakeSeries) -> None:
    assert _refusal(make_series(description="localizer"))[0] is Reason.CONTRAST_MISSING


def test_contrast_that_nobody_wants_may_be_missing(whole_scan: list[Header]) -> None:
    headers = [one for one in whole_scan if one.series_number != 7]
    assert len(choose_series(headers, contrasts=[WATER]).stations) == 6
    assert _refusal(headers) == (
        Reason.CONTRAST_MISSING,
        "fat of the station of series 5",
    )


def test_broken_series_of_another_station_costs_a_kept_station_nothing(
    whole_scan: list[Header],
) -> None:
    gap = next(one for one in whole_scan if one.series_number == 12 and one.instance_number == 5)
    headers = [one for one in whole_scan if one is not gap]
    assert len(choose_series(headers, contrasts=DIXON_CONTRASTS, station=2).stations) == 1
    assert _refusal(headers)[0] is Reason.SLICES_MISSING


@pytest.mark.odd_input(
    "V-96",
    make="UK Biobank: the description of a series says water, its image type fat; of water, or of "
    "the opposed phase",
    source="own",
    outcome="`contrast_disputed`; of a contrast that is not required, or of a repeat, it costs "
    "that only",
)
def test_a_description_that_contradicts_the_image_type(
    whole_scan: list[Header], make_station: MakeSeries
) -> None:
    def typed(number: int, word: str) -> list[Header]:
        return [
            replace(one, image_type=("DERIVED", "PRIMARY", "DIXON", word))
            if one.series_number == number
            else one
            for one in whole_scan
        ]

    number_of_water, number_of_opposed = 12, 10
    assert _refusal(typed(number_of_water, "FAT")) == (
        Reason.CONTRAST_DISPUTED,
        "series 12 is water by its description and fat by its image type",
    )
    assert len(choose_series(typed(number_of_water, "WATER"), contrasts=DIXON_CONTRASTS).stations)
    choice = choose_series(
        typed(number_of_opposed, "IN_PHASE"),
        contrasts=DIXON_CONTRASTS,
        required={Contrast.FAT, WATER},
    )
    assert Flag.CONTRAST_LEFT_OUT in choice.flags
    again = make_station(3, first_series=31, time="20200101130000")
    choice = choose_series([*typed(number_of_water, "FAT"), *again], contrasts=DIXON_CONTRASTS)
    assert choice.stations[2][WATER].first.series_number == 34


def test_no_fact_repeats_a_header_text(whole_scan: list[Header]) -> None:
    _, fact = _refusal(_without_station(whole_scan, 5))
    assert "Dixon" not in fact


@pytest.mark.parametrize("name", ["manifest.cvs", "manifest.csv", "a/manifest.csv"])
@pytest.mark.odd_input(
    "V-50",
    make="`manifest.cvs`",
    source="ml4h and others",
    outcome="known by either spelling",
)
def test_manifest_is_known_by_either_spelling(name: str) -> None:
    assert MANIFEST_NAME.search(name)


@pytest.mark.odd_input(
    "V-51",
    make="a ragged manifest: dates that hold commas",
    source="ml4h and others",
    outcome="read as text; nothing depends on its columns",
)
def test_ragged_manifest_that_names_all_files_is_nothing_odd() -> None:
    manifest = (
        "filename,patientid,seriesid,date,series discription\n1.2.dcm,x,1,Jan 01, 2015,Dixon\n"
    )
    assert manifest_flags(manifest, ["1.2.dcm"]) == frozenset()
    assert manifest_flags(manifest, ["1.2.dcm", "1.3.dcm"]) == {Flag.MANIFEST_DIFFERS}
    assert manifest_flags(manifest, []) == {Flag.MANIFEST_DIFFERS}

import pytest

from organome.domain.scans import DIXON_CONTRASTS, Contrast
from organome.domain.ukb_protocol import (
    OVERLAP_MM,
    STATIONS,
    STITCHED_EXTENT_MM,
)


def test_stations_are_as_long_as_published() -> None:
    assert sum(station.extent_mm for station in STATIONS) == 1294.0
    assert STITCHED_EXTENT_MM == 1110.0
    assert pytest.approx(36.8) == OVERLAP_MM


def test_an_archive_holds_1328_slices() -> None:
    assert len(DIXON_CONTRASTS) * sum(station.n_slices for station in STATIONS) == 1328


def test_series_are_numbered_1_to_24_in_the_order_of_delivery() -> None:
    numbers = [
        station.series_number(contrast) for station in STATIONS for contrast in DIXON_CONTRASTS
    ]
    assert numbers == list(range(1, 25))


def test_descriptions_name_breath_hold_and_contrast() -> None:
    assert STATIONS[0].series_description(Contrast.IN_PHASE) == "Dixon_noBH_in"
    assert STATIONS[2].series_description(Contrast.WATER) == "Dixon_BH_17s_W"
    assert [station.number for station in STATIONS if station.breath_hold] == [2, 3, 4]

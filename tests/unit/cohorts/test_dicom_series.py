"""One series out of a folder."""

from collections.abc import Callable

import pytest

from organome.cohorts.dicom_series import choose_single_series
from organome.domain.errors import ScanError
from organome.domain.flags import Flag
from organome.domain.headers import Header
from organome.domain.outcomes import Reason
from organome.domain.scans import Contrast

MakeSeries = Callable[..., list[Header]]


def _refusal(headers: list[Header], contrast: Contrast | None) -> Reason:
    with pytest.raises(ScanError) as caught:
        choose_single_series(headers, contrast)
    return caught.value.reason


@pytest.mark.odd_input(
    "D-42",
    make="localizers and single slices beside the series",
    source="own",
    outcome="left out, `extra_series`",
)
def test_localizer_and_single_slices_do_not_count(make_series: MakeSeries) -> None:
    ct = make_series(number=2, description="Abdomen", modality="CT")
    topogram = make_series(number=1, image_type=("ORIGINAL", "LOCALIZER"), n=3)
    capture = make_series(number=9, n=1)
    chosen = choose_single_series([*topogram, *ct, *capture], None)
    assert chosen.series.first.series_number == 2
    assert chosen.contrast is Contrast.CT
    assert chosen.flags == {Flag.EXTRA_SERIES}


@pytest.mark.odd_input(
    "D-43",
    make="two reconstructions in one folder",
    source="own",
    outcome="`several_series`",
)
def test_two_reconstructions_are_not_chosen_from(make_series: MakeSeries) -> None:
    headers = [*make_series(number=2, modality="CT"), *make_series(number=3, modality="CT")]
    assert _refusal(headers, Contrast.CT) is Reason.SEVERAL_SERIES


def test_the_wanted_dixon_contrast_is_found(make_station: MakeSeries) -> None:
    chosen = choose_single_series(make_station(1), Contrast.FAT)
    assert chosen.series.first.series_number == 3
    assert _refusal(make_station(1), None) is Reason.SEVERAL_SERIES


def test_list_decides_what_a_single_series_shows(make_series: MakeSeries) -> None:
    headers = make_series(description="t2_haste")
    assert choose_single_series(headers, Contrast.T2).contrast is Contrast.T2
    assert _refusal(headers, None) is Reason.CONTRAST_MISSING


@pytest.mark.odd_input(
    "D-67",
    make="a folder listed as fat whose header says water; one whose description and image type "
    "name two contrasts",
    source="own",
    outcome="`contrast_disputed`; listed as another kind of image, water of a Dixon is that",
)
def test_a_dixon_contrast_that_header_and_list_dispute(make_series: MakeSeries) -> None:
    water = make_series(description="t1_vibe_dixon_W")
    assert _refusal(water, Contrast.FAT) is Reason.CONTRAST_DISPUTED
    assert choose_single_series(water, Contrast.WATER).contrast is Contrast.WATER
    assert choose_single_series(water, Contrast.T1).contrast is Contrast.T1
    both = make_series(description="t1_vibe_dixon_W", image_type=("DERIVED", "PRIMARY", "FAT"))
    for contrast in (None, Contrast.WATER, Contrast.FAT):
        assert _refusal(both, contrast) is Reason.CONTRAST_DISPUTED


def test_nothing_but_single_slices(make_series: MakeSeries) -> None:
    assert _refusal(make_series(n=1), Contrast.CT) is Reason.NOT_3D


def test_gap(make_series: MakeSeries) -> None:
    headers = make_series()
    assert _refusal(headers[:3] + headers[4:], Contrast.CT) is Reason.SLICES_MISSING

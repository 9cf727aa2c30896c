"""The TSV of a folder cohort."""

from pathlib import PurePath

import pytest

from organome.cohorts.folder import parse_table
from organome.cohorts.listing import FoundImage
from organome.domain.errors import SetupError
from organome.domain.scans import Contrast


def _parse(*lines: str) -> tuple[FoundImage, ...]:
    rows = [line.replace("|", "\t") for line in lines]
    return parse_table(rows, name="scans.tsv", root=PurePath("/data"))


def test_two_columns_and_a_protocol_are_enough() -> None:
    (image,) = _parse("participant|image|protocol", "007|a/b.nii.gz|ct")
    assert (image.participant, image.instance, image.array) == ("007", "1", "1")
    assert image.path == "/data/a/b.nii.gz"
    assert image.contrast is Contrast.CT
    assert image.where == "scans.tsv, line 2"


def test_all_columns() -> None:
    (image,) = _parse(
        "participant|instance|array|protocol|contrast|station|labelmap|image|age",
        "p|2|0|vibe|water|3|l.nii.gz|/abs/i.nrrd|61",
    )
    assert image == FoundImage(
        participant="p",
        instance="2",
        array="0",
        protocol="vibe",
        path="/abs/i.nrrd",
        where="scans.tsv, line 2",
        contrast=Contrast.WATER,
        station=3,
        labelmap="/data/l.nii.gz",
    )


def test_dixon_contrasts_are_one_protocol_by_default() -> None:
    images = _parse("participant|image|contrast", "p|w.mha|water", "p|f.mha|fat", "p|t.mha|t2")
    assert [image.protocol for image in images] == ["dixon", "dixon", "t2"]


def test_dicom_folder_may_leave_the_contrast_to_its_headers() -> None:
    (image,) = _parse("participant|image|protocol", "p|series5|abdomen")
    assert image.contrast is None


@pytest.mark.parametrize(
    ("header", "row", "message"),
    [
        ("participant|file", "p|i.nii.gz", "no column image"),
        ("participant,image", "p,i.nii.gz", "separated by tabs"),
        ("participant|image|contrasts", "p|i.nii.gz|ct", "did you mean 'contrast'"),
        ("participant|image|image", "p|i|i", "the same name"),
        ("participant|image|contrast", "p||ct", "line 2: no image"),
        ("participant|image|contrast", "|i.nii.gz|ct", "line 2: no participant"),
        ("participant|image|contrast", "p|i.nii.gz|T1", "line 2: contrast 'T1' must be one of"),
        ("participant|image|contrast|station", "p|i|ct|x", "line 2: station 'x'"),
        ("participant|image|contrast|station", "p|i|ct|0", "line 2: station '0'"),
        ("participant|image|contrast", "12.0|i.nii.gz|ct", "line 2: participant is a number"),
        ("participant|image|contrast", "1.2E+06|i.nii.gz|ct", "line 2: participant is a number"),
        ("participant|image|contrast", "1E+05|i.nii.gz|ct", "line 2: participant is a number"),
        ("participant|image|contrast", "1\u200b|i.nii.gz|ct", "line 2: participant holds"),
        ("participant|image|contrast|instance", "1|i|ct|a\x01", "line 2: instance holds"),
        ("participant|image|contrast", "p|i.nii.gz|ct|x", "line 2: more fields"),
        ("participant|image", "p|series5", "line 2: neither protocol nor contrast"),
        ("participant|image|protocol", "p|i.nii.gz|abdomen", "line 2: no contrast"),
    ],
)
@pytest.mark.odd_input(
    "T-40",
    make="a TSV with an unknown contrast, a misspelt column, a field too many",
    source="own",
    outcome="the listing stops and names the line",
)
def test_mistakes_are_named_with_their_line(header: str, row: str, message: str) -> None:
    with pytest.raises(SetupError, match=message):
        _parse(header, row)


def test_a_badly_quoted_cell_is_named_with_its_line() -> None:
    with pytest.raises(SetupError, match=r"scans\.tsv, line 1: .* expected after"):
        _parse('participant|"image"x|contrast', "p|i.nii.gz|ct")
    with pytest.raises(SetupError, match=r"scans\.tsv, line 3: .* expected after"):
        _parse("participant|image|contrast", "p|i.nii.gz|ct", 'q|"j.nii.gz"x|ct')


@pytest.mark.odd_input(
    "T-41",
    make="participants whose leading zeros a spreadsheet dropped",
    source="spreadsheets, own",
    outcome="the listing stops and says so",
)
def test_lost_leading_zeros_are_noticed() -> None:
    with pytest.raises(SetupError, match="line 3: participant has 2 digits"):
        _parse("participant|image|contrast", "0034|a.mha|ct", "12|b.mha|ct")


def test_numbers_of_different_length_are_fine_where_none_is_padded() -> None:
    assert len(_parse("participant|image|contrast", "9|a.mha|ct", "10|b.mha|ct")) == 2


@pytest.mark.parametrize("participant", ["7e123456", "1E5", "00e1", "0x1F", "1_000", "007", "inf"])
@pytest.mark.odd_input(
    "T-50",
    make="pseudonyms of hexadecimal digits that look like numbers: `7e123456`, `1E5`",
    source="own",
    outcome="text as it stands; `1E+05` and `12.0` are still a spreadsheet's and stop the listing",
)
def test_a_pseudonym_is_text_and_never_a_number(participant: str) -> None:
    (image,) = _parse("participant|image|contrast", f"{participant}|i.nii.gz|ct")
    assert image.participant == participant


def test_empty_columns_that_a_spreadsheet_adds_are_ignored() -> None:
    assert len(_parse("participant|image|contrast||", "p|i.nii.gz|ct||")) == 1

"""The page on cohorts names what the code reads."""

import re

import pytest

from doubles.places import REPOSITORY
from organome.cohorts import bids, folder
from organome.domain.scans import Contrast

PAGE = (REPOSITORY / "docs" / "cohorts.md").read_text()


def test_columns_of_the_tsv_are_those_that_are_read() -> None:
    table = PAGE.partition("| column |")[2].partition("```")[0]
    columns = re.findall(r"^\| `(\w+)` \| (required)?", table, flags=re.MULTILINE)
    assert tuple(name for name, required in columns if required) == folder.REQUIRED
    assert tuple(name for name, required in columns if not required) == folder.OPTIONAL


@pytest.mark.parametrize(
    "word",
    [*bids.DIXON_WORDS, *bids.FOLDERS, *bids.SUFFIXES, *(f"part-{p}" for p in bids.OTHER_PARTS)],
)
def test_words_of_bids_are_named(word: str) -> None:
    assert re.search(rf"[`<|]{word}[`>|]", PAGE, flags=re.IGNORECASE)


def test_contrasts_are_named() -> None:
    assert " ".join(Contrast) in PAGE

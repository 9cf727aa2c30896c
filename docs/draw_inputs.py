"""Write docs/inputs.md: the kinds of odd input, what becomes of each, and the test that shows it.

The page is made of the tests themselves: of what `odd_input` marks say there.
"""

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

REPOSITORY: Final = Path(__file__).parents[1]
PAGE: Final = REPOSITORY / "docs" / "inputs.md"
SUITES: Final = (
    "tests/reports",
    "tests/unit/cohorts",
    "tests/unit/io/dicom",
    "tests/unit/io/files",
    "tests/unit/io/images",
    "tests/unit/steps/prepare",
    "tests/unit/steps/listing",
)
HEAD: Final = """\
# Odd inputs

Scans as they are delivered: what goes wrong with them, what is right, and the test that shows it.
Words in `code` are reasons and flags of the tables ([tables.md](tables.md)). The source is a public
thread of people who met the input, a standard, or "own" where we made it. Made by `make docs` from
the marks of the tests; mark a test, do not change this page.

"""
CHAPTERS: Final = {
    "D": "DICOM",
    "N": "NIfTI, NRRD, MetaImage, labelmaps",
    "C": "Cohorts and listings",
    "Z": "Archives and files",
    "V": "Volumes, stations, fat and water",
    "T": "Tables of the user: TSV and BIDS metadata",
}


@dataclass(frozen=True, slots=True)
class OddInput:
    """A kind of odd input.

    Attributes:
        name: Letter of its chapter and a number, ``D-3``.
        make: How to make one.
        source: Where it was met.
        outcome: What is right.
        tests: Names of the tests that show it.
    """

    name: str
    make: str
    source: str
    outcome: str
    tests: set[str] = field(default_factory=set)


class _Marks:
    def __init__(self) -> None:
        self.found: dict[str, OddInput] = {}

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            for mark in item.iter_markers("odd_input"):
                one = OddInput(*mark.args, **mark.kwargs)
                same = self.found.setdefault(one.name, one)
                if (same.make, same.source, same.outcome) != (one.make, one.source, one.outcome):
                    raise pytest.UsageError(
                        f"{one.name} stands for two kinds of input: {item.nodeid}"
                    )
                same.tests.add(item.nodeid.partition("[")[0])


def inputs_page(suites: Sequence[str] = SUITES) -> str:
    """Return the page, made of the marks of all tests of some suites."""
    marks = _Marks()
    options = ["--collect-only", "-p", "no:terminal", "-p", "no:cacheprovider"]
    options += ["--override-ini=addopts=--import-mode=importlib"]
    code = pytest.main([*options, *(str(REPOSITORY / one) for one in suites)], plugins=[marks])
    if code:
        sys.exit(code)
    found = sorted(marks.found.values(), key=_order)
    lines = [HEAD, f"{len(found)} kinds.\n"]
    for letter, chapter in CHAPTERS.items():
        rows = [_row(one) for one in found if one.name.startswith(f"{letter}-")]
        if rows:
            head = "| | input | source | what becomes of it | test |\n|---|---|---|---|---|"
            lines += [f"\n## {chapter}\n\n{head}", *rows]
    return "\n".join(lines) + "\n"


def _order(one: OddInput) -> tuple[str, int]:
    match = re.fullmatch(r"([A-Z])-(\d+)", one.name)
    if match is None or match[1] not in CHAPTERS:
        raise pytest.UsageError(
            f"{one.name}: a letter of {', '.join(CHAPTERS)} and a number are needed"
        )
    return match[1], int(match[2])


def _row(one: OddInput) -> str:
    tests = ", ".join(f"`{test.rpartition('::')[2]}`" for test in sorted(one.tests))
    return f"| {one.name} | {one.make} | {one.source} | {one.outcome} | {tests} |"


if __name__ == "__main__":
    PAGE.write_text(inputs_page())

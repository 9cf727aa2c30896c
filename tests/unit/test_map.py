"""The map of the package is the package."""

import runpy
from types import SimpleNamespace

import pytest

from doubles.places import REPOSITORY


@pytest.fixture(scope="module")
def drawing() -> SimpleNamespace:
    return SimpleNamespace(**runpy.run_path(str(REPOSITORY / "docs" / "draw_map.py")))


def test_the_map_is_current(drawing: SimpleNamespace) -> None:
    page = (REPOSITORY / "docs" / "architecture.md").read_text()
    assert drawing.map_page() in page, "run `python docs/draw_map.py`"


def test_every_room_says_in_one_line_what_is_done_there(drawing: SimpleNamespace) -> None:
    lines = drawing.rooms()
    assert {"shards", "steps/segment", "io/files"} <= set(lines)
    assert [room for room, line in lines.items() if not line.endswith(".")] == []

"""Shards whose files have not changed are not opened; every change of a file is noticed."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from doubles.measured import cohort, scan_of
from organome.steps.collect import collect_tables
from organome.steps.collect.collect_tables import run
from organome.steps.collect.shards import VOLUMES, Measured, Published, find_volumes

DELIVERIES = ([scan_of("00123", "2")], [scan_of("00456", "2")], [scan_of("00789", "2")])
ORGANS = "results/measure_volumes/0001/organs.parquet"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of the shards that are opened from now on."""
    names: list[str] = []

    def find(published: Published, shard: str) -> Measured | None:
        names.append(shard)
        return find_volumes(published, shard)

    monkeypatch.setitem(collect_tables._FIND, VOLUMES, find)
    return names


def collect(folder: Path) -> None:
    places = {name: folder / name for name in ("scans", "results")}
    run(**places, output=folder / "tables", notes=folder / "notes.json")


def flip_under_the_old_time(path: Path) -> None:
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[-6] ^= 1  # in the length of the footer
    with path.open("r+b") as file:
        file.write(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def put_another_in_its_place(path: Path) -> None:
    before = path.stat()
    copy = path.with_name("copy")
    copy.write_bytes(path.read_bytes())
    os.utime(copy, ns=(before.st_atime_ns, before.st_mtime_ns))
    copy.rename(path)


def test_unchanged_shards_are_not_opened_and_a_new_one_is(
    tmp_path: Path, opened: list[str]
) -> None:
    cohort(tmp_path, DELIVERIES)
    collect(tmp_path)
    collect(tmp_path)
    assert opened == ["0000", "0001", "0002"]
    assert not [
        name for name in ("00123", "00456") if name in (tmp_path / "notes.json").read_text()
    ]
    before = [path.stat().st_ino for path in sorted((tmp_path / "tables/organs").iterdir())]
    collect(tmp_path)
    assert before == [path.stat().st_ino for path in sorted((tmp_path / "tables/organs").iterdir())]


@pytest.mark.parametrize(
    ("change", "is_whole"),
    [
        (Path.unlink, False),
        (lambda path: path.write_bytes(path.read_bytes()[:-4]), False),
        (flip_under_the_old_time, False),
        (put_another_in_its_place, True),
    ],
    ids=["removed", "cut", "flipped", "replaced"],
)
def test_a_changed_file_is_noticed(
    tmp_path: Path, opened: list[str], change: Callable[[Path], object], is_whole: bool
) -> None:
    cohort(tmp_path, DELIVERIES)
    collect(tmp_path)
    opened.clear()
    change(tmp_path / ORGANS)
    collect(tmp_path)
    assert opened == ["0001"]
    ledger = (tmp_path / ORGANS).with_name("ledger.parquet")
    assert ledger.exists() is is_whole  # set aside where the shard is damaged


@pytest.mark.parametrize("text", ["", "{", '{"made_by": [], "shards": {}}', "[1]"])
def test_notes_that_are_none_are_passed_over(tmp_path: Path, opened: list[str], text: str) -> None:
    cohort(tmp_path, DELIVERIES[:1])
    (tmp_path / "notes.json").write_text(text)
    collect(tmp_path)
    collect(tmp_path)
    assert opened == ["0000"]

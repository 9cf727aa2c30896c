"""Two versions side by side, and the switch from one to the other, killed at any moment."""

import json
import shlex
import shutil
from pathlib import Path

import pytest
import yaml

from organome.cli.app import build_app
from organome.domain.errors import SetupError
from organome.io.files import atomic
from organome.io.runs import open_run
from organome.io.tables.scan_lists import write_shard
from organome.steps.listing.list_scans import run as list_scans
from organome.steps.upkeep import versions
from organome.steps.upkeep.switch import run as switch
from organome.steps.upkeep.try_version import run as try_version
from organome.steps.upkeep.versions import with_changes

CONFIG = """\
# What we run.
cohort: {name: demo, kind: folder, root: ../cohort.tsv}
segment: {source: labelmaps, scheme: amos22}  # for now
"""
CHANGES = ["segment.scheme=vibesegmentator", "segment.repair_sides=true"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a run folder with results of its own."""
    folder = tmp_path / "run"
    (folder / "results" / "prepare_images" / "0000").mkdir(parents=True)
    (folder / "config.yaml").write_text(CONFIG)
    (folder / "own.yaml").touch()
    (tmp_path / "cohort.tsv").touch()
    write_shard(folder / "scans" / "0000.parquet", [])
    fill(folder, "old")
    return folder


def fill(folder: Path, text: str) -> None:
    for name in (
        "results/segment_organs/0000/ledger.parquet",
        "results/tables/dictionary.json",
        ".snakemake/metadata/x",
        f"work/only_{text}/x",
    ):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"made_by": text}))


def made_by(folder: Path) -> set[str]:
    """Return who made the files of a run folder, whatever the version."""
    paths = [
        folder / "results/segment_organs/0000/ledger.parquet",
        folder / "results/tables/dictionary.json",
        folder / ".snakemake/metadata/x",
        *folder.glob("work/only_*/x"),
    ]
    return {json.loads(path.read_text())["made_by"] for path in paths}


def test_a_version_shares_lists_and_images_and_has_the_other_settings(folder: Path) -> None:
    advice = try_version(folder, "sides", set=CHANGES)
    version = open_run(folder / "versions" / "sides")
    assert f"organome switch {folder} sides" in advice
    assert version.config()["segment"]["repair_sides"] is True
    assert version.config()["cohort"]["root"] == str(folder.parent / "cohort.tsv")
    for name in ("scans", "results/prepare_images", "work/prepare_images", "own.yaml"):
        assert (version.folder / name).samefile(folder / name)
    assert not (version.results / "segment_organs").exists()


def test_what_is_printed_are_commands_with_all_they_need(folder: Path) -> None:
    advice = try_version(folder, "sides", set=CHANGES)
    for line in advice.splitlines():
        program, *tokens = shlex.split(line)
        assert program == "organome"
        build_app().parse_args(tokens, exit_on_error=False, print_error=False)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ([], "name what is other"),
        (["repair_sides=true"], "not a setting such as"),
        (["segment.scheme=nonsense"], "segment.scheme"),
        (["segment.what=1"], "what"),
    ],
)
def test_a_wrong_change_leaves_no_version(folder: Path, change: list[str], says: str) -> None:
    with pytest.raises(SetupError, match=says):
        try_version(folder, "sides", set=change)
    assert not (folder / "versions" / "sides").exists()


def test_switched_there_and_back_it_is_as_before(folder: Path) -> None:
    try_version(folder, "sides", set=CHANGES)
    with pytest.raises(SetupError, match="no tables yet"):
        switch(folder, "sides")
    fill(folder / "versions" / "sides", "new")
    switch(folder, "sides")
    assert (made_by(folder), made_by(folder / "versions" / "before")) == ({"new"}, {"old"})
    assert open_run(folder).config()["segment"]["scheme"] == "vibesegmentator"
    assert (folder / "config.yaml").read_text().startswith("# What we run.") is False
    back = open_run(folder / "versions" / "before")
    assert back.config()["segment"]["scheme"] == "amos22"
    switch(folder, "before", old_name="sides")
    assert (made_by(folder), made_by(folder / "versions" / "sides")) == ({"old"}, {"new"})
    assert open_run(folder).config()["segment"]["scheme"] == "amos22"


@pytest.mark.parametrize("knows_exchange", [True, False])
def test_killed_between_any_two_renames_it_goes_on(
    folder: Path, tmp_path: Path, knows_exchange: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    try_version(folder, "sides", set=CHANGES)
    fill(folder / "versions" / "sides", "new")
    if not knows_exchange:
        monkeypatch.setattr(atomic, "_exchange", lambda *_: False)
    rename, replace = Path.rename, versions.write_text_atomic
    for n_moves in range(40):
        again = tmp_path / f"again{n_moves}" / "run"
        shutil.copytree(folder, again, symlinks=True)
        shutil.copy(tmp_path / "cohort.tsv", again.parent)
        left = iter(range(n_moves))

        def move(path: Path, target: Path, left: "object" = left) -> Path:
            if path.is_relative_to(again / "work" / "controller"):  # noqa: B023
                return rename(path, target)
            if next(left, None) is None:  # type: ignore[call-overload]
                raise KeyboardInterrupt
            return rename(path, target)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "rename", move)
            try:
                switch(again, "sides")
            except KeyboardInterrupt:
                pass
            else:
                break
        with pytest.raises(SetupError, match="begun and not ended"):
            list_scans(kind="folder", cohort="demo", root=again, scans=again / "scans")
        switch(again, "sides")
        assert (made_by(again), made_by(again / "versions/before")) == ({"new"}, {"old"})
    assert n_moves > 2
    assert replace is versions.write_text_atomic


def test_a_value_is_replaced_in_its_line_or_the_whole_written_anew() -> None:
    text = "segment:\n  model: old   # the best\n  device: cpu\n"
    changed = with_changes(text, {"segment": {"model": "new"}})
    assert changed == 'segment:\n  model: "new"   # the best\n  device: cpu\n'
    added = with_changes(text, {"segment": {"repair_sides": True}})
    assert yaml.safe_load(added)["segment"] == {
        "model": "old",
        "device": "cpu",
        "repair_sides": True,
    }

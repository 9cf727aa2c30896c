"""When the next training starts, and on what."""

import csv
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nrrd
import pytest
import yaml

from doubles.annotated import SECRET, write_run
from organome.domain.errors import SetupError
from organome.io.files.atomic import write_bytes_atomic
from organome.steps.annotate import export_round, import_round, next_training
from organome.steps.annotate.choosing import Strategy
from organome.steps.annotate.rounds import read_rounds

CONFIG = """\
train: {name: next, n_epochs: 3}
datasets:
  - {name: ukb, path: ../data/ukb, layout: ukb, labels: own.yaml, people: ukb, participants: p.tsv,
     cases: c.tsv}
"""


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Commands that were started; none is."""
    commands: list[list[str]] = []

    def start(command: list[str], **_: Any) -> SimpleNamespace:
        commands.append(command)
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(next_training.subprocess, "run", start)
    return commands


@pytest.fixture
def rounds(tmp_path: Path) -> Path:
    write_run(tmp_path / "run", 5)
    accept(tmp_path, n=2)
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "config.yaml").write_text(CONFIG)
    return tmp_path / "rounds"


def accept(folder: Path, *, n: int) -> None:
    """Export scans and send them back as they are."""
    output = folder / "rounds"
    made = export_round.run(run=folder / "run", output=output, n=n, strategy=Strategy.RANDOM)
    for path in (made.folder / "slicer").iterdir():
        write_bytes_atomic(made.folder / "edited" / path.name, path.read_bytes())
    assert import_round.run(rounds=output).n_accepted == n


def train(rounds: Path, *flags: str, name: str = "new", **more: Any) -> next_training.NextTraining:
    config, output = rounds.parent / "old" / "config.yaml", rounds.parent / name
    return next_training.run(*flags, rounds=rounds, config=config, output=output, **more)


def test_enough_new_labels_start_it_once(rounds: Path, started: list[list[str]]) -> None:
    assert train(rounds, min_new=3).command == ""
    assert not started
    planned = train(rounds, min_new=2, dry_run=True)
    assert not started
    done = train(rounds, "--", "--dry-run", min_new=2)
    assert (done.n_new, done.holds) == (2, True)
    (command,) = started
    assert Path(command[0]).name == "organome"
    assert command[1:] == ["run", str(rounds.parent / "new"), "--", "--dry-run"]
    assert planned.config == done.config
    again = train(rounds, min_new=2, name="newer")
    assert (again.n_new, again.n_all, again.command) == (0, 2, "")
    accept(rounds.parent, n=2)
    later = train(rounds, min_new=2, name="newer")
    assert (later.n_new, later.n_all) == (2, 4)
    assert len(started) == 2


def test_labels_that_were_drawn_again_are_new(rounds: Path, started: list[list[str]]) -> None:
    train(rounds, min_new=2)
    (one,) = read_rounds(rounds)
    import_round.run(rounds=rounds)
    assert train(rounds, min_new=1, name="newer").n_new == 0  # imported again as they were
    drawn = min(one.edited.iterdir())
    labels, header = nrrd.read(str(drawn))
    labels[labels == labels.max()] = 0
    nrrd.write(str(drawn), labels, header)
    assert import_round.run(rounds=rounds).n_accepted == 2
    again = train(rounds, min_new=1, name="newer")
    assert (again.n_new, again.n_all) == (1, 2)
    assert train(rounds, min_new=1, name="newest").n_new == 0
    assert len(started) == 2


def test_a_record_of_labels_without_digests_is_read(rounds: Path, started: list[list[str]]) -> None:
    keys = [f"1/{scan}" for scan in read_rounds(rounds)[0].scans]
    (rounds / "trainings.json").write_text(json.dumps(keys[:1]) + "\n")
    done = train(rounds, min_new=1)
    assert (done.n_new, done.n_all) == (1, 2)
    assert train(rounds, min_new=1, name="newer").n_new == 0
    assert len(started) == 1


def test_the_configuration_is_the_given_one_and_the_labels(
    rounds: Path, started: list[list[str]]
) -> None:
    done = train(rounds, min_new=1, people="ukb")
    assert started
    assert done.config is not None
    written = yaml.safe_load(done.config.read_text())
    assert written["train"] == {"name": "next", "n_epochs": 3}
    old, new = written["datasets"]
    here = rounds.parent
    assert old["path"] == str(here / "data" / "ukb")
    assert old["labels"] == str(here / "old" / "own.yaml")
    assert old["participants"] == str(here / "old" / "p.tsv")
    assert old["cases"] == str(here / "old" / "c.tsv")
    assert new == {
        "name": "annotations",
        "path": str(rounds / "dataset"),
        "layout": "annotations",
        "labels": "mrsegmentator",
        "people": "ukb",
    }
    with (rounds / "dataset" / "scans.tsv").open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert len({row["participant"] for row in rows}) == 2
    assert all(row["participant"].startswith(SECRET) for row in rows)
    for row in rows:
        assert Path(row["image"]).is_file()
        assert Path(row["labelmap"]).is_file()
    assert SECRET not in str(done) + done.config.read_text()


def test_a_run_that_is_there_is_not_overwritten(rounds: Path, started: list[list[str]]) -> None:
    (rounds.parent / "new").mkdir()
    (rounds.parent / "new" / "config.yaml").write_text("train: {name: mine}\n")
    with pytest.raises(SetupError, match="another run"):
        train(rounds, min_new=1)
    assert not started


def test_labels_stay_new_where_the_training_is_refused(
    rounds: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = SimpleNamespace(returncode=2)
    monkeypatch.setattr(next_training.subprocess, "run", lambda *_, **__: refused)
    assert not train(rounds, min_new=2).holds
    assert train(rounds, min_new=2, dry_run=True).n_new == 2


def test_a_name_of_people_that_no_dataset_can_have_is_refused(rounds: Path) -> None:
    with pytest.raises(SetupError, match=r"datasets\.1\.people"):
        train(rounds, min_new=1, people="two words", dry_run=True)


def test_a_scan_that_is_nobodys_is_refused(rounds: Path, started: list[list[str]]) -> None:
    people = rounds / "participants.tsv"
    people.write_text("\n".join(people.read_text().splitlines()[:2]) + "\n")
    with pytest.raises(SetupError, match="does not say whose 0000-") as caught:
        train(rounds, min_new=1)
    assert SECRET not in str(caught.value)
    assert len(read_rounds(rounds)[0].accepted_scans()) == 2
    assert not started


def test_rounds_of_two_cohorts_are_refused(rounds: Path, started: list[list[str]]) -> None:
    people = rounds / "participants.tsv"
    head, first, second = people.read_text().splitlines()
    other = second.replace("\ttiny\t", "\tother\t")
    people.write_text("\n".join([head, first, other]) + "\n")
    with pytest.raises(SetupError, match="rounds of 2 cohorts") as caught:
        train(rounds, min_new=1, people="ukb")
    assert SECRET not in str(caught.value)
    assert not (rounds / "dataset").exists()
    assert not started


def test_the_cohort_is_that_of_accepted_scans(rounds: Path) -> None:
    people = rounds / "participants.tsv"
    head, *rows = people.read_text().splitlines()
    cut_off = rows[0].replace("1\t", "9\t", 1).replace("\ttiny\t", "\tother\t")
    people.write_text("\n".join([head, cut_off, *rows]) + "\n")
    done = train(rounds, min_new=1, dry_run=True)
    assert done.config is not None
    assert yaml.safe_load(done.config.read_text())["datasets"][-1]["people"] == "tiny"


@pytest.mark.parametrize("where", ["rounds", "elsewhere"])
def test_annotations_of_other_rounds_are_not_dropped(rounds: Path, where: str) -> None:
    before = f"{{name: annotations, path: ../{where}/dataset, layout: annotations, labels: amos22}}"
    (rounds.parent / "old" / "config.yaml").write_text(f"{CONFIG}  - {before}\n")
    if where == "elsewhere":
        with pytest.raises(SetupError, match=r"elsewhere/dataset, not .* give it another name"):
            train(rounds, min_new=1, dry_run=True)
        return
    done = train(rounds, min_new=1, dry_run=True)
    assert done.config is not None
    old, new = yaml.safe_load(done.config.read_text())["datasets"]
    assert (old["name"], new["name"], new["labels"]) == ("ukb", "annotations", "mrsegmentator")


@pytest.mark.parametrize(
    ("named", "place"),
    [("../models/big", "models/big"), ("beside", "old/beside"), ("phantom", None)],
)
def test_a_model_to_start_from_is_found_from_the_new_folder_too(
    rounds: Path, named: str, place: str | None
) -> None:
    beside = rounds.parent / "old" / "beside"
    beside.mkdir()
    (beside / "plans.json").write_text("{}")
    config = CONFIG.replace("n_epochs: 3", f"start_from: {named}")
    (rounds.parent / "old" / "config.yaml").write_text(config)
    done = train(rounds, min_new=1, dry_run=True)
    assert done.config is not None
    expected = named if place is None else str(rounds.parent / place)
    written = yaml.safe_load(done.config.read_text())["train"]
    assert written == {"name": "next", "start_from": expected}

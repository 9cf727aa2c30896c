"""next_training: enough accepted labels -> a training that learns from them, too."""

import json
import logging
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from organome.domain.errors import SetupError
from organome.domain.fingerprints import digest_of
from organome.io.configs import find_mistake, read_config, read_schema
from organome.io.files.assets import asset
from organome.io.files.atomic import write_text_atomic
from organome.io.files.identity import input_identity
from organome.io.files.strict_yaml import StrictLoader
from organome.io.models.layouts import PLANS
from organome.io.tables.schemes import write_published_scheme
from organome.steps.annotate.rounds import Round, existing_rounds, read_people, write_rows

_logger = logging.getLogger(__name__)

_SCHEMA: Final = "workflow/schemas/train.schema.yaml"
_NOTE: Final = "trainings.json"
_REFUSED: Final = 2  # exit code of a command whose set-up is wrong
_NOT_IN_NAMES: Final = re.compile("[^A-Za-z0-9-]+")  # of sets of people, as the schema has them
_NAME: Final = "annotations"
_COLUMNS: Final = (
    *("participant", "instance", "array", "protocol", "station", "contrast", "image", "labelmap"),
)


@dataclass(frozen=True, slots=True)
class NextTraining:
    """What became of it.

    Attributes:
        n_new: Accepted labels that no training has seen as they are now.
        n_all: All accepted labels.
        command: What starts the training; empty where there are too few.
        config: Its configuration.
        min_new: How many it takes.
        exit_code: Of the training; None where it was not started.
    """

    n_new: int
    n_all: int
    command: str
    config: Path | None
    min_new: int
    exit_code: int | None = None

    @property
    def holds(self) -> bool:
        """Whether the training went well, if it was started."""
        return not self.exit_code

    def __str__(self) -> str:
        """Write it as plain text."""
        counts = f"{self.n_new} new labelmaps accepted of {self.n_all}"
        if not self.command:
            return f"{counts}; {self.min_new} start a training"
        ended = f"\nended with exit code {self.exit_code}" if self.exit_code else ""
        return f"{counts}\n{self.config}\n{self.command}{ended}"


def run(
    *run_flags: str,
    rounds: Path,
    config: Path,
    output: Path,
    min_new: int = 50,
    people: str | None = None,
    dry_run: bool = False,
) -> NextTraining:
    """Train again when enough new labels are accepted: a configuration, a run folder, and off.

    Args:
        run_flags: Further flags for ``organome run``, after ``--``.
        rounds: Folder of all rounds.
        config: Configuration of a training to go by. Its datasets stay, and its paths are those of
            the folder that it lies in; the accepted labels of all rounds come on top.
        output: Run folder of the new training.
        min_new: New labels that it takes.
        people: As ``people`` of the datasets of the same biobank, so that nobody is both in
            training and in validation; left out, the name of the cohort.
        dry_run: Write dataset and configuration, and start nothing.

    Raises:
        SetupError: A round is missing, or rounds are of several cohorts; the configuration is
            wrong, or has annotations of other rounds; or the folder is taken.
    """
    all_rounds = existing_rounds(rounds)
    accepted = [(one, scan) for one in all_rounds for scan in one.accepted_scans()]
    labels = {f"{one.number}/{scan}": _identity(one.accepted(scan)) for one, scan in accepted}
    trained = _trained(rounds)
    n_new = sum(trained.get(key, "") not in (None, identity) for key, identity in labels.items())
    if n_new < min_new or not accepted:
        return NextTraining(n_new, len(labels), "", None, min_new)
    folder = (rounds / "dataset").absolute()
    cohort = _write_dataset(rounds, folder, accepted)
    made = output / "config.yaml"
    people = people or _NOT_IN_NAMES.sub("-", cohort)
    _write_config(made, config, folder=folder, one=all_rounds[-1], people=people)
    command = ["organome", "run", str(output), *run_flags]
    _logger.info("event=training_written n_new=%d n_all=%d", n_new, len(labels))
    written = NextTraining(n_new, len(labels), shlex.join(command), made, min_new)
    if dry_run:
        return written
    _note(rounds, trained | labels)  # first: a training that is killed is gone on with by hand
    program = shutil.which(command[0]) or str(Path(sys.executable).with_name(command[0]))
    ended = subprocess.run([program, *command[1:]], check=False)
    if ended.returncode == _REFUSED:
        _note(rounds, trained)
    return NextTraining(
        n_new, len(labels), shlex.join(command), made, min_new, exit_code=ended.returncode
    )


def _identity(labels: Path) -> str:
    return digest_of(input_identity(labels))


def _note(rounds: Path, trained: Mapping[str, str | None]) -> None:
    write_text_atomic(rounds / _NOTE, json.dumps(trained, indent=0, sort_keys=True) + "\n")


def _trained(rounds: Path) -> dict[str, str | None]:
    """Read which labels have been trained on; None as identity: as they are now, whatever it is.

    Earlier releases wrote a list of labels alone.
    """
    path = rounds / _NOTE
    if not path.is_file():
        return {}
    try:
        noted = json.loads(path.read_text(encoding="utf-8"))
        return dict(noted) if isinstance(noted, dict) else dict.fromkeys(map(str, noted))
    except (ValueError, TypeError) as error:
        raise SetupError(f"{path}: damaged; without it all labels count as new") from error


def _write_dataset(rounds: Path, folder: Path, accepted: Sequence[tuple[Round, str]]) -> str:
    """Write the accepted labels as a dataset of layout ``annotations``; return the cohort.

    Raises:
        SetupError: Rounds differ in their organs or their cohort, or it is not known whose a scan
            is.
    """
    if len({one.structures for one, _ in accepted}) > 1:
        raise SetupError(f"{rounds}: rounds of different label schemes; take them apart")
    people = {(row["round"], row["scan"]): row for row in read_people(rounds)}
    rows: list[dict[str, Any]] = []
    cohorts: set[str] = set()
    for one, scan in accepted:
        person = people.get((str(one.number), scan))
        if person is None:
            raise SetupError(f"{rounds}: participants.tsv does not say whose {scan} is")
        cohorts.add(person["cohort"])
        files = {"image": one.image(scan), "labelmap": one.accepted(scan)}
        rows.append(
            {name: person[name] for name in _COLUMNS[:-2]}
            | {name: str(path.absolute()) for name, path in files.items()}
        )
    if len(cohorts) > 1:  # a dataset has one set of people, which keeps training and test apart
        raise SetupError(
            f"{rounds}: rounds of {len(cohorts)} cohorts; move those of one into another folder,"
            " with a copy of participants.tsv"
        )
    write_rows(folder / "scans.tsv", _COLUMNS, rows)
    (folder / "scans.tsv").chmod(0o600)
    write_published_scheme(folder, accepted[0][0].scheme)
    return cohorts.pop()


def _write_config(target: Path, given: Path, *, folder: Path, one: Round, people: str) -> None:
    schema = read_schema(asset(_SCHEMA))
    read_config(given, schema)  # refused now where something is wrong; kept as it is written
    config = yaml.load(given.read_text(encoding="utf-8"), StrictLoader)
    base = given.absolute().parent
    moved = [_moved(dataset, base) for dataset in config["datasets"]]
    for dataset in moved:
        if dataset["name"] == _NAME and Path(dataset["path"]) != folder.resolve():
            raise SetupError(
                f"{given}: its dataset {_NAME} is {dataset['path']}, not {folder}; give it another"
                " name"
            )
    datasets = [dataset for dataset in moved if dataset["name"] != _NAME]
    own = one.scheme.name
    labels = own if own == "mrsegmentator" else str(folder / "scheme.json")
    datasets.append(
        {
            "name": _NAME,
            "path": str(folder),
            "layout": _NAME,
            "labels": labels,
            "people": people,
        }
    )
    train = config["train"]
    if "start_from" in train:
        train = {**train, "start_from": _moved_model(train["start_from"], base)}
    made = {**config, "train": train, "datasets": datasets}
    if mistake := find_mistake(made, schema):
        raise SetupError(f"{given}, with the dataset {_NAME}: {mistake}")
    written = yaml.safe_dump(made, sort_keys=False)
    if target.exists() and target.read_text(encoding="utf-8") != written:
        raise SetupError(f"{target}: there is another run already; name another --output")
    write_text_atomic(target, written)


def _moved(dataset: Mapping[str, Any], base: Path) -> dict[str, Any]:
    """Make the paths of a dataset absolute."""
    moved = {**dataset, "path": str((base / dataset["path"]).resolve())}
    for table in ("participants", "cases"):
        if table in dataset:
            moved[table] = str((base / dataset[table]).resolve())
    if Path(dataset["labels"]).suffix:
        moved["labels"] = str((base / dataset["labels"]).resolve())
    return moved


def _moved_model(named: str, base: Path) -> str:
    """Make the path of a model absolute; names of installed ones stay, as ``locate_model`` says."""
    path = base / named
    return str(path.resolve()) if "/" in named or (path / PLANS).is_file() else named

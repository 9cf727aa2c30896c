"""Cohorts of phantoms, each participant's delivery corrupted once."""

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fuzz.corruptions import CORRUPTIONS, Delivery
from organome.domain.scans import CohortKind
from organome.phantoms import make_phantoms
from organome.phantoms.delivery.defects import Format

LISTED_AS: Final[Mapping[str, CohortKind]] = {
    "ukb": "ukb",
    "ct": "folder",
    "nifti": "folder",
    "bids": "bids",
}
TABLE: Final = "scans.tsv"


@dataclass(frozen=True)
class Base:
    """The sound delivery of one participant in one format.

    Attributes:
        participant: As it stands in names and tables.
        files: Contents by path in the cohort's folder; tables are not among them.
        table: Lines of the participant in the TSV, after its head; empty where there is no TSV.
    """

    participant: str
    files: Delivery
    table: tuple[str, ...]

    def has(self, suffixes: Sequence[str]) -> bool:
        """Return whether one of the files has one of these suffixes."""
        return any(path.endswith(tuple(suffixes)) for path in self.files)

    def of(self, participant: str) -> "Base":
        """Return the same delivery under the name of another participant."""
        named = {
            path.replace(self.participant, participant): each for path, each in self.files.items()
        }
        lines = tuple(line.replace(self.participant, participant) for line in self.table)
        return Base(participant, named, lines)


def make_bases(folder: Path) -> dict[str, list[Base]]:
    """Make phantoms and return the deliveries of their participants by format."""
    make_phantoms.run(
        output=folder, preset="tiny", n_participants=1, n_repeats=0, n_ct=1,
        formats=list(Format), defects=[], reduce=8, labelmaps=True,
    )  # fmt: skip
    return {kind: _bases(folder / kind) for kind in LISTED_AS}


def _bases(folder: Path) -> list[Base]:
    table = folder / TABLE
    lines = table.read_text().splitlines()[1:] if table.exists() else []
    by_participant: dict[str, Delivery] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        match = re.search(r"\d{7}", name)
        if match is not None:
            by_participant.setdefault(match[0], {})[name] = path.read_bytes()
    return [
        Base(one, files, tuple(line for line in lines if line.startswith(one)))
        for one, files in by_participant.items()
    ]


@dataclass(frozen=True)
class Cohort:
    """A cohort on the disk, of which every delivery but the first ones is corrupted.

    Attributes:
        root: What is listed.
        done_to: What was done to each participant.
        drawn: Carrier and kind of what was done to each participant, of those that are not sound.
        secrets: Names that must not get into logs and facts: participants, files.
    """

    root: Path
    done_to: Mapping[str, str]
    drawn: Mapping[str, tuple[str, str]]
    secrets: frozenset[str]


def write_cohort(
    folder: Path, kind: str, bases: list[Base], *, n: int, seed: int, n_before: int = 0
) -> Cohort:
    """Write a cohort: one sound delivery of each base, then ``n`` corrupted ones.

    The kinds of corruption take turns, beginning after the first ``n_before``.
    """
    chance = random.Random(f"{kind} {seed}")
    done_to: dict[str, str] = {}
    drawn: dict[str, tuple[str, str]] = {}
    lines: list[str] = []
    files: list[str] = []
    for place in range(n + len(bases)):
        turn = n_before + place - len(bases)
        one = CORRUPTIONS[kind][turn % len(CORRUPTIONS[kind])] if place >= len(bases) else None
        able = [each for each in bases if one is None or each.has(one.suffixes)]
        base = able[place % len(able)].of(f"{5_000_000 + 977 * place}")
        delivery = dict(base.files)
        done_to[base.participant] = "nothing"
        if one is not None:
            done_to[base.participant] = one.do(delivery, chance)
            drawn[base.participant] = (one.carrier, one.kind)
        for name, content in delivery.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        files += [name.rpartition("/")[2] for name in delivery]
        lines += base.table
    if not lines:
        return Cohort(folder, done_to, drawn, frozenset([*done_to, *files]))
    head = "participant\tinstance\tprotocol\tcontrast\timage"
    head += "\tlabelmap" * (lines[0].count("\t") > head.count("\t"))
    (folder / TABLE).write_text("\n".join([head, *lines]) + "\n")
    return Cohort(folder / TABLE, done_to, drawn, frozenset([*done_to, *files]))

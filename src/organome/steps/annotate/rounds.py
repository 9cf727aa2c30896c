"""The folder of all rounds: what was given out, what came back.

```
<rounds>/participants.tsv                      which scan is whose; it does not leave the house
<rounds>/round_001/round.json                  what was chosen, and how
<rounds>/round_001/datastore/                  for MONAI Label: images, original and final labels
<rounds>/round_001/slicer/<scan>.seg.nrrd      for 3D Slicer, saved into edited/ when done
<rounds>/round_001/edited/<scan>.seg.nrrd
<rounds>/round_001/accepted/<scan>.nii.gz      labels that were imported
<rounds>/round_001/edits.tsv                   what was changed, a line a scan and organ
<rounds>/round_001/minutes.tsv                 if somebody writes it: scan, minutes
<rounds>/trainings.json                        which accepted labels have been trained on, by digest
```
"""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from organome.domain.errors import SetupError
from organome.domain.organs import ORGANS, Organ, Region, numbered
from organome.domain.schemes import MRSEGMENTATOR, LabelScheme
from organome.io.files.atomic import write_text_atomic
from organome.io.tables.participants import tsv_lines

PEOPLE: Final = "participants.tsv"
PEOPLE_COLUMNS: Final = (
    *("round", "scan", "cohort", "participant", "instance", "array", "protocol", "station"),
    "contrast",
)
EDIT_COLUMNS: Final = ("scan", "organ", "n_voxels_before", "n_voxels_after", "dice")
_FILE: Final = "round.json"
_NAME: Final = "round_{:03d}"
IDENTITY: Final = ("cohort", "participant", "instance", "array", "protocol", "station")


@dataclass(frozen=True, slots=True)
class Round:
    """One round.

    Attributes:
        folder: Where it lies.
        number: From 1 on.
        strategy: How its scans were chosen.
        seed: Of what chance had a part in.
        scans: Contrast of the image by key of the scan.
        structures: What labels mean, in order of label.
    """

    folder: Path
    number: int
    strategy: str
    seed: int
    scans: Mapping[str, str]
    structures: tuple[Organ, ...]

    @property
    def datastore(self) -> Path:
        """What MONAI Label is started on."""
        return self.folder / "datastore"

    @property
    def slicer(self) -> Path:
        """Segmentations for 3D Slicer."""
        return self.folder / "slicer"

    @property
    def edited(self) -> Path:
        """Segmentations that came back."""
        return self.folder / "edited"

    @property
    def edits(self) -> Path:
        """What was changed."""
        return self.folder / "edits.tsv"

    @property
    def minutes(self) -> Path:
        """How long it took; written by hand."""
        return self.folder / "minutes.tsv"

    @property
    def scheme(self) -> LabelScheme:
        """What the values of its labelmaps mean: those of the organs themselves."""
        return scheme_of(self.structures)

    def image(self, scan: str) -> Path:
        """Return where the image of a scan lies."""
        return self.datastore / f"{scan}.nii.gz"

    def accepted(self, scan: str) -> Path:
        """Return where the accepted labels of a scan lie, if there are any."""
        return self.folder / "accepted" / f"{scan}.nii.gz"

    def accepted_scans(self) -> list[str]:
        """Name the scans whose labels were accepted."""
        return [scan for scan in self.scans if self.accepted(scan).is_file()]

    def write(self) -> None:
        """Write what was chosen: last of all, so that a round is whole or not there."""
        content = {
            "number": self.number,
            "strategy": self.strategy,
            "seed": self.seed,
            "structures": [[one.name, one.region.value] for one in self.structures],
            "scans": dict(self.scans),
        }
        write_text_atomic(self.folder / _FILE, json.dumps(content, indent=1) + "\n")


def scheme_of(structures: tuple[Organ, ...]) -> LabelScheme:
    """Return the scheme whose classes are the organs themselves."""
    if structures == ORGANS:
        return MRSEGMENTATOR
    same = {one.label: one.label for one in structures}
    classes = {one.label: one.name for one in structures}
    return LabelScheme("annotations", classes, same, structures=structures)


def round_folder(rounds: Path, number: int) -> Path:
    """Return the folder of a round."""
    return rounds / _NAME.format(number)


def read_rounds(rounds: Path) -> list[Round]:
    """Read all rounds, the first one first.

    Raises:
        SetupError: One is damaged.
    """
    return [_read(path) for path in sorted(rounds.glob(f"round_*/{_FILE}"))]


def existing_rounds(rounds: Path) -> list[Round]:
    """Read all rounds, of which there must be one.

    Raises:
        SetupError: There is none.
    """
    found = read_rounds(rounds)
    if not found:
        raise SetupError(f"{rounds}: no round in it; `organome annotate export` begins one")
    return found


def _read(path: Path) -> Round:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return Round(
            folder=path.parent,
            number=int(content["number"]),
            strategy=str(content["strategy"]),
            seed=int(content["seed"]),
            scans=dict(content["scans"]),
            structures=numbered((name, Region(region)) for name, region in content["structures"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise SetupError(f"{path}: damaged; take it from a backup") from error


def read_people(rounds: Path) -> list[dict[str, str]]:
    """Read whose the scans of all rounds are."""
    return read_rows(rounds / PEOPLE)


def read_rows(path: Path) -> list[dict[str, str]]:
    """Read a TSV; no rows where there is none.

    Raises:
        SetupError: It cannot be read as a table.
    """
    return [row for _, row in read_lines(path)]


def read_lines(path: Path, *, by_hand: bool = False) -> list[tuple[int, dict[str, str]]]:
    """Read a TSV with the number of the line that each row ends in; no rows where there is none.

    Args:
        path: The file.
        by_hand: Whether somebody wrote it: editors take tabs away at the end of a line, so cells
            that are missing there are blank.

    Raises:
        SetupError: It cannot be read as a table.
    """
    if not path.is_file():
        return []
    reader = csv.DictReader(tsv_lines(path), delimiter="\t", restval="" if by_hand else None)
    rows = [(reader.line_num, row) for row in reader]
    if any(None in row or None in row.values() for _, row in rows):
        raise SetupError(f"{path}: rows of different lengths; are the columns separated by tabs?")
    return rows


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Write a TSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, delimiter="\t", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text_atomic(path, text.getvalue())

"""import_round: labels that an annotator has corrected -> accepted labels of the round.

Labels are taken by the names of their segments, never by their values: 3D Slicer and MONAI Label
number them as they please.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import SimpleITK as sitk

from organome.compute.labelmaps.delivered import put_onto
from organome.compute.labelmaps.overlap import organ_differences
from organome.compute.labelmaps.remapping import remap_labelmap
from organome.domain.errors import ScanError, SetupError
from organome.domain.outcomes import Reason
from organome.io.images.image_files import read_delivered, read_image
from organome.io.images.labelmaps import write_labelmap
from organome.io.viewers.monai_label import EXT, FINAL, INDEX, ORIGINAL, read_final_names
from organome.io.viewers.slicer import SUFFIX
from organome.steps.annotate.rounds import (
    EDIT_COLUMNS,
    Round,
    existing_rounds,
    read_rows,
    write_rows,
)

_logger = logging.getLogger(__name__)

_MAX_NAME: Final = 60  # letters of a segment's name in an error
_DECIMALS: Final = 6


@dataclass(frozen=True, slots=True)
class Imported:
    """What came back.

    Attributes:
        number: Of the round.
        n_accepted: Scans whose labels were accepted.
        n_waiting: Scans of which nothing has come back.
        refused: Scans whose labels were not accepted, and why.
    """

    number: int
    n_accepted: int
    n_waiting: int
    refused: tuple[tuple[str, str], ...]

    @property
    def holds(self) -> bool:
        """Whether all labels that came back were accepted; if not, the command fails."""
        return not self.refused

    def __str__(self) -> str:
        """Write it as plain text, a line for each scan that was refused."""
        counts = f"{self.n_accepted} labelmaps accepted, {self.n_waiting} not back yet"
        lines = [f"round {self.number}: {counts}"]
        return "\n".join([*lines, *(f"{scan}: refused: {why}" for scan, why in self.refused)])


def run(*, rounds: Path, round: int | None = None) -> Imported:
    """Take the labels that have come back, from ``edited`` and MONAI Label's ``labels/final``.

    Taken again they replace what was accepted before.

    Args:
        rounds: Folder of all rounds.
        round: Number of the round; left out, the last one.

    Raises:
        SetupError: There is no such round, or its datastore is damaged.
    """
    one = _find(rounds, round)
    found = dict(_returned(one))
    names = read_final_names(one.datastore) if (one.datastore / INDEX).is_file() else {}
    edits = {(row["scan"], row["organ"]): row for row in read_rows(one.edits)}
    refused: list[tuple[str, str]] = []
    accepted: list[str] = []
    for scan in one.scans:
        try:
            if scan not in found:
                continue
            if len(found[scan]) > 1:
                raise ScanError(Reason.FORMAT_UNKNOWN, "came back twice; leave one of the files")
            changed = _accept(one, scan, found[scan][0], names)
            edits = {key: row for key, row in edits.items() if key[0] != scan} | changed
            accepted.append(scan)
        except ScanError as error:
            _logger.warning("event=labels_refused scan=%s reason=%s", scan, error.reason)
            refused.append((scan, error.fact))
    write_rows(one.edits, EDIT_COLUMNS, [edits[key] for key in sorted(edits)])
    _logger.info("event=round_imported round=%d n_accepted=%d", one.number, len(accepted))
    n_waiting = len(one.scans) - len(accepted) - len(refused)
    return Imported(one.number, len(accepted), n_waiting, tuple(refused))


def _find(rounds: Path, number: int | None) -> Round:
    found = existing_rounds(rounds)
    if number is None:
        return found[-1]
    for one in found:
        if one.number == number:
            return one
    raise SetupError(f"--round {number}: {rounds} has rounds 1 to {found[-1].number}")


def _returned(one: Round) -> Iterator[tuple[str, Sequence[Path]]]:
    """Find the files of each scan that have come back."""
    final = one.datastore / FINAL
    for scan in one.scans:
        places = (
            one.edited / f"{scan}{SUFFIX}",
            final / f"{scan}{SUFFIX}",
            final / f"{scan}{EXT}",
        )
        files = [path for path in places if path.is_file()]
        if files:
            yield scan, files


def _accept(
    one: Round, scan: str, path: Path, names: Mapping[str, Sequence[str]]
) -> dict[tuple[str, str], dict[str, Any]]:
    """Write the labels of a scan, and return what was changed.

    Raises:
        ScanError: They cannot be read, name what is not known, or lie on another grid; or what was
            given out is gone or damaged.
    """
    delivered = read_delivered(path, constant=True)
    labels = delivered.image
    named = delivered.names if path.name.endswith(SUFFIX) else _numbered(labels, names.get(scan))
    _check_names(labels, named, one)
    image = _given_out(one, one.image(scan))
    labelmap = remap_labelmap(labels, one.scheme, names=named)
    whole = put_onto(labelmap, image, delivered)
    before = _given_out(one, one.datastore / ORIGINAL / f"{scan}{EXT}")
    write_labelmap(one.accepted(scan), whole, one.scheme, grid_of=one.image(scan))
    voxel_ml = float(np.prod(image.GetSpacing())) / 1000
    return {
        (scan, organ.organ): {
            "scan": scan,
            "organ": organ.organ,
            "n_voxels_before": round(organ.reference_ml / voxel_ml),
            "n_voxels_after": round(organ.volume_ml / voxel_ml),
            "dice": round(organ.dice, _DECIMALS),
        }
        for organ in organ_differences(before, whole, one.structures)
    }


def _given_out(one: Round, path: Path) -> sitk.Image:
    """Read a file of the datastore, which no step makes again.

    Raises:
        ScanError: It is gone or damaged.
    """
    try:
        return read_image(path, constant=True)
    except ScanError as error:
        fact = f"{path.relative_to(one.folder)}: {error.fact}"
        raise ScanError(error.reason, fact) from error


def _numbered(labels: sitk.Image, names: Sequence[str] | None) -> dict[int, str]:
    """Name the values of labels that MONAI Label wrote: 1, 2, ... in the order of its names.

    Raises:
        ScanError: LABEL_UNKNOWN: nothing names them, or there are more or fewer.
    """
    if names is None:
        fact = f"nothing names its labels: {INDEX} has no label_info for it"
        raise ScanError(Reason.LABEL_UNKNOWN, fact)
    largest = int(sitk.GetArrayViewFromImage(labels).max(initial=0))
    if largest != len(names):
        fact = f"{INDEX} names {len(names)} segments, its labels go up to {largest}"
        raise ScanError(Reason.LABEL_UNKNOWN, fact)
    return dict(enumerate(names, start=1))


def _check_names(labels: sitk.Image, names: Mapping[int, str], one: Round) -> None:
    """Refuse segments that no organ is called like, and two of one name.

    Raises:
        ScanError: LABEL_UNKNOWN, with the name that the annotator gave.
    """
    values = np.unique(sitk.GetArrayViewFromImage(labels))
    if values.any() and not names:  # values alone say nothing, not even where they look right
        raise ScanError(Reason.LABEL_UNKNOWN, "nothing names its labels: it has no segments")
    drawn = [names[value] for value in values.tolist() if value in names]
    known = {organ.name for organ in one.structures}
    unknown = [name for name in drawn if name not in known]
    if unknown:
        said = ", ".join(_shown(name) for name in unknown)
        fact = f"no organ is called {said}; rename the segment as in the table of organs"
        raise ScanError(Reason.LABEL_UNKNOWN, fact)
    if double := _first_double(drawn):
        raise ScanError(Reason.LABEL_UNKNOWN, f"two segments are called {double}; join them")


def _first_double(names: Sequence[str]) -> str | None:
    return next((name for place, name in enumerate(names) if name in names[:place]), None)


def _shown(name: str) -> str:
    return repr(name if len(name) <= _MAX_NAME else f"{name[:_MAX_NAME]}...")

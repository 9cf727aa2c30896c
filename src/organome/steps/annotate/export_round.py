"""export_round: some scans of a run -> a round for an annotator."""

import logging
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from organome.compute.labelmaps.remapping import label_extents
from organome.domain.errors import SetupError
from organome.io.files.atomic import atomic_path, publish_folder, write_bytes_atomic
from organome.io.images.labelmaps import labelmap_content, labelmap_path, read_labelmap
from organome.io.runs import Run, open_run
from organome.io.tables.parquet import read_filtered
from organome.io.tables.schemes import read_published_scheme
from organome.io.viewers.monai_label import ORIGINAL, write_index
from organome.io.viewers.slicer import SUFFIX, write_slicer_segmentation
from organome.steps.annotate.choosing import ORGAN_COLUMNS, SCAN_COLUMNS, Strategy, choose
from organome.steps.annotate.rounds import (
    IDENTITY,
    PEOPLE,
    PEOPLE_COLUMNS,
    Round,
    read_people,
    read_rounds,
    round_folder,
    write_rows,
)

_logger = logging.getLogger(__name__)

_DONE: Final = {"status": ("done",)}


@dataclass(frozen=True, slots=True)
class Exported:
    """What an annotator gets.

    Attributes:
        folder: Of the round.
        number: Of the round.
        n_scans: Scans in it.
        is_new: Whether it was begun now.
        is_waiting: Whether nothing of it has come back.
    """

    folder: Path
    number: int
    n_scans: int
    is_new: bool
    is_waiting: bool

    def __str__(self) -> str:
        """Write it as plain text."""
        if not self.is_waiting:
            return f"round {self.number} was begun before, and labels have come back: {self.folder}"
        if not self.is_new:
            return (
                f"round {self.number} waits for labels, so that no other is begun: {self.folder}\n"
                "`organome annotate import` takes them"
            )
        return (
            f"round {self.number}: {self.n_scans} scans\n"
            f"MONAI Label: {self.folder / 'datastore'}\n"
            f"3D Slicer: {self.folder / 'slicer'}; save into {self.folder / 'edited'}"
        )


def run(
    *,
    run: Path,
    output: Path,
    n: int = 50,
    strategy: Strategy = Strategy.WORST,
    seed: int = 1,
    number: int | None = None,
) -> Exported:
    """Begin a round: choose scans of a finished run and write them for an annotator.

    Scans of earlier rounds are left out. While nothing of the last round has come back, no other
    is begun.

    Args:
        run: Run folder, with tables.
        output: Folder of all rounds.
        n: Scans of the round.
        strategy: ``worst`` by what the tables flag, ``disagreement`` of folds or contrasts,
            ``random``, or ``stratified`` by sex, ten years of age and contrast.
        seed: Of chance.
        number: The round that is meant: one that was begun before is not begun again, so that a
            script can be started again anywhere. Left out: the next.

    Raises:
        SetupError: The number is not the next one; tables or images are not there; every scan was
            in a round; the rounds are of another cohort; or the run has not measured what the
            strategy goes by.
    """
    if n < 1:
        raise SetupError(f"--n is {n}, 1 or more needed")
    place = open_run(run)
    earlier = read_rounds(output)
    for one in earlier:
        is_waiting = not one.accepted_scans()
        if one.number == number or (is_waiting and one is earlier[-1]):
            return Exported(one.folder, one.number, len(one.scans), False, is_waiting)
    following = earlier[-1].number + 1 if earlier else 1
    if number not in (None, following):
        raise SetupError(f"--number is {number}, and the next round is {following}")
    seen = _seen(output, earlier)
    chosen = _choose(place, seen, n=n, strategy=strategy, seed=seed)
    cohorts = {row["cohort"] for row in chosen} | {cohort for cohort, *_ in seen}
    _check_cohort(place, output, cohorts)
    made = _write(place, output, chosen, number=following, strategy=strategy, seed=seed)
    _logger.info("event=round_exported round=%d n_scans=%d", following, len(made.scans))
    return Exported(made.folder, following, len(made.scans), is_new=True, is_waiting=True)


def _choose(
    place: Run, seen: Collection[tuple[str, ...]], *, n: int, strategy: Strategy, seed: int
) -> list[dict[str, Any]]:
    """Choose rows of the scan table.

    Raises:
        SetupError: There is no table, or no scan is left.
    """
    if not (place.tables / "scans").is_dir():
        raise SetupError(f"{place.tables}: no tables yet; `organome run` makes them")
    columns = ["scan", *IDENTITY, *SCAN_COLUMNS]
    listed = read_filtered(place.tables / "scans", columns=columns, keep=_DONE).to_pylist()
    left = {row["scan"]: row for row in listed if _identity(row) not in seen}
    if not left:
        raise SetupError(f"{place.tables}: no scan is left that was in no round")
    organs = read_filtered(place.tables / "organs", columns=ORGAN_COLUMNS, keep=_DONE)
    keys = choose(strategy, n, scans=list(left.values()), organs=organs.to_pylist(), seed=seed)
    return [left[key] for key in keys]


def _check_cohort(place: Run, output: Path, cohorts: Collection[str]) -> None:
    """Refuse a second cohort: a training takes all rounds as of one set of people."""
    if len(cohorts) > 1:
        raise SetupError(
            f"{output}: with scans of {place.folder} its rounds would be of {len(cohorts)} cohorts"
            f" ({', '.join(sorted(cohorts))}), one is needed; name another --output"
        )


def _seen(output: Path, earlier: Sequence[Round]) -> set[tuple[str, ...]]:
    """Return which scans were in a round; one that was cut off while it was written is none."""
    numbers = {str(one.number) for one in earlier}
    return {_identity(row) for row in read_people(output) if row["round"] in numbers}


def _identity(row: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple("" if row[name] is None else str(row[name]) for name in IDENTITY)


def _write(
    place: Run,
    output: Path,
    chosen: Sequence[dict[str, Any]],
    *,
    number: int,
    strategy: Strategy,
    seed: int,
) -> Round:
    """Write a round beside its place, and rename it.

    Raises:
        SetupError: Images are gone, or scans were labelled in different schemes.
    """
    target = round_folder(output, number)
    growing = target.with_name(f".{target.name}.growing")
    shutil.rmtree(growing, ignore_errors=True)
    structures = _structures(place, [row["scan"] for row in chosen])
    scans = {row["scan"]: row["contrast"] for row in chosen}
    made = Round(growing, number, strategy.value, seed, scans, structures)
    for scan, contrast in scans.items():
        _write_scan(place, made, scan, contrast)
    write_index(made.datastore, scans, {one.name: one.label for one in structures})
    made.edited.mkdir()
    made.write()
    columns = PEOPLE_COLUMNS[1:]
    people = [row for row in read_people(output) if row["round"] != str(number)]
    people += [{name: row[name] for name in columns} | {"round": number} for row in chosen]
    write_rows(output / PEOPLE, PEOPLE_COLUMNS, people)
    (output / PEOPLE).chmod(0o600)
    publish_folder(growing, target)
    return Round(target, number, strategy.value, seed, scans, structures)


def _structures(place: Run, scans: Sequence[str]) -> Any:
    folders = {place.results / "segment_organs" / scan.rpartition("-")[0] for scan in scans}
    schemes = [read_published_scheme(folder) for folder in sorted(folders)]
    found = {one.structures for one in schemes if one is not None}
    if len(found) != 1:
        raise SetupError(f"{place.folder}: labelmaps of {len(found)} label schemes, one is needed")
    return found.pop()


def _write_scan(place: Run, made: Round, scan: str, contrast: str) -> None:
    shard = scan.rpartition("-")[0]
    image = place.results / "prepare_images" / shard / f"{scan}_{contrast}.nii.gz"
    labels = labelmap_path(place.results / "segment_organs" / shard, scan)
    if not image.is_file():
        raise SetupError(f"{image}: gone since it was made (keep_images: true keeps it)")
    with atomic_path(made.image(scan)) as temporary:
        shutil.copyfile(image, temporary)
    original = made.datastore / ORIGINAL / f"{scan}.nii.gz"
    write_bytes_atomic(original, labelmap_content(labels))
    labelmap = read_labelmap(labels)
    segmentation = made.slicer / f"{scan}{SUFFIX}"
    write_slicer_segmentation(segmentation, labelmap, made.structures, label_extents(labelmap))

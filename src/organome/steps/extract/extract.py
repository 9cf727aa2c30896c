"""extract: published labelmaps as files that viewers and archives read."""

import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

from organome.domain.errors import ScanError, SetupError
from organome.domain.outcomes import Outcome, Status
from organome.domain.scans import Scan
from organome.io.files.atomic import atomic_path
from organome.io.files.published import DamagedFile
from organome.io.images.labelmaps import labelmap_path
from organome.io.runs import Run, open_run
from organome.io.tables.ledgers import LEDGER, read_ledger
from organome.io.tables.parquet import read_table
from organome.io.tables.scan_lists import listed_shards, read_shard, shard_path
from organome.io.tables.schemes import scheme_of_labelmaps
from organome.io.viewers.dicom_segmentations import SegmentationType
from organome.steps.extract.extracted_files import Format, Labelled, dicom_sources, write_as

_logger = logging.getLogger(__name__)

_STEP: Final = "segment_organs"
_UNKNOWN_TIME: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Extracted:
    """What was written.

    Attributes:
        folder: Where.
        n_written: Scans that were.
        n_without: Scans without a labelmap, where all were asked for.
        refused: Scans that were not, and why.
    """

    folder: Path
    n_written: int
    n_without: int
    refused: tuple[tuple[str, str], ...]

    @property
    def holds(self) -> bool:
        """Whether all that was asked for was written; if not, the command fails."""
        return not self.refused

    def __str__(self) -> str:
        """Write it as plain text, a line for each scan that was refused."""
        summary = f"{self.folder}: {self.n_written} labelmaps"
        if self.n_without:
            summary += f"; {self.n_without} scans have none (organome status says why)"
        return "\n".join([summary, *(f"{scan}: {why}" for scan, why in self.refused)])


def run(
    run_folder: Path,
    /,
    *,
    output: Path,
    format: Format = Format.NIFTI,
    scan: Sequence[str] = (),
    participant: str | None = None,
    instance: str | None = None,
    with_image: bool = False,
    dicom: Path | None = None,
    segmentation_type: SegmentationType = "binary",
) -> Extracted:
    """Extract labelmaps from the results of a run, packed or not; all, if no scan is named.

    Files are named by scan keys. A DICOM segmentation says of the participant what the series says.

    Args:
        run_folder: Run folder.
        output: Folder to write into; files of the same name are replaced.
        format: ``nifti``, as published; ``itk-snap``, with a label description beside it;
            ``seg-nrrd`` for 3D Slicer; ``dicom-seg``, a DICOM segmentation.
        scan: Keys of scans, ``SSSS-NNNN``, as in the tables.
        participant: Pseudonym whose scans are wanted, as the cohort has it.
        instance: Of these scans, those of one visit.
        with_image: Whether the image that was labelled is copied as well.
        dicom: For ``dicom-seg``, folder or archive with the series of one scan, if it no longer
            lies where it was listed.
        segmentation_type: Of ``dicom-seg``: ``binary`` is what every viewer shows, ``labelmap`` is
            smaller and newer.

    Raises:
        SetupError: It is not a run folder, has no results, or lists no such scan or participant.
        MachineFault: The disk is full or away.
    """
    place = open_run(run_folder)
    published = place.results / _STEP
    keys = _wanted(place, scan, participant, instance)
    if dicom is not None and len(keys) != 1:
        raise SetupError("--dicom holds the series of one scan: name it with --scan")
    n_written, n_without = 0, 0
    refused: list[tuple[str, str]] = []
    for shard, of_shard in _by_shard(published, keys):
        if not (published / shard / LEDGER).is_file():
            refused += [(key, "not segmented yet (organome status)") for key in of_shard]
            continue
        listed = {one.scan: one for one in read_shard(shard_path(place.scans, int(shard)))}
        for labelled in _labelled(published / shard, of_shard):
            outcome = labelled.outcome
            if outcome.status is Status.FAILED and not keys:
                n_without += 1
                continue
            try:
                _check_done(outcome)
                write_as(
                    format,
                    labelled,
                    output,
                    sources=partial(_sources, outcome, listed, dicom),
                    segmentation_type=segmentation_type,
                )
                if with_image:
                    _copy_image(place.results / "prepare_images" / shard, outcome, output)
            except (ScanError, DamagedFile) as error:
                refused.append((outcome.scan, str(error)))
                continue
            n_written += 1
            _logger.info("event=extracted scan=%s format=%s", outcome.scan, format)
    return Extracted(output, n_written, n_without, tuple(refused))


def _wanted(
    place: Run, keys: Sequence[str], participant: str | None, instance: str | None
) -> list[str]:
    """Return the keys of the scans that were asked for, none for all.

    Raises:
        SetupError: A scan or participant is not listed. A participant is not named.
    """
    if participant is None and instance is not None:
        raise SetupError("--instance: whose? Name --participant, too")
    if not keys and participant is None:
        return []
    if keys and participant is not None:
        raise SetupError("--scan and --participant: name one of them")
    listed = [scan for _, path in listed_shards(place.scans) for scan in read_shard(path)]
    unknown = sorted({*keys} - {scan.scan for scan in listed})
    if unknown:
        raise SetupError(
            f"--scan {unknown[0]}: no such scan in {place.scans}; keys look like 0003-0017 and"
            " stand in the tables"
        )
    if keys:
        return list(dict.fromkeys(keys))
    of_participant = [scan for scan in listed if scan.participant == participant]
    if not of_participant:
        raise SetupError(
            f"--participant: nobody of that name is listed in {place.scans}; leading zeros count"
        )
    found = [scan.scan for scan in of_participant if instance in (None, scan.instance)]
    if not found:
        there = ", ".join(sorted({scan.instance for scan in of_participant}))
        raise SetupError(f"--instance {instance}: that participant has {there}")
    return found


def _by_shard(published: Path, scans: Sequence[str]) -> list[tuple[str, tuple[str, ...]]]:
    """Name the shards, each with the scans that are wanted of it; none: all."""
    if not scans:
        shards = sorted(path.parent.name for path in published.glob(f"*/{LEDGER}"))
        if not shards:
            raise SetupError(f"{published}: no labelmaps yet; `organome run` makes them")
        return [(shard, ()) for shard in shards]
    by_shard: dict[str, list[str]] = {}
    for key in dict.fromkeys(scans):
        by_shard.setdefault(key.rpartition("-")[0], []).append(key)
    return [(shard, tuple(keys)) for shard, keys in sorted(by_shard.items())]


def _labelled(folder: Path, keys: Sequence[str]) -> Iterator[Labelled]:
    """Read what is known of the labelmaps of a shard.

    Raises:
        SetupError: The shard was not published, or has no such scan.
    """
    outcomes = read_ledger(folder / LEDGER)
    scheme = scheme_of_labelmaps(folder, outcomes)
    times = read_table(folder / LEDGER, columns=["scan", "finished_at"]).to_pydict()
    made = dict(zip(times["scan"], times["finished_at"], strict=True))
    for key in keys or outcomes:
        if key not in outcomes:
            raise SetupError(f"{folder / LEDGER}: has no scan {key}")
        yield Labelled(
            path=labelmap_path(folder, key),
            outcome=outcomes[key],
            made=_made_at(made[key]),
            scheme=scheme,
        )


def _made_at(text: str) -> datetime:
    return datetime.fromisoformat(text) if text else _UNKNOWN_TIME


def _check_done(outcome: Outcome) -> None:
    if outcome.reason is not None:
        raise ScanError(outcome.reason, f"failed in {outcome.step}: {outcome.fact}")


def _sources(outcome: Outcome, listed: Mapping[str, Scan], dicom: Path | None) -> list[Path]:
    """Return where the series of a scan may be.

    Raises:
        ScanError: It was not delivered as DICOM.
        SetupError: The scan is not listed.
    """
    if dicom is not None:
        return [dicom]
    if outcome.scan not in listed:
        raise SetupError(f"{outcome.scan}: published and not listed; is scans/ of another run?")
    return dicom_sources(listed[outcome.scan], _contrast(outcome))


def _contrast(outcome: Outcome) -> str:
    return str(outcome.facts["contrast"])


def _copy_image(images: Path, outcome: Outcome, output: Path) -> None:
    """Copy the image that was labelled; a SetupError says that it is gone."""
    name = f"{outcome.scan}_{_contrast(outcome)}.nii.gz"
    if not (images / name).is_file():
        raise SetupError(f"{images / name}: gone since it was made (keep_images: true keeps it)")
    with atomic_path(output / name) as temporary:
        shutil.copyfile(images / name, temporary)

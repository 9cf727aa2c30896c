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
from organome.io.images.labelmaps import labelmap_path
from organome.io.tables.ledgers import LEDGER, read_ledger
from organome.io.tables.parquet import read_table
from organome.io.tables.scan_lists import read_shard
from organome.io.tables.schemes import scheme_of_labelmaps
from organome.io.viewers.dicom_segmentations import SegmentationType
from organome.steps.extract.extracted_files import Format, Labelled, write_as
from organome.steps.extract.source_series import dicom_sources

_logger = logging.getLogger(__name__)

_STEP: Final = "segment_organs"
_UNKNOWN_TIME: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Whole:
    """Whether all that was asked for was written; if not, the command fails."""

    holds: bool


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
    def promises(self) -> tuple[Whole, ...]:
        """That nothing was refused."""
        return (Whole(not self.refused),)

    def __str__(self) -> str:
        """Write it as plain text, a line for each scan that was refused."""
        summary = f"{self.folder}: {self.n_written} labelmaps"
        if self.n_without:
            summary += f"; {self.n_without} scans have none (organome status says why)"
        return "\n".join([summary, *(f"{scan}: {why}" for scan, why in self.refused)])


def run(
    *,
    results: Path,
    output: Path,
    format: Format = Format.NIFTI,
    scans: Sequence[str] = (),
    with_image: bool = False,
    lists: Path | None = None,
    dicom: Path | None = None,
    segmentation_type: SegmentationType = "binary",
) -> Extracted:
    """Extract labelmaps from the results of a run, packed or not.

    Files are named by scan keys. A DICOM segmentation says of the participant what the series says.

    Args:
        results: Folder of published results.
        output: Folder to write into; files of the same name are replaced.
        format: ``nifti``, as published; ``itk-snap``, with a label description beside it;
            ``seg-nrrd`` for 3D Slicer; ``dicom-seg``, a DICOM segmentation.
        scans: Keys of scans, ``SSSS-NNNN``; all that have a labelmap, if none is named.
        with_image: Whether the image that was labelled is copied as well.
        lists: Folder of shard lists, ``scans`` in the run folder, which say where the series of
            each scan lies; for ``dicom-seg``.
        dicom: Folder or archive with the series, for one scan and instead of ``lists``.
        segmentation_type: Of ``dicom-seg``: ``binary`` is what every viewer shows, ``labelmap`` is
            smaller and newer.

    Raises:
        SetupError: There are no results or no such scan, or nothing says where the series lie.
    """
    if format is Format.DICOM_SEG and (lists is None) == (dicom is None):
        raise SetupError("dicom-seg needs either --lists (the run's scans folder) or --dicom")
    if dicom is not None and len(scans) != 1:
        raise SetupError("--dicom holds the series of one scan: name it with --scans")
    n_written, n_without = 0, 0
    refused: list[tuple[str, str]] = []
    for shard, keys in _by_shard(results / _STEP, scans):
        listed = _listed(lists, shard)
        for labelled in _labelled(results / _STEP / shard, keys):
            outcome = labelled.outcome
            if outcome.status is Status.FAILED and not scans:
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
                    _copy_image(results / "prepare_images" / shard, outcome, output)
            except ScanError as error:
                refused.append((outcome.scan, str(error)))
                continue
            n_written += 1
            _logger.info("event=extracted scan=%s format=%s", outcome.scan, format)
    return Extracted(output, n_written, n_without, tuple(refused))


def _by_shard(published: Path, scans: Sequence[str]) -> list[tuple[str, tuple[str, ...]]]:
    """Name the shards, each with the scans that are wanted of it; none: all."""
    if not scans:
        shards = sorted(path.parent.name for path in published.glob(f"*/{LEDGER}"))
        if not shards:
            raise SetupError(f"{published}: no labelmaps were published there")
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


def _listed(lists: Path | None, shard: str) -> dict[str, Scan]:
    if lists is None:
        return {}
    return {scan.scan: scan for scan in read_shard(lists / f"{shard}.parquet")}


def _sources(outcome: Outcome, listed: Mapping[str, Scan], dicom: Path | None) -> list[Path]:
    """Return where the series of a scan may be.

    Raises:
        ScanError: It was not delivered as DICOM.
        SetupError: The scan is not listed.
    """
    if dicom is not None:
        return [dicom]
    if outcome.scan not in listed:
        raise SetupError(f"{outcome.scan} is not in the lists: they are of another run")
    return dicom_sources(listed[outcome.scan], _contrast(outcome))


def _contrast(outcome: Outcome) -> str:
    return str(outcome.facts["contrast"])


def _copy_image(images: Path, outcome: Outcome, output: Path) -> None:
    """Copy the image that was labelled.

    Raises:
        SetupError: It is gone.
    """
    name = f"{outcome.scan}_{_contrast(outcome)}.nii.gz"
    if not (images / name).is_file():
        raise SetupError(f"{images / name}: gone since it was made (keep_images: true keeps it)")
    with atomic_path(output / name) as temporary:
        shutil.copyfile(images / name, temporary)

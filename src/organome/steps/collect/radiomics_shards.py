"""Shards as measure_radiomics published them: checked against the organ rows, and collected."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import pyarrow as pa

from organome.domain.columns import Table
from organome.domain.errors import SetupError
from organome.domain.measured_files import FILES
from organome.domain.radiomics_tables import RADIOMICS, feature_columns, radiomics_table
from organome.domain.tables import ORGAN_ROWS
from organome.io.tables.ledgers import LEDGER
from organome.io.tables.parquet import ROW_GROUP_ROWS, column_names, read_table, write_pieces
from organome.steps.collect.measured_shards import PlacedScan, read_rows


@dataclass(frozen=True, slots=True)
class MeasuredRadiomics:
    """What was measured in a shard, the same in all shards of a cohort.

    Attributes:
        features: Names of the features, in order of the columns.
        digests: Digest of the settings by contrast, in order of contrast.
        n_rows: Rows of all scans.
        n_rows_per_scan: Rows of the scan that has most.
    """

    features: tuple[str, ...]
    digests: tuple[tuple[str, str], ...]
    n_rows: int
    n_rows_per_scan: int

    @property
    def table(self) -> Table:
        """The table that the rows are rows of."""
        return radiomics_table(self.features)


def check_radiomics(folder: Path, measured: Path) -> MeasuredRadiomics:
    """Check that a shard holds a row for each scan, image and organ; only keys are read.

    Args:
        folder: Folder of the shard that measure_radiomics published.
        measured: Folder of the shard that measure_volumes published; its organ rows say which
            scans and structures there are.

    Raises:
        SetupError: If not.
    """
    path = folder / FILES[RADIOMICS]
    for needed in (folder / LEDGER, path):
        if not needed.is_file():
            raise SetupError(f"shard {folder.name}: {needed} is missing, measure its radiomics")
    rows = read_table(path, columns=["scan", "contrast", "label", "settings_digest"]).to_pydict()
    digests = tuple(sorted(set(zip(rows["contrast"], rows["settings_digest"], strict=True))))
    contrasts = [contrast for contrast, _ in digests]
    if len(set(contrasts)) != len(contrasts):
        raise SetupError(f"shard {folder.name}: {path.name} mixes settings, measure it again")
    organs = read_table(measured / FILES[ORGAN_ROWS.name], columns=["scan", "label"]).to_pydict()
    of_scans = zip(organs["scan"], organs["label"], strict=True)
    labels = {
        scan: [label for _, label in of_scan]
        for scan, of_scan in groupby(of_scans, lambda it: it[0])
    }
    wanted = [
        (scan, contrast, label)
        for scan, of_scan in labels.items()
        for contrast in contrasts
        for label in of_scan
    ]
    if list(zip(rows["scan"], rows["contrast"], rows["label"], strict=True)) != wanted:
        raise SetupError(
            f"shard {folder.name}: {path.name} does not hold a row for each scan, image and organ"
        )
    return MeasuredRadiomics(
        features=feature_columns(column_names(path)),
        digests=digests,
        n_rows=len(wanted),
        n_rows_per_scan=len(contrasts) * max(map(len, labels.values()), default=0),
    )


def join_shards(shards: Sequence[tuple[Path, MeasuredRadiomics]]) -> MeasuredRadiomics:
    """Tell of all shards together.

    Raises:
        SetupError: If settings or release differ between shards.
    """
    (_, first), *others = shards
    for folder, other in others:
        if (other.features, other.digests) != (first.features, first.digests):
            raise SetupError(
                f"shard {folder.name}: radiomics by other settings than in shard "
                f"{shards[0][0].name}; measure both again"
            )
    return replace(
        first,
        n_rows=sum(one.n_rows for _, one in shards),
        n_rows_per_scan=max(one.n_rows_per_scan for _, one in shards),
    )


def write_radiomics(
    path: Path, part: Sequence[PlacedScan], radiomics: Path, measured: MeasuredRadiomics
) -> None:
    """Write the rows of some scans, in their order; few of them are in memory at a time.

    Args:
        path: The file.
        part: The scans, as measure_volumes published them.
        radiomics: Folder that holds the shards of measure_radiomics.
        measured: What was measured.
    """
    moved = [replace(scan, folder=radiomics / scan.folder.name) for scan in part]
    write_pieces(path, measured.table, _pieces(moved, measured))


def _pieces(scans: Sequence[PlacedScan], measured: MeasuredRadiomics) -> Iterator[pa.Table]:
    n_scans = max(1, ROW_GROUP_ROWS // max(1, measured.n_rows_per_scan))
    for start in range(0, len(scans), n_scans):
        yield read_rows(measured.table, scans[start : start + n_scans])

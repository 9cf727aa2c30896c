"""export_combat: radiomics -> matrices as the harmonisation tool ComBat reads them.

ComBat takes neither missing nor constant values, so each image and organ is a matrix of its own,
of the scans that have it whole and all its features. What is left out is listed, never filled in.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pandas as pd

from organome.domain.radiomics_tables import RADIOMICS
from organome.domain.stability_tables import Repeat
from organome.io.files.atomic import write_text_atomic
from organome.io.tables.parquet import read_table
from organome.steps.radiomics.columns import (
    features_of,
    find_parts,
    measured_groups,
    read_rows,
)
from organome.steps.radiomics.combat_samples import BATCH, read_covariates, read_samples

# Above this share of scans that lack it a feature is left out, up to it the scans are.
_MAX_MISSING_SHARE: Final = 0.5


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written.

    Attributes:
        n_matrices: Images times organs.
        n_samples: Scans in the largest of them.
        n_batches: Batches in all.
        n_left_out: Images times organs of which nothing can be harmonised.
        n_one_batch: Those of them whose scans are of one batch.
        n_rows_unmatched: Rows of the covariate file that match no scan.
        n_scans_unmatched: Scans that match no row of the covariate file.
    """

    n_matrices: int
    n_samples: int
    n_batches: int
    n_left_out: int
    n_one_batch: int = 0
    n_rows_unmatched: int = 0
    n_scans_unmatched: int = 0

    @property
    def holds(self) -> bool:
        """Whether anything was written; if not, the command ends with exit code 3."""
        return self.n_matrices > 0

    def __str__(self) -> str:
        """Format the result in one line."""
        line = (
            f"{self.n_matrices} matrices of up to {self.n_samples} scans in {self.n_batches}"
            f" batches; {self.n_left_out} organs have too few scans or features"
        )
        if self.n_one_batch:
            line += f", {self.n_one_batch} of them one batch only: name others by --batch"
        if self.n_rows_unmatched or self.n_scans_unmatched:
            line += (
                f"; covariates: {self.n_rows_unmatched} rows match no scan,"
                f" {self.n_scans_unmatched} scans match no row"
            )
        return line


def run(
    *,
    tables: Path,
    output: Path,
    contrasts: Sequence[str] = (),
    organs: Sequence[str] = (),
    batch: Sequence[str] = ("manufacturer", "scanner_model", "field_strength_t"),
    covariates: Path | None = None,
    scan_columns: Sequence[str] = (),
    stability: Path | None = None,
    repeat: Repeat = Repeat.VISITS,
    min_icc: float = 0.75,
    min_per_batch: int = 3,
) -> Exported:
    """Write a matrix of features for each image and organ.

    Args:
        tables: Folder that collect_tables published, with radiomics.
        output: Folder to write: ``<contrast>/<organ>/features.csv`` (features x samples),
            ``covars.csv`` (a row per sample), and in any case ``left_out.csv`` with the reasons.
            Samples are scan keys.
        contrasts: Images to write; all when none is named.
        organs: Organs to write; all when none is named. Each is read on its own.
        batch: Columns of the scan table or of the covariate file that make up the batch, joined by
            a space: the scanner by default, the assessment centre in UK Biobank.
        covariates: TSV, CSV or Parquet file with a column ``participant`` and optionally
            ``instance``, both text, or the ``participants.tsv`` of BIDS; its other columns become
            covariates.
        scan_columns: Columns of the scan table to keep as covariates, such as ``height_m``.
        stability: Table of radiomics-stability; only features that repeat are written.
        repeat: Which repeats of it count.
        min_icc: ICC(2,1) that a feature must reach, by the lower end of its interval.
        min_per_batch: Scans that a batch must have.

    Raises:
        SetupError: If a table or column is missing, or the covariate file cannot be joined.
    """
    extra = None if covariates is None else read_covariates(covariates, batch, scan_columns)
    samples = read_samples(tables, batch, scan_columns, extra)
    parts = find_parts(tables, RADIOMICS)
    kept = None if stability is None else _repeating(stability, repeat, min_icc)
    written, n_one_batch = list[_Matrix](), 0
    groups = [
        (contrast, organ)
        for contrast, organ in measured_groups(parts)
        if contrast in (contrasts or [contrast]) and organ in (organs or [organ])
    ]
    for contrast, organ in groups:
        columns = ["scan", "truncated", *features_of(parts[0])]
        rows = read_rows(parts, columns, contrast=[contrast], organ=[organ])
        repeating = None if kept is None else kept.get((contrast, organ), set())
        matrix = _complete(rows, samples.scans, repeating, min_per_batch=min_per_batch)
        _write(output / contrast / organ, matrix)
        n_one_batch += "only_batch" in set(matrix.left_out["why"])
        if matrix.is_written:
            written.append(matrix)
    return Exported(
        n_matrices=len(written),
        n_samples=max((len(matrix.features) for matrix in written), default=0),
        n_batches=len({name for matrix in written for name in matrix.covars[BATCH]}),
        n_left_out=len(groups) - len(written),
        n_one_batch=n_one_batch,
        n_rows_unmatched=samples.n_rows_unmatched,
        n_scans_unmatched=samples.n_scans_unmatched,
    )


@dataclass(frozen=True, slots=True)
class _Matrix:
    features: pd.DataFrame  # a row per sample
    covars: pd.DataFrame  # likewise
    left_out: pd.DataFrame

    @property
    def is_written(self) -> bool:
        return not self.features.empty


def _repeating(stability: Path, repeat: Repeat, min_icc: float) -> dict[tuple[str, str], set[str]]:
    rows = read_table(stability).to_pandas()
    rows = rows[(rows["repeat"] == repeat) & (rows["icc_agreement_low"] >= min_icc)]
    groups = rows.groupby(["contrast", "organ"])["feature"]
    return {(contrast, organ): set(names) for (contrast, organ), names in groups}


def _complete(
    rows: pd.DataFrame, scans: pd.DataFrame, repeating: set[str] | None, *, min_per_batch: int
) -> _Matrix:
    """Leave out scans and features until nothing is missing and nothing is constant."""
    table = rows.merge(scans, on="scan", validate="one_to_one").set_index("scan")
    names = [name for name in rows.columns if name not in ("scan", "truncated")]
    covariates = [name for name in scans.columns if name != "scan"]
    left_out: list[tuple[str, str]] = []

    def leave_out(why: str, wrong: pd.Series) -> None:
        nonlocal table
        left_out.extend((sample, why) for sample in table.index[wrong])
        table = table[~wrong]

    leave_out("organ_missing", table["truncated"].isna())
    leave_out("truncated", table["truncated"].eq(True))
    leave_out("feature_missing", table[names].isna().all(axis=1))
    missing = table[names].isna().mean()
    features = dict(_features_left_out(missing, repeating))
    names = [name for name in names if name not in features]
    leave_out("feature_missing", table[names].isna().any(axis=1))
    leave_out("batch_missing", table[BATCH].isna())
    leave_out("covariate_missing", table[covariates].isna().any(axis=1))
    leave_out("batch_too_small", table.groupby(BATCH)[BATCH].transform("size") < min_per_batch)
    if table[BATCH].nunique() < 2:
        leave_out("only_batch", table[BATCH].notna())
    constant = table.groupby(BATCH)[names].nunique().min() < 2
    features |= dict.fromkeys(constant.index[constant], "constant_in_a_batch")
    used = [name for name in names if name not in features]
    return _Matrix(
        table[used],
        table[covariates],
        pd.DataFrame([*left_out, *features.items()], columns=["what", "why"]),
    )


def _features_left_out(missing: pd.Series, repeating: set[str] | None) -> Iterator[tuple[str, str]]:
    """Find features that would cost too many scans, or that were not asked for.

    Args:
        missing: Share of scans that lack a feature, by its name. Two images with filters of their
            own have each other's columns, and a filter may not fit into an image.
        repeating: Features that repeat, None if all are wanted.
    """
    for name, share in missing.items():
        if repeating is not None and name not in repeating:
            yield str(name), "does_not_repeat"
        elif share > _MAX_MISSING_SHARE:
            yield str(name), "missing_in_all" if share == 1 else "missing_in_most"


def _write(folder: Path, matrix: _Matrix) -> None:
    features = matrix.features.T.rename_axis("feature")
    covars = matrix.covars.rename_axis("sample")
    for name, table, index in (
        ("features.csv", features, True),
        ("covars.csv", covars, True),
        ("left_out.csv", matrix.left_out, False),
    ):
        if matrix.is_written or name == "left_out.csv":
            write_text_atomic(folder / name, table.to_csv(index=index, lineterminator="\n"))
        else:
            (folder / name).unlink(missing_ok=True)  # of an earlier export

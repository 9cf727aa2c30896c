"""radiomics_stability: features of two visits of the same people -> how well each repeats."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from organome.compute.repeatability import intraclass_correlation
from organome.domain.columns import Column, ColumnType, Table
from organome.domain.errors import SetupError
from organome.domain.feature_names import FeatureClass
from organome.io.scan_lists import listed_shards, read_shard
from organome.io.tables import read_table, rows_to_arrow, write_table
from organome.steps.measure_radiomics import RADIOMICS_FILE

STABILITY: Final = Table(
    name="radiomics_stability",
    row="One row per organ, image and feature.",
    key=("organ", "contrast", "feature"),
    columns=(
        Column("organ", ColumnType.STRING, "Name of the organ.", nullable=False),
        Column("contrast", ColumnType.STRING, "Image that was measured.", nullable=False),
        Column("feature", ColumnType.STRING, "Name of the feature.", nullable=False),
        Column(
            "n_pairs",
            ColumnType.INT32,
            "Participants with the feature at both visits.",
            "participants",
            nullable=False,
        ),
        Column(
            "icc",
            ColumnType.FLOAT64,
            "Intraclass correlation of the two visits, ICC(A,1); null with fewer than three pairs. "
            "What changed in the years between counts as not repeating.",
        ),
    ),
)
_PAIR_KEY: Final = ("cohort", "participant", "array", "protocol", "station", "label", "contrast")
_CLASSES: Final = tuple(f"_{name}_" for name in FeatureClass)


def run(
    *,
    scans: Path,
    measured: Path,
    output: Path,
    first_instance: str = "2",
    second_instance: str = "3",
) -> str:
    """Compute how well features repeat between two visits.

    Args:
        scans: Folder of the shard lists.
        measured: Folder that holds the shards of measure_radiomics.
        output: Table to write.
        first_instance: The one visit, as the biobank counts.
        second_instance: The other.

    Raises:
        SetupError: If a shard was not measured, or no participant has both visits.
    """
    rows = pd.concat([_shard_rows(path, measured) for _, path in listed_shards(scans)])
    first, second = (
        rows[rows["instance"] == instance]
        .drop_duplicates(list(_PAIR_KEY))
        .set_index([*_PAIR_KEY, "organ"])
        for instance in (first_instance, second_instance)
    )
    both = first.index.intersection(second.index)
    if both.empty:
        raise SetupError(
            f"{measured}: no participant has instance {first_instance} and {second_instance}"
        )
    made = list(_stability_rows(first.loc[both], second.loc[both]))
    write_table(output, rows_to_arrow(STABILITY, made))
    icc = np.array([row["icc"] for row in made if row["icc"] is not None])
    said = f"{len(made)} features of organs; {len(icc)} with an ICC"
    return f"{said}, median {np.median(icc):.2f}" if icc.size else said


def _shard_rows(path: Path, measured: Path) -> pd.DataFrame:
    table = measured / path.stem / RADIOMICS_FILE
    if not table.is_file():
        raise SetupError(f"{table}: missing, measure the radiomics of this shard first")
    visits = pd.DataFrame(
        [
            {
                "scan": scan.scan,
                "instance": scan.instance,
                "cohort": scan.cohort,
                "participant": scan.participant,
                "array": scan.array,
                "protocol": scan.protocol,
                "station": scan.station or 0,
            }
            for scan in read_shard(path)
        ]
    )
    rows: pd.DataFrame = read_table(table).to_pandas()
    return rows.merge(visits, on="scan")


def _stability_rows(first: pd.DataFrame, second: pd.DataFrame) -> Iterator[dict[str, Any]]:
    features = [name for name in first.columns if any(word in name for word in _CLASSES)]
    of_group = first.index.to_frame(index=False)[["organ", "contrast"]]
    for organ, contrast in sorted(set(of_group.itertuples(index=False, name=None))):
        chosen = ((of_group["organ"] == organ) & (of_group["contrast"] == contrast)).to_numpy()
        one, other = first[chosen], second[chosen]
        for feature in features:
            values = [frame[feature].to_numpy(np.float64) for frame in (one, other)]
            yield {
                "organ": organ,
                "contrast": contrast,
                "feature": feature,
                "n_pairs": int(np.count_nonzero(~np.isnan(values).any(axis=0))),
                "icc": intraclass_correlation(*values),
            }

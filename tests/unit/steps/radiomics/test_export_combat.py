from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from doubles.radiomics import NOISY, STEADY, write_cohort
from organome.domain.errors import SetupError
from organome.io.tables.parquet import read_table
from organome.steps.radiomics import radiomics_stability
from organome.steps.radiomics.export_combat import Exported, run

ORGAN = Path("combat", "water", "liver")


def export(folder: Path, **more: Any) -> Exported:
    return run(
        tables=folder / "tables",
        output=folder / "combat",
        **{"batch": ["manufacturer", "scanner_model"], **more},
    )


def exported(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    features = pd.read_csv(folder / ORGAN / "features.csv", index_col="feature")
    covars = pd.read_csv(folder / ORGAN / "covars.csv", index_col="sample")
    return features, covars, pd.read_csv(folder / ORGAN / "left_out.csv")


def test_matrix_is_features_by_samples_and_covars_are_in_its_order(tmp_path: Path) -> None:
    write_cohort(tmp_path, 10)
    assert str(export(tmp_path)).startswith("1 matrices of up to 18 scans in 2 batches")
    features, covars, left_out = exported(tmp_path)
    assert list(features.index) == [STEADY, NOISY]
    assert list(features.columns) == list(covars.index)
    assert set(covars["SITE"]) == {"M A", "M B"}
    assert not features.isna().any(axis=None)
    assert left_out["why"].tolist() == ["feature_missing"] * 2  # both scans of the first
    rows = read_table(tmp_path / "tables" / "radiomics" / "part-0000.parquet").to_pandas()
    values = rows.set_index("scan")[STEADY]
    np.testing.assert_array_equal(features.loc[STEADY], values[list(features.columns)])


def test_nobody_is_named_but_visits_of_one_person_can_be_told(tmp_path: Path) -> None:
    write_cohort(tmp_path, 10)
    export(tmp_path)
    assert not [
        path
        for path in (tmp_path / ORGAN).iterdir()
        if any(f"p{person}" in path.read_text() for person in range(10))
    ]
    _, covars, _ = exported(tmp_path)
    assert covars.groupby("subject")["instance"].nunique().tolist() == [2] * 9


def test_organs_that_are_cut_and_small_batches_are_left_out(tmp_path: Path) -> None:
    write_cohort(tmp_path, 8, n_truncated=3)  # two participants are left of model A, three of B
    export(tmp_path, least_per_batch=5)
    features, covars, left_out = exported(tmp_path)
    assert left_out["why"].value_counts().to_dict() == {"truncated": 6, "batch_too_small": 4}
    assert set(covars["SITE"]) == {"M B"}
    assert features.shape == (2, 6)


def test_covariates_come_from_the_scan_table_and_from_a_table_of_participants(
    tmp_path: Path,
) -> None:
    write_cohort(tmp_path, 10)
    told = tmp_path / "participants.tsv"
    told.write_text("participant\tage\n" + "".join(f"p{n}\t{50 + n}\n" for n in range(9)))
    export(tmp_path, covariates=["height_m"], participants=told)
    _, covars, left_out = exported(tmp_path)
    assert list(covars.columns) == ["SITE", "subject", "instance", "height_m", "age"]
    assert left_out["why"].tolist() == ["feature_missing"] * 2 + ["covariate_missing"] * 2


def test_only_features_that_repeat_are_written_if_asked(tmp_path: Path) -> None:
    write_cohort(tmp_path, 30)
    stability = tmp_path / "s.parquet"
    radiomics_stability.run(tables=tmp_path / "tables", output=stability)
    export(tmp_path, stability=stability)
    features, _, _ = exported(tmp_path)
    assert list(features.index) == [STEADY]


def test_only_what_is_named_is_written(tmp_path: Path) -> None:
    write_cohort(tmp_path, 10)
    assert export(tmp_path, organs=["spleen"]).n_matrices == 0
    assert export(tmp_path, organs=["liver"], contrasts=["water"]).n_matrices == 1


def test_unknown_columns_are_named(tmp_path: Path) -> None:
    write_cohort(tmp_path, 3)
    with pytest.raises(SetupError, match="scanner_serial"):
        export(tmp_path, batch=["scanner_serial"])
    (tmp_path / "t.tsv").write_text("eid\tage\n1\t50\n")
    with pytest.raises(SetupError, match="participant"):
        export(tmp_path, participants=tmp_path / "t.tsv")

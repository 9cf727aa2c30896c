import contextlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from doubles.places import REPOSITORY
from doubles.radiomics import NOISY, STEADY, write_cohort
from organome.domain.errors import SetupError
from organome.domain.radiomics_tables import feature_columns, radiomics_table
from organome.io.tables.parquet import read_table, rows_to_arrow, write_table
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
    export(tmp_path)  # an earlier one must not stay
    done = export(tmp_path, min_per_batch=5)
    why = pd.read_csv(tmp_path / ORGAN / "left_out.csv")["why"].value_counts()
    assert why.to_dict() == {"truncated": 6, "batch_too_small": 4, "only_batch": 6}
    assert [path.name for path in (tmp_path / ORGAN).iterdir()] == ["left_out.csv"]
    assert (done.holds, done.n_matrices, done.n_one_batch) == (False, 0, 1)
    assert "1 of them one batch only: name others by --batch" in str(done)


def rewrite(folder: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    path = folder / "tables" / "radiomics" / "part-0000.parquet"
    rows = change(read_table(path).to_pandas())
    table = radiomics_table(feature_columns([str(name) for name in rows.columns]))
    records: Any = rows.astype(object).where(rows.notna(), None).to_dict("records")
    write_table(path, rows_to_arrow(table, records))


def test_images_with_filters_of_their_own_are_both_written(tmp_path: Path) -> None:
    write_cohort(tmp_path, 8)
    log = "log-sigma-2-0-mm-3D_firstorder_Mean"

    def add_image(rows: pd.DataFrame) -> pd.DataFrame:
        other = rows.assign(contrast="fat").rename(columns={NOISY: log})
        return pd.concat([rows, other])

    rewrite(tmp_path, add_image)
    assert export(tmp_path).n_matrices == 2
    for contrast, has, lacks in (("water", NOISY, log), ("fat", log, NOISY)):
        folder = tmp_path / "combat" / contrast / "liver"
        features = pd.read_csv(folder / "features.csv", index_col="feature")
        assert set(features.index) == {STEADY, has}
        assert features.shape[1] == 14  # of seven participants: the first lacks a value
        left_out = pd.read_csv(folder / "left_out.csv").set_index("what")["why"]
        assert left_out[lacks] == "missing_in_all"


def test_feature_that_most_scans_lack_is_left_out_and_not_these_scans(tmp_path: Path) -> None:
    write_cohort(tmp_path, 8)
    rewrite(tmp_path, lambda rows: rows.assign(**{NOISY: rows[NOISY].where(rows.index % 3 == 0)}))
    export(tmp_path)
    features, _, left_out = exported(tmp_path)
    assert features.shape == (1, 16)
    assert left_out.to_numpy().tolist() == [[NOISY, "missing_in_most"]]


def test_scans_without_any_feature_cost_no_feature(tmp_path: Path) -> None:
    write_cohort(tmp_path, 10)

    def exchange_two_thirds(rows: pd.DataFrame) -> pd.DataFrame:  # fat and water
        rows.loc[rows.index % 10 <= 5, [STEADY, NOISY]] = None
        return rows

    rewrite(tmp_path, exchange_two_thirds)
    export(tmp_path, min_per_batch=2)
    features, _, left_out = exported(tmp_path)
    assert features.shape == (2, 8)
    assert set(left_out["why"]) == {"feature_missing"}


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")  # theirs
def test_both_tools_take_what_is_written_and_remove_the_batch(tmp_path: Path) -> None:
    write_cohort(tmp_path, 30)
    people = tmp_path / "participants.tsv"
    lines = [f"sub-p{n}\t{50 + n % 17}\t{'MF'[n % 5 % 2]}\t{1100 + n % 2}" for n in range(30)]
    people.write_text("\n".join(["participant_id\tage\tsex\tcentre", *lines]))
    rewrite(
        tmp_path,
        lambda rows: rows.assign(
            **{STEADY: rows[STEADY] + 50 * (rows["participant"].str[1:].astype(int) % 2)}
        ),
    )
    done = export(tmp_path, batch=["centre"], covariates=people)
    assert (done.n_batches, done.n_scans_unmatched) == (2, 0)
    page = (REPOSITORY / "docs" / "radiomics.md").read_text()
    code = page.split("```python\n")[1].split("```")[0]
    names: dict[str, Any] = {}
    with contextlib.chdir(tmp_path), contextlib.redirect_stdout(io.StringIO()):
        exec(code.replace("fat_fraction/liver", "water/liver"), names)
    site = names["covars"]["SITE"].to_numpy() == "1101"
    before = names["features"].to_numpy()
    assert abs(before[0, site].mean() - before[0, ~site].mean()) > 30
    for made in (names["by_combat"], names["by_harmonize"].T):
        assert made.shape == before.shape
        assert abs(made[0, site].mean() - made[0, ~site].mean()) < 5
    np.testing.assert_allclose(names["by_combat"], names["by_harmonize"].T, rtol=1e-9)


def test_covariates_come_from_the_scan_table_and_from_a_covariate_file(
    tmp_path: Path,
) -> None:
    write_cohort(tmp_path, 10)
    ages = tmp_path / "participants.tsv"
    ages.write_text("participant\tage\n" + "".join(f"p{n}\t{50 + n}\n" for n in range(9)))
    export(tmp_path, scan_columns=["height_m"], covariates=ages)
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
    assert [NOISY, "does_not_repeat"] in exported(tmp_path)[2].to_numpy().tolist()


def test_only_what_is_named_is_written(tmp_path: Path) -> None:
    write_cohort(tmp_path, 10)
    assert export(tmp_path, organs=["spleen"]).n_matrices == 0
    assert export(tmp_path, organs=["liver"], contrasts=["water"]).n_matrices == 1


def test_unknown_columns_are_named(tmp_path: Path) -> None:
    write_cohort(tmp_path, 3)
    with pytest.raises(SetupError, match="scanner_serial"):
        export(tmp_path, batch=["scanner_serial"])
    (tmp_path / "t.tsv").write_text("eid\tage\n1\t50\n")
    with pytest.raises(SetupError, match="no column 'participant'; it has eid, age"):
        export(tmp_path, covariates=tmp_path / "t.tsv")


def centres(path: Path, rows: list[tuple[str, str, int | None]]) -> Path:
    """Write a covariate file of assessment centres by participant and instance."""
    table = pd.DataFrame(rows, columns=["participant", "instance", "centre"])
    table["centre"] = table["centre"].astype("Int64")
    if path.suffix == ".parquet":
        table.to_parquet(path)
    else:
        table.to_csv(path, sep="\t" if path.suffix == ".tsv" else ",", index=False)
    return path


def every_visit(n: int) -> list[tuple[str, str, int | None]]:
    return [(f"p{k}", visit, 11025 + k % 2) for k in range(n) for visit in ("2", "3")]


@pytest.mark.parametrize("kind", ["tsv", "csv", "parquet"])
def test_batch_may_be_the_assessment_centre_of_a_covariate_file(tmp_path: Path, kind: str) -> None:
    write_cohort(tmp_path, 10)
    path = centres(tmp_path / f"c.{kind}", every_visit(10))
    done = export(tmp_path, batch=["centre"], covariates=path)
    _, covars, _ = exported(tmp_path)
    assert (done.n_batches, done.n_rows_unmatched, done.n_scans_unmatched) == (2, 0, 0)
    assert set(covars["SITE"].astype(str)) == {"11025", "11026"}
    assert list(covars.columns) == ["SITE", "subject", "instance"]


def test_batch_may_mix_columns_of_both_tables(tmp_path: Path) -> None:
    write_cohort(tmp_path, 10)
    path = centres(tmp_path / "c.tsv", every_visit(10))
    export(tmp_path, batch=["centre", "manufacturer"], covariates=path)
    assert set(exported(tmp_path)[1]["SITE"]) == {"11025 M", "11026 M"}


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_scans_without_a_centre_are_left_out_and_counted_but_nobody_is_named(
    tmp_path: Path, kind: str
) -> None:
    write_cohort(tmp_path, 10)
    rows = [*every_visit(9)[:-1], ("p8", "3", None), ("withdrawn", "2", 11025)]
    path = centres(tmp_path / f"c.{kind}", rows)
    done = export(tmp_path, batch=["centre"], covariates=path)
    _, covars, left_out = exported(tmp_path)
    assert left_out["why"].value_counts()["batch_missing"] == 3
    assert set(covars["SITE"].astype(str)) == {"11025", "11026"}
    assert "1 rows match no scan, 2 scans match no row" in str(done)
    assert "withdrawn" not in str(done)


def test_leading_zeros_of_participants_count(tmp_path: Path) -> None:
    write_cohort(tmp_path, 4)
    (tmp_path / "c.csv").write_text("participant,centre\n007,1\n7,2\n")
    assert export(tmp_path, covariates=tmp_path / "c.csv").n_rows_unmatched == 2


@pytest.mark.parametrize("kind", ["tsv", "parquet"])
def test_covariate_file_that_repeats_a_key_is_refused_without_naming_it(
    tmp_path: Path, kind: str
) -> None:
    write_cohort(tmp_path, 4)
    path = centres(tmp_path / f"c.{kind}", [*every_visit(4), ("p3", "2", 1)])
    with pytest.raises(SetupError, match="1 rows repeat the participant and instance") as error:
        export(tmp_path, batch=["centre"], covariates=path)
    assert "p3" not in str(error.value)


def test_column_missing_from_both_tables_is_named_with_what_there_is(tmp_path: Path) -> None:
    write_cohort(tmp_path, 4)
    path = centres(tmp_path / "c.tsv", every_visit(4))
    with pytest.raises(SetupError, match=r"no column ward;.*manufacturer.*\n.*has centre"):
        export(tmp_path, batch=["ward"], covariates=path)


def test_column_of_both_tables_is_refused(tmp_path: Path) -> None:
    write_cohort(tmp_path, 4)
    (tmp_path / "c.tsv").write_text("participant\tmanufacturer\np1\tM\n")
    with pytest.raises(SetupError, match="rename manufacturer"):
        export(tmp_path, covariates=tmp_path / "c.tsv")


def test_participants_that_are_numbers_in_parquet_are_refused(tmp_path: Path) -> None:
    write_cohort(tmp_path, 4)
    pd.DataFrame({"participant": [1, 2], "age": [50, 51]}).to_parquet(tmp_path / "c.parquet")
    with pytest.raises(SetupError, match="'participant' must be text"):
        export(tmp_path, covariates=tmp_path / "c.parquet")


def test_other_formats_and_broken_files_are_refused(tmp_path: Path) -> None:
    write_cohort(tmp_path, 4)
    for name, content in (("c.xlsx", "x"), ("c.parquet", "x"), ("c.csv", "")):
        (tmp_path / name).write_text(content)
        with pytest.raises(SetupError, match=name):
            export(tmp_path, covariates=tmp_path / name)

import csv
import gzip
import json
import math
import shutil
import statistics
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pyreadstat
import pytest
import rdata
from frictionless import Package

from doubles.cohort_tables import FEATURE, N_PEOPLE, liver_ml, write_cohort_tables
from organome.domain.errors import SetupError
from organome.domain.organs import ORGANS
from organome.domain.quality_tables import COVARIATES
from organome.domain.tables import SCANS, VISITS
from organome.io.tables.parquet import arrow_schema, read_table, rows_to_arrow, write_table
from organome.steps.export.export import Format, run

WIDE: dict[str, Any] = {
    "organs": ["liver", "spleen"],
    "values": ["volume_ml", "fat_fraction_mean", "truncated"],
    "scan_columns": ["flags", "n_stations", "contrast_agent", "site"],
    "radiomics": [FEATURE],
    "contrasts": ["water"],
}
LIVERS = [liver_ml(person) for person in range(8)] + [liver_ml(7)]


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "tables"
    write_cohort_tables(folder)
    return folder


@pytest.fixture(scope="module")
def exported(tables: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the wide visits in every format into one folder."""
    folder = tmp_path_factory.mktemp("exported")
    wide = {**WIDE, "organs": ["liver"]}
    for one in (Format.DTA, Format.PARQUET, Format.RDS, Format.SAV, Format.CSV):
        run(tables=tables, output=folder, format=one, **wide)
    return folder


def same(found: Any, expected: list[float | None]) -> None:
    values = [None if value is None or math.isnan(value) else value for value in found]
    assert values == pytest.approx(expected)


def test_csv_keeps_ids_nulls_and_reasons(exported: Path) -> None:
    with (exported / "visits.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == N_PEOPLE + 1
    assert [row["participant"] for row in rows[:9]] == [
        *("000", "001", "002", "003", "004", "005", "006", "007", "007")
    ]
    assert (rows[0]["liver_volume_ml"], rows[0]["liver_na_reason"]) == ("", "truncated")
    assert float(rows[1]["liver_volume_ml"]) == liver_ml(1)
    assert (rows[3]["flags"], rows[3]["liver_fat_fraction_mean"]) == ("header_odd", "0.03")
    assert (rows[0]["contrast_agent"], rows[1]["contrast_agent"]) == ("true", "")
    assert float(rows[8][f"liver_water_{FEATURE}"]) == 24.5


def test_frictionless_validates_the_package(exported: Path) -> None:
    report = Package(str(exported / "datapackage.json")).validate()
    assert report.valid, report.flatten(["rowNumber", "fieldName", "type", "note"])[:5]


def test_stata_has_labels_and_a_code_for_each_reason(exported: Path) -> None:
    frame, about = pyreadstat.read_dta(exported / "visits.dta", user_missing=True)
    assert frame["participant"].tolist()[:2] == ["000", "001"]
    truncated = frame["liver_volume_ml"].tolist()[0]
    assert about.variable_value_labels["liver_volume_ml"][truncated] == "truncated"
    assert about.column_names_to_labels["liver_volume_ml"].startswith("Volume of liver")
    plain = pd.read_stata(exported / "visits.dta", convert_categoricals=False)
    same(plain["liver_volume_ml"][:9], LIVERS)
    assert all(len(name) <= 32 for name in plain.columns)


def test_spss_has_labels_and_a_code_for_each_reason(exported: Path) -> None:
    frame, about = pyreadstat.read_sav(exported / "visits.sav")
    same(frame["liver_volume_ml"][:9], LIVERS)
    coded, _ = pyreadstat.read_sav(exported / "visits.sav", user_missing=True)
    code = coded["liver_volume_ml"][0]
    assert about.variable_value_labels["liver_volume_ml"][code] == "truncated"
    assert code < -900_000


def test_r_has_factors_labels_and_nulls(exported: Path) -> None:
    frame = rdata.read_rds(exported / "visits.rds")
    same(frame["liver_volume_ml"].tolist()[:9], LIVERS)
    assert frame["sex"].tolist()[52:54] == ["female", "male"]
    assert gzip.decompress((exported / "visits.rds").read_bytes())[:2] == b"X\n"


def test_parquet_carries_the_codebook_and_is_sorted(exported: Path) -> None:
    schema = pq.read_schema(exported / "visits.parquet")
    assert schema.field("liver_fat_fraction_mean").metadata[b"unit"] == b"fraction, 0 to 1"
    assert schema.field("liver_truncated").metadata[b"missing"] == b"liver_na_reason"
    frame = pd.read_parquet(exported / "visits.parquet")
    assert frame["contrast_agent"].dtype == "boolean"
    assert frame["n_stations"].dtype == "Int32"
    group = pq.ParquetFile(exported / "visits.parquet").metadata.row_group(0)
    assert [schema.names[one.column_index] for one in group.sorting_columns] == [
        *("cohort", "participant", "instance", "protocol")
    ]


def test_every_column_stands_in_every_codebook_and_no_other(exported: Path) -> None:
    columns = pq.read_schema(exported / "visits.parquet").names
    with (exported / "dictionary.csv").open() as file:
        assert [row["Field"] for row in csv.DictReader(file)] == columns
    assert list(json.loads((exported / "visits.json").read_text())) == columns
    (resource,) = json.loads((exported / "datapackage.json").read_text())["resources"]
    assert [field["name"] for field in resource["schema"]["fields"]] == columns
    with (exported / "codings.csv").open() as file:
        codings = {(row["Coding"], row["Value"]): row for row in csv.DictReader(file)}
    assert codings["visits.liver_na_reason", "truncated"]["StataMissing"] == ".d"
    assert codings["visits.liver_na_reason", "truncated"]["Meaning"]


R_SCRIPT = """
x <- readRDS("visits.rds")
stopifnot(is.factor(x$sex), is.character(x$participant), x$participant[1] == "000")
stopifnot(is.na(x$sex[x$participant == "059"]), is.logical(x$contrast_agent))
stopifnot(is.na(x$contrast_agent[2]), x$contrast_agent[1], is.integer(x$n_stations))
stopifnot(is.na(x$liver_volume_ml[1]), attr(x$liver_volume_ml, "units") == "mL")
y <- read.csv("visits.csv", colClasses = c(participant = "character"))
stopifnot(identical(dim(y), dim(x)), all.equal(c(x$liver_volume_ml), y$liver_volume_ml,
  check.attributes = FALSE))
if (requireNamespace("haven", quietly = TRUE)) {
  z <- haven::read_dta("visits.dta")
  stopifnot(haven::na_tag(z$liver_volume_ml[1]) == "d", z$participant[1] == "000")
  w <- haven::read_sav("visits.sav")
  stopifnot(is.na(w$liver_volume_ml[1]), abs(w$liver_volume_ml[2] - x$liver_volume_ml[2]) < 1e-9)
}
cat("sound")
"""


@pytest.mark.skipif(shutil.which("Rscript") is None, reason="R is not installed")
def test_r_reads_what_was_exported(exported: Path) -> None:
    run_r = subprocess.run(
        ["Rscript", "-e", R_SCRIPT], cwd=exported, capture_output=True, text=True, check=False
    )
    assert run_r.stdout == "sound", run_r.stderr


def test_sex_and_age_are_those_that_volumes_were_scored_by(tables: Path, tmp_path: Path) -> None:
    known = {"cohort": "demo", "instance": "2", "age_years": 61.5}
    known |= {"height_m": 1.7, "weight_kg": 70.0}
    rows = [known | {"participant": "001", "sex": "male"}, known | {"participant": "002"}]
    path = tmp_path / "quality/covariates/part.parquet"
    path.parent.mkdir(parents=True)
    write_table(path, rows_to_arrow(COVARIATES, rows))
    flags: dict[str, Any] = {"organs": ["liver"], "scan_columns": ["weight_kg", "height_m"]}
    run(tables=tables, quality=tmp_path / "quality", output=tmp_path / "known", **flags)
    run(tables=tables, output=tmp_path / "images", organs=["liver"])
    of_file, of_images = (
        pd.read_csv(tmp_path / name / "visits.csv", dtype={"participant": str})
        for name in ("known", "images")
    )
    assert of_images.loc[1, ["sex", "age_years"]].tolist() == ["female", 45.5]
    assert of_file.loc[1, ["sex", "age_years"]].tolist() == ["male", 61.5]
    assert of_file.loc[2, ["sex", "age_years"]].tolist() == ["female", 61.5]
    assert of_file.loc[1, ["height_m", "weight_kg"]].tolist() == [1.7, 70.0]
    # A visit that was collected since then.
    same = ["sex", "age_years"]
    assert of_file.loc[3:, same].equals(of_images.loc[3:, same])


def test_another_table_is_exported_by_columns(tables: Path, tmp_path: Path) -> None:
    columns = ["scan", "participant", "status"]
    written = run(tables=tables, output=tmp_path, table="scans", columns=columns)
    assert (written.n_rows, written.n_columns) == (N_PEOPLE + 1, 3)
    assert Package(str(tmp_path / "datapackage.json")).validate().valid


def test_rows_of_another_table_are_those_of_the_protocol_and_instance(
    tables: Path, tmp_path: Path
) -> None:
    flags: dict[str, Any] = {"table": "organs", "columns": ["organ", "volume_ml"]}
    written = run(tables=tables, output=tmp_path, instance="3", **flags)
    assert (written.n_rows, written.n_columns) == (1, 2)
    assert pd.read_csv(written.file)["volume_ml"].tolist() == [liver_ml(7)]
    assert run(tables=tables, output=tmp_path, protocol="dixon", **flags).n_rows == N_PEOPLE + 1


def test_the_reason_of_a_volume_is_one_column(tables: Path, tmp_path: Path) -> None:
    flags: dict[str, Any] = {"organs": ["liver"], "values": ["volume_ml", "na_reason"]}
    for one in (Format.DTA, Format.RDS, Format.SAV, Format.PARQUET):
        run(tables=tables, output=tmp_path, format=one, **flags)
    names = pq.read_schema(tmp_path / "visits.parquet").names
    assert [name for name in names if name.startswith("liver")] == [
        *("liver_volume_ml", "liver_na_reason")
    ]
    run(tables=tables, output=tmp_path, organs=["liver"], values=["na_reason"])
    assert pd.read_csv(tmp_path / "visits.csv")["liver_na_reason"][0] == "truncated"


def test_columns_of_scans_are_of_a_station_that_was_measured_and_flags_of_all(
    tmp_path: Path,
) -> None:
    visit = {"cohort": "demo", "participant": "001", "instance": "2", "protocol": "ct"}
    stations = [
        {"status": "failed", "reason": "archive_broken", "flags": "stations_missing"},
        {"status": "done", "flags": "header_odd;upside_down", "site": "North"},
        {"status": "done", "flags": "header_odd", "site": "South"},
    ]
    rows = [
        visit | {"array": "0", "station": place, "scan": f"0000-000{place}", **station}
        for place, station in enumerate(stations, start=1)
    ]
    counts = {"n_scans": 3, "n_scans_done": 2, "array": "0", "array_choice": "only"}
    reasons = {f"{organ.name}_na_reason": "not_found" for organ in ORGANS}
    for table, content in ((SCANS, rows), (VISITS, [visit | counts | reasons])):
        path = tmp_path / "tables" / table.name / "part-0000.parquet"
        write_table(path, rows_to_arrow(table, content))
    wanted = ["status", "station", "flags"]
    written = run(tables=tmp_path / "tables", output=tmp_path / "out", scan_columns=wanted)
    (row,) = pd.read_csv(written.file).to_dict("records")
    assert [row[name] for name in wanted] == [
        *("done", 2, "header_odd;upside_down;stations_missing")
    ]


def test_all_files_say_which_models_and_whether_they_are_complete(
    tables: Path, tmp_path: Path
) -> None:
    rows = read_table(tables / "visits/part-0000.parquet")
    for part, facts in enumerate(
        ((("complete", "true"), ("models", "b")), (("complete", "false"), ("models", "a;b")))
    ):
        schema = arrow_schema(replace(VISITS, facts=facts))
        path = tmp_path / f"tables/visits/part-000{part}.parquet"
        write_table(path, rows.slice(30 * part, 30 + part).cast(schema))
    flags: dict[str, Any] = {"format": Format.UKB_RETURN, "organs": ["liver"]}
    written = run(tables=tmp_path / "tables", output=tmp_path / "out", **flags)
    assert "not complete" in written.note
    assert "files): a;b\n" in (tmp_path / "out/README.txt").read_text()


@pytest.mark.parametrize(
    ("flags", "match"),
    [
        ({"table": "organ"}, "no table organ"),
        ({"organs": ["livr"]}, "did you mean liver"),
        ({"values": ["fat_fraction_men"]}, "did you mean fat_fraction_mean"),
        ({"protocol": "ct"}, "no visit of ct"),
        ({"radiomics": [FEATURE]}, "--contrasts"),
        ({"table": "scans", "aggregate": True}, "made of visits"),
        ({"aggregate": True, "by": ["age_years"]}, "age_years:10"),
        ({"aggregate": True, "min_count": 2}, "at least 5"),
        ({"format": Format.REGENIE}, "--instance"),
        ({"table": "organs", "organs": ["liver"]}, "--organs: widens visits"),
        ({"table": "organs", "values": ["z"]}, "--values: widens visits"),
        ({"table": "organs", "protocol": "ct"}, "no row with ct"),
    ],
)
def test_mistakes_are_named(
    tables: Path, tmp_path: Path, flags: dict[str, Any], match: str
) -> None:
    with pytest.raises(SetupError, match=match):
        run(tables=tables, output=tmp_path, **flags)
    assert not list(tmp_path.iterdir())


def words_of(path: Path) -> list[dict[str, str]]:
    """Read a file as regenie and PLINK do: any white space separates, each row has all columns."""
    heading, *lines = (line.split() for line in path.read_text().splitlines())
    heading[0] = heading[0].removeprefix("#")  # as PLINK writes it
    assert heading[:2] == ["FID", "IID"] and len({*heading}) == len(heading)
    assert {len(line) for line in lines} == {len(heading)}
    rows = [dict(zip(heading, line, strict=True)) for line in lines]
    ids = [(row["FID"], row["IID"]) for row in rows]
    assert len({*ids}) == len(ids) and "0" not in {one for pair in ids for one in pair}
    return rows


def test_phenotypes_of_regenie(tables: Path, tmp_path: Path) -> None:
    covariates = ["sex", "site", "contrast_agent", "age_years"]
    flags: dict[str, Any] = {"organs": ["liver"], "scan_columns": covariates, "instance": "2"}
    written = run(tables=tables, output=tmp_path, format=Format.REGENIE, **flags)
    rows, others = words_of(written.file), words_of(tmp_path / "covariates.txt")
    assert [row["IID"] for row in rows] == [f"{person:03d}" for person in range(N_PEOPLE)]
    cells = [row["liver_volume_ml"] for row in rows]
    numbers = [None if cell == "NA" else float(cell) for cell in cells]
    assert numbers == [liver_ml(person) for person in range(N_PEOPLE)]
    assert [*others[0].values()] == ["000", "000", "female", "Site_1", "1.0", "45.0"]
    assert (others[1]["contrast_agent"], others[59]["sex"]) == ("NA", "NA")


@pytest.mark.skipif(shutil.which("plink2") is None, reason="PLINK 2 is not installed")
def test_plink_reads_phenotypes_and_covariates(tables: Path, tmp_path: Path) -> None:
    flags: dict[str, Any] = {"organs": ["liver"], "scan_columns": ["site"], "instance": "2"}
    run(tables=tables, output=tmp_path, format=Format.REGENIE, **flags)
    people = [f"{person:03d}" for person in range(N_PEOPLE)]
    lines = ["#FID IID SEX", *(f"{one} {one} NA" for one in people)]
    (tmp_path / "people.psam").write_text("\n".join(lines) + "\n")
    read = ("--psam", "people.psam", "--pheno", "phenotypes.txt", "--covar", "covariates.txt")
    write = ("--write-covar", "cols=fid,phenos", "--make-just-psam", "--out", "read")
    subprocess.run(["plink2", *read, *write], cwd=tmp_path, check=True, capture_output=True)
    rows = words_of(tmp_path / "read.cov")
    assert [(row["IID"], row["site"]) for row in rows] == [(one, "Site_1") for one in people]
    known = [liver_ml(person) for person in range(N_PEOPLE)]
    in_six_digits = ["NA" if one is None else f"{one:.6g}" for one in known]
    assert [row["liver_volume_ml"] for row in rows] == in_six_digits


def test_ranks_become_a_normal_distribution(tables: Path, tmp_path: Path) -> None:
    flags: dict[str, Any] = {"organs": ["liver"], "instance": "2", "inverse_normal": True}
    written = run(tables=tables, output=tmp_path, format=Format.REGENIE, **flags)
    made = pd.read_csv(written.file, sep="\t", dtype={"FID": str, "IID": str})["liver_volume_ml"]
    n = N_PEOPLE - 6
    expected = [
        statistics.NormalDist().inv_cdf((rank - 0.375) / (n + 0.25)) for rank in range(1, n + 1)
    ]
    same(made.dropna(), expected)
    assert made.isna().sum() == 6


def test_groups_without_small_cells(tables: Path, tmp_path: Path) -> None:
    flags: dict[str, Any] = {"organs": ["liver"], "aggregate": True, "by": ["sex"]}
    run(tables=tables, output=tmp_path, **flags)
    frame = pd.read_csv(tmp_path / "groups.csv", dtype={"instance": str})
    livers = frame[frame["quantity"] == "liver_volume_ml"].set_index(["instance", "sex"])
    whole = [liver_ml(one) for one in range(N_PEOPLE) if liver_ml(one) is not None]
    assert livers.loc[("2", "all"), "n"] == len(whole) == 54
    assert livers.loc[("2", "all"), "mean"] == pytest.approx(statistics.mean(whole))  # type: ignore[type-var]
    assert livers.loc[("2", "all"), "sd"] == pytest.approx(statistics.stdev(whole))  # type: ignore[type-var]
    # 6 men and one of unknown sex: too few, and together still fewer than 10, so no sex is shown.
    assert livers.loc["2"].drop("all")["n"].isna().all()
    assert livers.loc["2"].drop("all")["mean"].isna().all()
    # The second visit is that of one person.
    assert livers.loc["3"]["n"].isna().all()
    assert "007" not in (tmp_path / "groups.csv").read_text()


def test_what_goes_back_to_uk_biobank(tables: Path, tmp_path: Path) -> None:
    run(tables=tables, output=tmp_path, format=Format.UKB_RETURN, organs=["liver"])
    frame = pd.read_csv(tmp_path / "returned.csv", dtype={"eid": str})
    assert frame["eid"].tolist()[:2] == ["000", "001"]
    assert len(frame) == N_PEOPLE
    same(frame["liver_volume_ml-2.0"][:8], LIVERS[:8])
    assert frame["liver_volume_ml-3.0"].dropna().tolist() == [liver_ml(7)]
    assert frame["liver_na_reason-2.0"][0] == "truncated"
    assert Package(str(tmp_path / "datapackage.json")).validate().valid
    assert "60 participants" in (tmp_path / "README.txt").read_text()

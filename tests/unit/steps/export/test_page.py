"""The blocks of docs/export.md run on tables as they are published."""

import re
import shutil
import subprocess
from pathlib import Path

import duckdb
import pytest

from doubles.cohort_tables import liver_ml, write_cohort_tables
from doubles.places import REPOSITORY
from organome.steps.export.export import Format, run

PAGE = (REPOSITORY / "docs" / "export.md").read_text()
FEMALE = [volume for person in range(52) if (volume := liver_ml(person)) is not None]


OF_VISITS = [*FEMALE, 1000 + 7 / 3]  # one has two


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


@pytest.fixture
def run_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_cohort_tables(tmp_path / "results" / "tables")
    (tmp_path / "ukb_fields.csv").write_text("eid,21080-2.0\n001,1200\n002,\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_duckdb(run_folder: Path) -> None:
    means, joined = (duckdb.sql(block).fetchall() for block in blocks("sql"))
    assert means[0][::2] == ("female", len(OF_VISITS))
    assert means[0][1] == pytest.approx(sum(OF_VISITS) / len(OF_VISITS))
    assert joined == [("001", liver_ml(1), "1200"), ("002", liver_ml(2), None)]


@pytest.mark.parametrize("package", ["polars", "pandas"])
def test_data_frames(run_folder: Path, package: str) -> None:
    (block,) = (one for one in blocks("python") if f"import {package}" in one)
    *lines, last = block.strip().splitlines()
    names: dict[str, object] = {}
    exec("\n".join(lines), names)
    result = eval(last, names)
    found = dict(result.iter_rows()) if package == "polars" else result
    assert found["female"] == pytest.approx(sum(OF_VISITS) / len(OF_VISITS))


@pytest.mark.skipif(shutil.which("Rscript") is None, reason="R is not installed")
def test_r(run_folder: Path) -> None:
    run(format=Format.RDS)
    (block,) = blocks("r")
    script = block[block.index("visits <-") : block.index("haven::")]
    found = subprocess.run(
        ["Rscript", "-e", script], capture_output=True, text=True, check=True
    ).stdout
    assert f"{sum(OF_VISITS) / len(OF_VISITS):.3f}" in found

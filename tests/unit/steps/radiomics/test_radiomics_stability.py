from pathlib import Path
from typing import Any

import numpy as np
import pytest

from doubles.radiomics import NOISY, STEADY, radiomics_row, write_cohort
from organome.domain.errors import SetupError
from organome.domain.scans import Scan
from organome.domain.stability_tables import overlaps_table
from organome.io.tables.parquet import read_table, rows_to_arrow, write_table
from organome.steps.radiomics import columns as radiomics_columns
from organome.steps.radiomics.radiomics_stability import run


def stability(folder: Path, **more: Any) -> dict[tuple[str, str], dict[str, Any]]:
    run(tables=folder / "tables", output=folder / "s.parquet", **more)
    rows = read_table(folder / "s.parquet").to_pylist()
    return {(row["repeat"], row["feature"]): row for row in rows}


def test_what_repeats_is_told_from_what_does_not(tmp_path: Path) -> None:
    write_cohort(tmp_path, 30)
    rows = stability(tmp_path)
    steady, noisy = rows["visits", STEADY], rows["visits", NOISY]
    assert (steady["organ"], steady["contrast"], steady["n_pairs"]) == ("liver", "water", 30)
    assert steady["icc_agreement_low"] < steady["icc_agreement"] < steady["icc_agreement_high"]
    assert (steady["icc_agreement"] > 0.98, steady["grade"]) == (True, "excellent")
    assert (noisy["icc_agreement"] < 0.5, noisy["grade"]) == (True, "poor")
    assert noisy["n_pairs"] == 29  # one participant lacks the value


def test_reading_few_columns_at_a_time_gives_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_cohort(tmp_path, 8)
    before = stability(tmp_path)
    monkeypatch.setattr(radiomics_columns, "FEATURES_AT_ONCE", 1)
    assert stability(tmp_path) == before


def test_organs_that_are_cut_are_left_out(tmp_path: Path) -> None:
    write_cohort(tmp_path, 30, n_truncated=10)
    assert stability(tmp_path)["visits", STEADY]["n_pairs"] == 20


def test_summary_counts_every_feature_once(tmp_path: Path) -> None:
    write_cohort(tmp_path, 30)
    said = str(run(tables=tmp_path / "tables", output=tmp_path / "s.parquet"))
    assert said.startswith("2 features")
    assert "excellent" in said
    assert "liver" in said


def test_stations_are_compared_where_they_overlap(tmp_path: Path) -> None:
    write_cohort(tmp_path, 1, n_visits=1)
    chance = np.random.default_rng(4)
    rows = []
    for person in range(12):
        level = float(chance.normal(100, 20))
        for station in (2, 3):
            scan = Scan(
                f"0000-{len(rows):04d}", "demo", f"p{person}", "2", "0", "dixon", (), station
            )
            row = radiomics_row(scan, steady=level + float(chance.normal(0, 1)), noisy=None)
            rows.append({**row, "seam": 2})
    table = rows_to_arrow(overlaps_table((STEADY, NOISY)), rows)
    write_table(tmp_path / "overlaps" / "0000" / "overlaps.parquet", table)
    found = stability(tmp_path, overlaps=tmp_path / "overlaps")
    assert set(found) == {("stations", STEADY), ("stations", NOISY)}
    assert found["stations", STEADY]["n_pairs"] == 12
    assert found["stations", STEADY]["icc_agreement"] > 0.98
    assert found["stations", NOISY]["icc_agreement"] is None
    assert found["stations", NOISY]["grade"] is None


def test_cohort_without_second_visits_stops(tmp_path: Path) -> None:
    write_cohort(tmp_path, 3, n_visits=1)
    with pytest.raises(SetupError, match="no participant"):
        stability(tmp_path)


def test_cohort_without_radiomics_stops(tmp_path: Path) -> None:
    write_cohort(tmp_path, 3)
    (tmp_path / "tables" / "radiomics" / "part-0000.parquet").unlink()
    with pytest.raises(SetupError, match="no radiomics"):
        stability(tmp_path)

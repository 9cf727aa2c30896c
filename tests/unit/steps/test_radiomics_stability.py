from pathlib import Path

import numpy as np
import pytest

from organome.domain.errors import SetupError
from organome.domain.radiomics_tables import radiomics_table
from organome.domain.scans import Scan
from organome.io.scan_lists import write_shard
from organome.io.tables import read_table, rows_to_arrow, write_table
from organome.steps.radiomics_stability import run

STEADY, NOISY = "original_firstorder_Mean", "original_glcm_Contrast"


def write_cohort(folder: Path, n_participants: int) -> None:
    chance = np.random.default_rng(2)
    scans, rows = [], []
    for person in range(n_participants):
        level = float(chance.normal(100, 20))
        for instance in ("2", "3"):
            key = f"0000-{len(scans):04d}"
            scans.append(Scan(key, "demo", f"p{person}", instance, "0", "dixon", ()))
            rows.append(
                {
                    "scan": key,
                    "label": 5,
                    "organ": "liver",
                    "contrast": "water",
                    "status": "done",
                    "n_voxels": 100,
                    "engine": "native",
                    "settings_digest": "0",
                    STEADY: level + float(chance.normal(0, 1)),
                    NOISY: None if person == 0 else float(chance.normal(0, 1)),
                }
            )
    write_shard(folder / "scans" / "0000.parquet", scans)
    table = rows_to_arrow(radiomics_table((STEADY, NOISY)), rows)
    write_table(folder / "measured" / "0000" / "radiomics.parquet", table)


def test_what_repeats_is_told_from_what_does_not(tmp_path: Path) -> None:
    write_cohort(tmp_path, 30)
    run(scans=tmp_path / "scans", measured=tmp_path / "measured", output=tmp_path / "s.parquet")
    rows = {row["feature"]: row for row in read_table(tmp_path / "s.parquet").to_pylist()}
    assert (rows[STEADY]["organ"], rows[STEADY]["contrast"]) == ("liver", "water")
    assert rows[STEADY]["icc"] > 0.98
    assert rows[NOISY]["icc"] < 0.5
    assert (rows[STEADY]["n_pairs"], rows[NOISY]["n_pairs"]) == (30, 29)


def test_cohort_without_second_visits_stops(tmp_path: Path) -> None:
    write_cohort(tmp_path, 3)
    with pytest.raises(SetupError, match="no participant"):
        run(
            scans=tmp_path / "scans",
            measured=tmp_path / "measured",
            output=tmp_path / "s.parquet",
            second_instance="4",
        )


def test_shard_that_was_not_measured_stops(tmp_path: Path) -> None:
    write_cohort(tmp_path, 3)
    with pytest.raises(SetupError, match="missing"):
        run(scans=tmp_path / "scans", measured=tmp_path / "gone", output=tmp_path / "s.parquet")

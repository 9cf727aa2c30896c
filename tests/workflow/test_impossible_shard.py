"""One shard that cannot be done: the others are in the tables of the same `organome run`."""

import os
import subprocess
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from doubles.cohorts import BIN, Run, TinyCohort
from doubles.places import quick_environment

_PREFIX = "person"


@pytest.mark.slow
def test_an_impossible_shard_holds_up_no_other(tmp_path: Path) -> None:
    TinyCohort(tmp_path / "cohort", prefix=_PREFIX).add(3)
    run = Run(tmp_path / "run", shard_size=1)
    (run.folder / "work" / "segment_organs").mkdir(parents=True)
    (run.folder / "work" / "segment_organs" / "0001").write_text("no folder")
    done = subprocess.run(
        [
            *(str(BIN / "organome"), "run", str(run.folder), "--pause-s=0"),
            *("--", "--cores=2", "--retries=0"),
        ],
        env=quick_environment() | {"PATH": f"{BIN}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    said = [line for line in done.stderr.splitlines() if line.startswith("organome: ")]
    assert len(said) == 1
    assert "1 of 3 shards could not be done" in said[0]
    tables = run.folder / "results" / "tables"
    rows = pq.read_table(tables / "scans", columns=["scan", "status", "reason"]).to_pylist()
    assert [(row["scan"], row["status"], row["reason"]) for row in rows] == [
        ("0000-0000", "done", None),
        ("0001-0000", "not_measured", "not_segmented"),
        ("0002-0000", "done", None),
    ]
    organs = pq.read_table(tables / "organs", columns=["scan", "volume_observed_ml"]).to_pylist()
    measured = {row["scan"] for row in organs if row["volume_observed_ml"] is not None}
    assert (len(organs), measured) == (3 * 40, {"0000-0000", "0002-0000"})
    logs = [path for path in (run.folder / "logs").rglob("*.log") if path.is_file()]
    assert logs
    assert not [path for path in logs if _PREFIX in path.read_text()]

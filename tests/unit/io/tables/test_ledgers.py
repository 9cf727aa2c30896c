"""The ledger of a shard."""

import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from organome.domain.errors import SetupError
from organome.domain.outcomes import Attempt, Outcome, Reason, Status
from organome.io.tables.ledgers import REPRODUCIBLE_COLUMNS, read_ledger, write_ledger

OUTCOMES = (
    Outcome("0000-0001", "prepare_images", Status.DONE, "f1", facts={"size": [1, 2], "b": None}),
    Outcome("0000-0000", "prepare_images", Status.FAILED, "f0", Reason.NOT_3D, "2 axes"),
)


def test_outcomes_read_back_in_order(tmp_path: Path) -> None:
    write_ledger(tmp_path / "ledger.parquet", OUTCOMES)
    assert tuple(read_ledger(tmp_path / "ledger.parquet").values()) == OUTCOMES


def test_what_varies_between_runs_stands_apart_from_what_does_not(tmp_path: Path) -> None:
    for name, elapsed_s in (("one", 1.0), ("two", 2.0)):
        attempt = Attempt({"a.nii.gz": 3}, name, name, elapsed_s, name)
        write_ledger(tmp_path / name, OUTCOMES, {outcome.scan: attempt for outcome in OUTCOMES})
    columns = list(REPRODUCIBLE_COLUMNS)
    one, two = (pq.read_table(tmp_path / name) for name in ("one", "two"))
    assert one.select(columns) == two.select(columns)
    assert one != two


def test_missing_ledger_is_a_setup_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"ledger\.parquet"):
        read_ledger(tmp_path / "ledger.parquet")


@pytest.mark.parametrize("n_bytes", [0, 3, 200, -1])
def test_a_ledger_that_was_cut_short_is_removed_and_asked_for_again(
    tmp_path: Path, n_bytes: int
) -> None:
    path = tmp_path / "ledger.parquet"
    write_ledger(path, OUTCOMES)
    os.truncate(path, n_bytes if n_bytes >= 0 else path.stat().st_size + n_bytes)
    with pytest.raises(SetupError, match=r"ledger\.parquet: was damaged .* start again"):
        read_ledger(path)
    assert not path.exists()

"""The list of measured shards."""

from pathlib import Path

import pytest

from organome.domain.errors import SetupError
from organome.steps.collect import list_measured


def test_a_listed_shard_that_is_not_measured_is_named(tmp_path: Path) -> None:
    scans, results = tmp_path / "scans", tmp_path / "results"
    scans.mkdir()
    for shard in ("0000", "0001"):
        (scans / f"{shard}.parquet").touch()
    (scans / ".0002.parquet.attempt.tmp.parquet").touch()
    (results / "0000").mkdir(parents=True)
    (results / "0000" / "ledger.parquet").touch()
    with pytest.raises(SetupError, match=r"1 shards are not measured, the first: .*0001"):
        list_measured.run(scans=scans, results=results, output=tmp_path / "list.txt")
    assert not (tmp_path / "list.txt").exists()

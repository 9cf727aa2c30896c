"""The sample sheet."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from organome.domain.errors import SetupError
from organome.domain.scans import Contrast, Scan, Source
from organome.io.tables.scan_lists import listed_shards, read_shard, shard_path, write_shard

SCANS = (
    Scan("0000-0000", "ukb", "0012", "2", "0", "dixon", (Source("/a.zip"),), station=3),
    Scan(
        scan="0000-0001",
        cohort="c",
        participant="x",
        instance="1",
        array="1",
        protocol="t1",
        sources=(Source("/t.mha", Contrast.T1), Source("/u.mha", Contrast.T2, 2)),
        labelmap="/l.nii.gz",
    ),
)


def test_scans_read_back(tmp_path: Path) -> None:
    write_shard(tmp_path / "0000.parquet", SCANS)
    assert read_shard(tmp_path / "0000.parquet") == SCANS


def test_equal_scans_are_equal_bytes(tmp_path: Path) -> None:
    write_shard(tmp_path / "a.parquet", SCANS)
    write_shard(tmp_path / "b.parquet", SCANS)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_shards_in_order_and_nothing_else(tmp_path: Path) -> None:
    for number in (10, 2):
        write_shard(shard_path(tmp_path, number), SCANS)
    (tmp_path / ".0003.parquet.x.tmp.parquet").touch()
    (tmp_path / "notes.parquet").touch()
    assert [number for number, _ in listed_shards(tmp_path)] == [2, 10]


def test_no_list_of_scans_is_a_setup_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "0001.parquet").write_bytes(b"no")
    for name in ("0000.parquet", "0001.parquet"):
        with pytest.raises(SetupError, match=name):
            read_shard(tmp_path / name)


def test_a_list_that_is_older_than_flags_is_read(tmp_path: Path) -> None:
    write_shard(tmp_path / "0000.parquet", SCANS)
    table = pq.read_table(tmp_path / "0000.parquet", partitioning=None).drop_columns(["flags"])
    pq.write_table(table, tmp_path / "0001.parquet")
    assert read_shard(tmp_path / "0001.parquet") == SCANS

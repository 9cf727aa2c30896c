import json
import shutil
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from distributed import SpecCluster

from doubles.measured import cohort, scan_of
from organome.domain.errors import Interrupted, SetupError
from organome.domain.tables import COHORT_TABLES
from organome.io.tables.parquet import arrow_schema, fact_of_file, read_table, write_table
from organome.steps.collect import collect_tables
from organome.steps.collect.collect_tables import Cluster, run
from organome.steps.collect.parts import Collection, Part
from organome.steps.collect.placed import SHARDS_PER_FILE, order_scans
from organome.steps.collect.workers import WorkerJobs

TABLES = ("scans", "organs", "visits")


def collected(output: Path, table: str) -> list[dict[str, Any]]:
    parts = sorted((output / table).glob("part-*.parquet"))
    rows: list[dict[str, Any]] = pa.concat_tables(read_table(part) for part in parts).to_pylist()
    return rows


def inodes(tables: Path) -> dict[Path, int]:
    return {path: path.stat().st_ino for name in TABLES for path in (tables / name).iterdir()}


def assert_same_files(one: Path, other: Path) -> None:
    files = sorted(path.relative_to(one) for path in one.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(other) for path in other.rglob("*") if path.is_file())
    for file in files:
        assert (one / file).read_bytes() == (other / file).read_bytes()


DELIVERIES = (
    [scan_of("001"), scan_of("003"), scan_of("009")],
    [scan_of("005"), scan_of("010")],
    # later: new visits, a new protocol at an old visit, a participant in between
    [scan_of("001", "3"), scan_of("001", protocol="ct"), scan_of("002"), scan_of("009", array="1")],
)


def test_each_listed_scan_is_there_once_with_40_rows(tmp_path: Path) -> None:
    made = cohort(tmp_path / "measured", DELIVERIES)
    summary = run(**made, output=tmp_path / "tables")
    scans, organs = (collected(tmp_path / "tables", table) for table in ("scans", "organs"))
    assert len(scans) == len({row["scan"] for row in scans}) == summary.n_scans == 9
    assert len(organs) == summary.n_organ_rows == 9 * 40
    assert len({(row["scan"], row["label"]) for row in organs}) == 9 * 40


def test_rows_are_sorted_whatever_the_shards_are(tmp_path: Path) -> None:
    run(**cohort(tmp_path / "m", DELIVERIES), output=tmp_path / "tables", scans_per_file=3)
    scans = [
        (row["participant"], row["instance"], row["array"], row["protocol"])
        for row in collected(tmp_path / "tables", "scans")
    ]
    assert scans == [
        ("001", "2", "0", "ct"),
        ("001", "2", "0", "dixon"),
        ("001", "3", "0", "dixon"),
        ("002", "2", "0", "dixon"),
        ("003", "2", "0", "dixon"),
        ("005", "2", "0", "dixon"),
        ("009", "2", "0", "dixon"),
        ("009", "2", "1", "dixon"),
        ("010", "2", "0", "dixon"),
    ]
    organs = collected(tmp_path / "tables", "organs")
    keys = [row["scan"] for row in collected(tmp_path / "tables", "scans")]
    assert [(row["scan"], row["label"]) for row in organs] == [
        (key, label) for key in keys for label in range(1, 41)
    ]


def test_stations_are_in_order_and_stitched_scans_come_first(tmp_path: Path) -> None:
    shards = [[scan_of("001", station=10), scan_of("001", station=2)], [scan_of("001")]]
    run(**cohort(tmp_path / "m", shards), output=tmp_path / "tables")
    stations = [row["station"] for row in collected(tmp_path / "tables", "scans")]
    assert stations == [None, 2, 10]


def test_visit_is_one_row_though_its_scans_lie_in_several_shards(tmp_path: Path) -> None:
    run(**cohort(tmp_path / "m", DELIVERIES), output=tmp_path / "tables", scans_per_file=1)
    visits = collected(tmp_path / "tables", "visits")
    assert [(row["participant"], row["instance"], row["n_scans"]) for row in visits] == [
        *(("001", "2", 1), ("001", "2", 1), ("001", "3", 1), ("002", "2", 1), ("003", "2", 1)),
        *(("005", "2", 1), ("009", "2", 2), ("010", "2", 1)),
    ]
    assert [row["liver_volume_ml"] for row in visits] == [
        *(1001.7, 1001.7, 1001.8, 1002.7, 1003.7, 1005.7, None, 1010.7)
    ]
    assert visits[6]["liver_na_reason"] == "station_missing"
    assert [row["protocol"] for row in visits[:3]] == ["ct", "dixon", "dixon"]


def test_files_hold_whole_visits_and_no_more_scans_than_asked(tmp_path: Path) -> None:
    made = cohort(tmp_path / "m", DELIVERIES)
    summary = run(**made, output=tmp_path / "tables", scans_per_file=2)
    for table in TABLES:
        parts = sorted((tmp_path / "tables" / table).iterdir())
        assert [part.name for part in parts] == [
            f"part-0000{f'_{place:03d}' if place else ''}.parquet"
            for place in range(summary.n_files)
        ]
    sizes = [read_table(part).num_rows for part in sorted((tmp_path / "tables/scans").iterdir())]
    assert sizes == [2, 2, 2, 2, 1]


def test_tables_have_the_bytes_whatever_the_order_of_work(tmp_path: Path) -> None:
    made = cohort(tmp_path / "m", DELIVERIES)
    run(**made, output=tmp_path / "one", scans_per_file=2)
    run(**made, output=tmp_path / "other", scans_per_file=2, n_workers=4)
    assert_same_files(tmp_path / "one", tmp_path / "other")


def test_tables_made_by_dask_workers_have_the_bytes_of_those_made_by_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dask_workers: SpecCluster
) -> None:
    asked: list[WorkerJobs] = []

    @contextmanager
    def instead_of_slurm(jobs: WorkerJobs) -> Iterator[SpecCluster]:
        asked.append(jobs)
        yield dask_workers

    monkeypatch.setattr(collect_tables, "slurm_cluster", instead_of_slurm)
    made = cohort(tmp_path / "m", DELIVERIES)
    run(**made, output=tmp_path / "one", scans_per_file=2)
    run(
        **made,
        output=tmp_path / "other",
        scans_per_file=2,
        cluster=Cluster.SLURM,
        n_jobs=2,
        work=tmp_path / "work",
    )
    assert [jobs.n_jobs for jobs in asked] == [2]
    assert_same_files(tmp_path / "one", tmp_path / "other")


def test_what_a_killed_worker_left_is_not_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_after_a_killed_one(of: Collection, part: Part) -> int:
        (of.output / "scans").mkdir(parents=True, exist_ok=True)
        (of.output / "scans" / f".{part.name}.other-1-ab.tmp.parquet").write_bytes(b"PAR1")
        return write_part(of, part)

    write_part = Collection.write_part
    made = cohort(tmp_path / "m", DELIVERIES)
    run(**made, output=tmp_path / "one")
    monkeypatch.setattr(Collection, "write_part", write_after_a_killed_one)
    run(**made, output=tmp_path / "other")
    assert_same_files(tmp_path / "one", tmp_path / "other")


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGUSR1])
def test_asked_to_stop_it_leaves_the_older_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signal_number: signal.Signals
) -> None:
    made = cohort(tmp_path / "m", DELIVERIES)
    run(**made, output=tmp_path / "tables")
    before = collected(tmp_path / "tables", "scans")

    def stop(scans: Sequence[pa.Table]) -> pa.Table:
        signal.raise_signal(signal_number)
        return order_scans(scans)

    monkeypatch.setattr(collect_tables, "order_scans", stop)
    with pytest.raises(Interrupted):
        run(**made, output=tmp_path / "tables", scans_per_file=1)
    assert collected(tmp_path / "tables", "scans") == before
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_files_carry_schema_and_dictionary(tmp_path: Path) -> None:
    run(**cohort(tmp_path / "m", DELIVERIES), output=tmp_path / "tables")
    facts = (("complete", "true"), ("n_not_measured", "0"))
    for table in COHORT_TABLES:
        path = tmp_path / "tables" / table.name / "part-0000.parquet"
        inputs = fact_of_file(path, "inputs")
        assert inputs
        described = replace(table, facts=(*facts, ("inputs", inputs)))
        assert read_table(path).schema.equals(arrow_schema(described), check_metadata=True)
        (group,) = [pq.ParquetFile(path).metadata.row_group(0)]
        names = [pq.read_schema(path).names[one.column_index] for one in group.sorting_columns]
        assert names == list(table.sorted_by)
    dictionary = json.loads((tmp_path / "tables" / "dictionary.json").read_text())
    assert set(dictionary["tables"]) == {*TABLES, "flow"}
    assert (dictionary["complete"], dictionary["n_not_measured"]) == (True, 0)


def test_flow_adds_up_to_what_is_listed(tmp_path: Path) -> None:
    made = cohort(tmp_path / "m", DELIVERIES)
    (tmp_path / "m/results/measure_volumes/0001/ledger.parquet").unlink()
    run(**made, output=tmp_path / "tables")
    flow = [
        tuple(row[name] for name in ("protocol", "instance", "status", "reason", "n_scans"))
        for row in collected(tmp_path / "tables", "flow")
    ]
    assert flow == [
        ("ct", "2", "done", None, 1),
        ("dixon", "2", "done", None, 3),
        ("dixon", "2", "failed", "station_missing", 2),
        ("dixon", "2", "not_measured", "not_measured", 2),
        ("dixon", "3", "done", None, 1),
    ]
    people = [row["n_participants"] for row in collected(tmp_path / "tables", "flow")]
    assert people == [1, 3, 1, 2, 1]


def test_every_file_has_the_columns_of_the_dictionary(tmp_path: Path) -> None:
    run(**cohort(tmp_path / "m", DELIVERIES), output=tmp_path / "tables")
    dictionary = json.loads((tmp_path / "tables" / "dictionary.json").read_text())["tables"]
    found = {path.parent.name for path in (tmp_path / "tables").glob("*/*.parquet")}
    assert found == set(dictionary)
    for path in (tmp_path / "tables").glob("*/*.parquet"):
        described = [column["name"] for column in dictionary[path.parent.name]["columns"]]
        assert pq.read_schema(path).names == described
    package = json.loads((tmp_path / "tables" / "datapackage.json").read_text())
    for resource in package["resources"]:
        assert (tmp_path / "tables" / resource["path"]).is_file()


def test_a_new_shard_leaves_the_files_of_the_others(tmp_path: Path) -> None:
    shards = [[scan_of(f"{10 * number:03d}")] for number in range(SHARDS_PER_FILE + 2)]
    made = cohort(tmp_path / "m", shards)
    run(**made, output=tmp_path / "tables")
    before = inodes(tmp_path / "tables")
    assert {path.name for path in before} == {"part-0000.parquet", "part-0001.parquet"}
    # In between by its pseudonym, and a second visit of somebody who is in the first file.
    cohort(tmp_path / "m", [*shards, [scan_of("015"), scan_of("010", "3")]])
    run(**made, output=tmp_path / "tables")
    kept = {path.name for path, inode in before.items() if path.stat().st_ino == inode}
    assert kept == {"part-0000.parquet"}
    run(**made, output=tmp_path / "anew")
    assert_same_files(tmp_path / "tables", tmp_path / "anew")


def test_a_shard_measured_again_changes_its_file_alone(tmp_path: Path) -> None:
    shards = [[scan_of(f"{10 * number:03d}")] for number in range(SHARDS_PER_FILE + 1)]
    made = cohort(tmp_path / "m", shards)
    run(**made, output=tmp_path / "tables")
    before = inodes(tmp_path / "tables")
    cohort(tmp_path / "m", [*shards[:-1], [scan_of("165")]])
    run(**made, output=tmp_path / "tables")
    changed = {path.name for path, inode in before.items() if path.stat().st_ino != inode}
    assert changed == {"part-0001.parquet"}
    assert collected(tmp_path / "tables", "organs")[-1]["participant"] == "165"


def test_older_tables_are_replaced_whole(tmp_path: Path) -> None:
    made = cohort(tmp_path / "m", DELIVERIES)
    run(**made, output=tmp_path / "tables", scans_per_file=1)
    run(**made, output=tmp_path / "tables")
    assert len(list((tmp_path / "tables" / "organs").iterdir())) == 1
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_scan_in_two_shards_is_an_error_that_names_no_participant(tmp_path: Path) -> None:
    made = cohort(tmp_path / "m", DELIVERIES)
    run(**made, output=tmp_path / "tables")
    before = collected(tmp_path / "tables", "scans")
    made = cohort(tmp_path / "m", [*DELIVERIES, [scan_of("005")]])
    with pytest.raises(SetupError) as caught:
        run(**made, output=tmp_path / "tables")
    expected = "shard 0003: scan 0003-0000 is scan 0001-0000 of shard 0001 once more"
    assert str(caught.value) == expected
    assert collected(tmp_path / "tables", "scans") == before


def test_scan_twice_in_a_shard_is_an_error(tmp_path: Path) -> None:
    made = cohort(tmp_path / "m", [[scan_of("005"), scan_of("005")]])
    with pytest.raises(SetupError, match="scan 0000-0001 is scan 0000-0000 of shard 0000"):
        run(**made, output=tmp_path / "tables")


def test_cohort_without_a_shard_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="no shards, list the scans first"):
        run(scans=tmp_path, results=tmp_path, output=tmp_path / "tables")


def test_cohort_of_which_everybody_withdrew_is_one_line(tmp_path: Path) -> None:
    made = cohort(tmp_path / "m", DELIVERIES)
    shutil.rmtree(made["results"])
    for path in made["scans"].glob("*.parquet"):
        write_table(path, read_table(path).slice(0, 0))
    with pytest.raises(SetupError, match="no scan is listed in any shard") as error:
        run(**made, output=tmp_path / "tables")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "tables").exists()

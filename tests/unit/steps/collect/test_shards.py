"""What is missing or damaged in one shard: rows, never the end of the tables."""

import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from doubles.measured import cohort, scan_of
from doubles.radiomics import write_radiomics_shards
from organome.domain.errors import MachineFault
from organome.io.tables.ledgers import LEDGER
from organome.io.tables.parquet import read_table, write_table
from organome.io.tables.scan_lists import read_shard, write_shard
from organome.steps.collect import shards
from organome.steps.collect.collect_tables import CollectSummary, run

# The participants that end in 9 fail in prepare_images.
DELIVERIES = (
    [scan_of("001"), scan_of("003"), scan_of("009")],
    [scan_of("005"), scan_of("019")],
    [scan_of("001", "3"), scan_of("002"), scan_of("029")],
)


class Run:
    """A cohort of three shards that every step has been through."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._places = cohort(folder, DELIVERIES)
        write_radiomics_shards(folder / "results")

    def file(self, step: str, shard: str, name: str = LEDGER) -> Path:
        return self.folder / "results" / step / shard / name

    def collect(self, output: str = "tables") -> CollectSummary:
        return run(**self._places, output=self.folder / output, radiomics=True, scans_per_file=3)

    def rows(self, table: str, **key: Any) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        for part in sorted((self.folder / "tables" / table).iterdir()):
            rows += read_table(part).to_pylist()
        return [row for row in rows if all(row[name] == value for name, value in key.items())]

    def bytes_of(self, output: str) -> dict[str, bytes]:
        folder = self.folder / output
        files = (path for path in folder.rglob("*") if path.is_file())
        return {str(path.relative_to(folder)): path.read_bytes() for path in files}

    def take_away(self, *steps: str, shard: str) -> Callable[[], None]:
        """Take a shard's ledgers away; return what brings them back."""
        taken = {self.file(step, shard): self.file(step, shard).read_bytes() for step in steps}
        for path in taken:
            path.unlink()

        def bring_back() -> None:
            for path, content in taken.items():
                path.write_bytes(content)

        return bring_back


@pytest.fixture
def whole(tmp_path: Path) -> Run:
    return Run(tmp_path)


ALL = ("prepare_images", "segment_organs", "measure_volumes", "measure_radiomics")
MEASURING = ALL[2:]


def test_shards_blocked_at_each_step_have_rows_and_are_collected_later(whole: Run) -> None:
    undisturbed = whole.collect("undisturbed")
    assert undisturbed.complete
    unblock = [
        whole.take_away(*steps, shard=shard)
        for steps, shard in ((ALL, "0000"), (ALL[1:], "0001"), (MEASURING, "0002"))
    ]
    summary = whole.collect()
    assert not summary.complete
    assert (summary.n_scans, summary.n_not_measured, summary.n_files) == (
        undisturbed.n_scans,
        6,
        undisturbed.n_files,
    )
    found = {
        row["scan"]: (row["status"], row["reason"], row["failed_step"])
        for row in whole.rows("scans")
    }
    broken = ("failed", "station_missing", "prepare_images")
    assert found == {
        **{f"0000-000{place}": ("not_measured", "not_prepared", None) for place in range(3)},
        "0001-0000": ("not_measured", "not_segmented", None),
        "0001-0001": broken,
        **{f"0002-000{place}": ("not_measured", "not_measured", None) for place in range(2)},
        "0002-0002": broken,
    }
    for scan, (status, reason, _) in found.items():
        organs = whole.rows("organs", scan=scan)
        assert [row["label"] for row in organs] == list(range(1, 41))
        assert {(row["status"], row["na_reason"]) for row in organs} == {(status, reason)}
        assert {(row["n_voxels"], row["volume_ml"]) for row in organs} == {(None, None)}
    (visit,) = whole.rows("visits", participant="005")
    assert (visit["n_scans"], visit["n_scans_done"]) == (1, 0)
    assert visit["liver_na_reason"] == "not_segmented"
    dictionary = json.loads((whole.folder / "tables/dictionary.json").read_text())
    assert (dictionary["complete"], dictionary["n_not_measured"]) == (False, 6)
    files = [pq.read_schema(path).metadata for path in (whole.folder / "tables/organs").iterdir()]
    assert b"false" in {one[b"organome.complete"] for one in files}
    assert sum(int(one[b"organome.n_not_measured"]) for one in files) == 6
    assert not (whole.folder / "tables" / "radiomics").exists()
    for bring_back in unblock:
        bring_back()
    assert whole.collect().complete
    assert whole.bytes_of("tables") == whole.bytes_of("undisturbed")


def test_what_the_steps_before_found_out_is_in_the_row(whole: Run) -> None:
    whole.take_away(*MEASURING, shard="0002")
    whole.collect()
    (row,) = whole.rows("scans", scan="0002-0001")
    assert (row["height_m"], row["contrast"], row["scheme"]) == (1.8, "water", "mrsegmentator")
    assert row["fact"] == "waits for measure_volumes of shard 0002"


def test_images_that_are_not_kept_do_not_hide_how_far_a_shard_came(whole: Run) -> None:
    whole.take_away("prepare_images", *MEASURING, shard="0001")
    whole.collect()
    reasons = [row["reason"] for row in whole.rows("scans") if row["scan"].startswith("0001")]
    assert reasons == ["not_measured", "station_missing"]


def test_radiomics_of_a_blocked_shard_are_rows_and_the_others_are_whole(whole: Run) -> None:
    bring_back = whole.take_away("measure_radiomics", shard="0001")
    summary = whole.collect()
    assert (summary.complete, summary.n_not_measured) == (False, 0)
    assert summary.n_radiomics_not_measured == 1
    rows = whole.rows("radiomics", scan="0001-0000")
    assert len(rows) == 2 * 40
    assert {(row["status"], row["na_reason"]) for row in rows} == {("not_measured", "not_measured")}
    failed = whole.rows("radiomics", scan="0001-0001")
    assert {(row["status"], row["na_reason"]) for row in failed} == {("failed", "station_missing")}
    assert len(whole.rows("radiomics")) == summary.n_radiomics_rows == 8 * 2 * 40
    bring_back()
    assert whole.collect().complete


def test_no_shard_is_through(whole: Run) -> None:
    for shard in ("0000", "0001", "0002"):
        whole.take_away(*ALL, shard=shard)
    summary = whole.collect()
    assert summary.n_not_measured == len(whole.rows("scans")) == 8
    assert len(whole.rows("organs")) == 8 * 40


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def flip_a_number(path: Path) -> None:
    """Flip a bit in the middle of the data; the footer stays whole."""
    content = bytearray(path.read_bytes())
    chunk = pq.read_metadata(path).row_group(0).column(pq.read_schema(path).names.index("status"))
    content[chunk.data_page_offset + chunk.total_compressed_size // 2] ^= 4
    path.write_bytes(content)


def drop_a_row(path: Path) -> None:
    table = read_table(path)
    write_table(path, table.slice(1))


def repeat_a_row(path: Path) -> None:
    table = read_table(path)
    write_table(path, table.take([*range(table.num_rows), table.num_rows - 1]))


def drop_a_column(path: Path) -> None:
    table = read_table(path)
    write_table(path, table.drop_columns([table.column_names[-1]]))


@pytest.mark.parametrize(
    ("step", "name", "damage"),
    [
        *(("measure_volumes", name, cut) for name in (LEDGER, "scans.parquet", "organs.parquet")),
        *(("measure_volumes", f"{name}.parquet", Path.unlink) for name in ("scans", "organs")),
        ("measure_volumes", "scans.parquet", drop_a_row),
        ("measure_volumes", "organs.parquet", drop_a_row),
        ("measure_volumes", "organs.parquet", repeat_a_row),
        ("measure_volumes", "organs.parquet", drop_a_column),
        ("measure_volumes", "organs.parquet", flip_a_number),
        ("measure_radiomics", "radiomics.parquet", cut),
        ("measure_radiomics", "radiomics.parquet", drop_a_row),
        ("measure_radiomics", "radiomics.parquet", repeat_a_row),
        ("measure_radiomics", "radiomics.parquet", flip_a_number),
        ("measure_radiomics", "radiomics.parquet", Path.unlink),
    ],
)
def test_damaged_shard_is_not_measured_and_will_be_done_again(
    whole: Run,
    caplog: pytest.LogCaptureFixture,
    step: str,
    name: str,
    damage: Callable[[Path], None],
) -> None:
    damage(whole.file(step, "0001", name))
    with caplog.at_level(logging.WARNING):
        summary = whole.collect()
    table = "scans" if step == "measure_volumes" else "radiomics"
    of_shard = [row for row in whole.rows(table) if row["scan"].startswith("0001")]
    reason = "reason" if table == "scans" else "na_reason"
    assert {row[reason] for row in of_shard} == {"shard_unreadable", "station_missing"}
    assert {row["status"] for row in whole.rows(table, scan="0000-0000")} == {"done"}
    assert (summary.complete, summary.n_scans) == (False, 8)
    (message,) = [one for one in caplog.messages if one.startswith("shard ")]
    assert message.startswith(f"shard 0001: {name} ")
    assert step.replace("_", "-") in message
    # For the workflow the shard is not done any more; nothing is deleted.
    assert not whole.file(step, "0001").exists()
    assert whole.file(step, "0001", "ledger.unreadable").exists()


@pytest.mark.parametrize("step", ["prepare_images", "segment_organs"])
def test_damaged_ledger_of_an_earlier_step_will_be_done_again(whole: Run, step: str) -> None:
    whole.take_away(*MEASURING, shard="0001")
    cut(whole.file(step, "0001"))
    whole.collect()
    (row,) = whole.rows("scans", scan="0001-0000")
    assert (row["status"], row["reason"]) == ("not_measured", "shard_unreadable")
    assert row["fact"] == f"{step}: ledger.parquet is damaged"
    assert not whole.file(step, "0001").exists()


def with_settings(digests: Sequence[str]) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        rows = read_table(path)
        place = rows.schema.get_field_index("settings_digest")
        column = [digests[row % len(digests)] for row in range(len(rows))]
        write_table(path, rows.set_column(place, rows.schema.field(place), [column]))

    return change


def test_radiomics_by_other_settings_than_most_are_left_out(whole: Run) -> None:
    with_settings(["other"])(whole.file("measure_radiomics", "0000", "radiomics.parquet"))
    summary = whole.collect()
    rows = whole.rows("radiomics", scan="0000-0000")
    assert {row["na_reason"] for row in rows} == {"shard_differs"}
    assert summary.n_radiomics_not_measured == 2
    assert whole.file("measure_radiomics", "0000").exists()  # its settings say that it is stale


def test_shard_that_mixes_settings_is_damaged(whole: Run) -> None:
    mix = with_settings(["one", "other"])
    mix(whole.file("measure_radiomics", "0000", "radiomics.parquet"))
    whole.collect()
    rows = whole.rows("radiomics", scan="0000-0000")
    assert {row["na_reason"] for row in rows} == {"shard_unreadable"}


def test_the_list_decides_who_is_in_the_tables(whole: Run) -> None:
    """A withdrawn scan has no row though it was measured, a new one has, though it was not."""
    path = whole.folder / "scans" / "0001.parquet"
    withdrawn, *others = read_shard(path)
    write_shard(path, [*others, scan_of("007", scan="0001-0007")])
    whole.collect()
    assert whole.rows("scans", scan=withdrawn.scan) == []
    (row,) = whole.rows("scans", scan="0001-0007")
    assert (row["participant"], row["status"]) == ("007", "not_measured")


def test_fault_of_the_machine_is_no_damage(whole: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error", "organs.parquet")

    monkeypatch.setattr(shards, "read_structures", fail)
    with pytest.raises(MachineFault):
        whole.collect()
    assert whole.file("measure_volumes", "0000").exists()
    assert not (whole.folder / "tables").exists()


def test_every_table_of_a_phantom_model_says_so(whole: Run) -> None:
    path = whole.file("measure_volumes", "0001", "scans.parquet")
    rows = read_table(path)
    flags = pa.array([None, "no_overlap;phantom_model"], pa.string())
    place = rows.schema.names.index("flags")
    write_table(path, rows.set_column(place, rows.schema.field(place), flags))
    whole.collect()
    for table in ("scans", "organs", "visits", "radiomics"):
        for part in (whole.folder / "tables" / table).iterdir():
            assert pq.read_schema(part).metadata[b"organome.phantom_model"] == b"true"
    dictionary = json.loads((whole.folder / "tables" / "dictionary.json").read_text())
    assert dictionary["phantom_model"] is True


def test_no_other_table_does(whole: Run) -> None:
    whole.collect()
    metadata = pq.read_schema(whole.folder / "tables/organs/part-0000.parquet").metadata
    assert b"organome.phantom_model" not in metadata


def test_what_a_killed_collection_left_is_cleared(whole: Run) -> None:
    left = whole.folder / ".tables.host-1.tmp" / "0" / "scans"
    left.mkdir(parents=True)
    (left / "part-0000.parquet").touch()
    whole.collect()
    assert not list(whole.folder.glob(".tables*"))

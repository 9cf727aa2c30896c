"""Scans that different models labelled do not get into one table unasked."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from doubles.measured import cohort, scan_of
from doubles.radiomics import write_radiomics_shards
from organome.domain.outcomes import Status
from organome.io.tables.ledgers import LEDGER, read_ledger, write_ledger
from organome.io.tables.parquet import write_table
from organome.steps.collect.collect_tables import run

MODELS = ("old", "new", "new", None)  # of each shard; the last took labelmaps as delivered


@pytest.fixture
def places(tmp_path: Path) -> dict[str, Path]:
    made = cohort(tmp_path, [[scan_of(f"00{number}")] for number in range(len(MODELS))])
    for number, model in enumerate(MODELS):
        path = made["results"] / "measure_volumes" / f"{number:04d}" / "scans.parquet"
        rows = pq.read_table(path)
        column = rows.column_names.index("model_digest")
        digests = pa.array([model] * rows.num_rows, pa.string())
        write_table(path, rows.set_column(column, rows.schema.field(column), digests))
    return made


def statuses(tables: Path) -> list[tuple[str, str | None, str | None]]:
    rows = pq.read_table(tables / "scans").to_pylist()
    return [(row["status"], row["reason"], row["model_digest"]) for row in rows]


DONE = Status.DONE.value


def test_the_scans_of_another_model_are_not_measured(
    places: dict[str, Path], tmp_path: Path
) -> None:
    summary = run(**places, output=tmp_path / "tables")
    assert (summary.complete, summary.n_not_measured) == (False, 1)
    assert statuses(tmp_path / "tables") == [
        ("not_measured", "shard_differs", None),
        *((DONE, None, model) for model in MODELS[1:]),
    ]


def test_asked_for_they_are_there_and_each_row_says_which(
    places: dict[str, Path], tmp_path: Path
) -> None:
    assert run(**places, output=tmp_path / "tables", mixed_models=True).complete
    assert statuses(tmp_path / "tables") == [(DONE, None, model) for model in MODELS]
    metadata = pq.read_schema(tmp_path / "tables/organs/part-0000.parquet").metadata
    assert metadata[b"organome.models"] == b"new;old"


def reasons_of_features(tables: Path) -> dict[str, set[str | None]]:
    """Return why features are missing, by shard."""
    found: dict[str, set[str | None]] = {}
    for row in pq.read_table(tables / "radiomics").to_pylist():
        if row["organ"] == "liver":
            found.setdefault(row["scan"].split("-")[0], set()).add(row["na_reason"])
    return found


def test_the_features_of_another_model_are_left_out_with_its_volumes(
    places: dict[str, Path], tmp_path: Path
) -> None:
    write_radiomics_shards(places["results"])
    summary = run(**places, output=tmp_path / "tables", radiomics=True)
    assert summary.n_radiomics_not_measured == summary.n_not_measured == 1
    measured = {f"000{number}": {None} for number in (1, 2, 3)}
    assert reasons_of_features(tmp_path / "tables") == {"0000": {"shard_differs"}, **measured}
    everything = run(**places, output=tmp_path / "all", radiomics=True, mixed_models=True)
    assert everything.n_radiomics_not_measured == 0
    assert reasons_of_features(tmp_path / "all") == {"0000": {None}, **measured}


def note_settings(
    places: dict[str, Path], step: str, shard: str, settings: str = "", **before: str
) -> None:
    """Write by which settings a shard was made, and which the step found of those before."""
    ledger = places["results"] / step / shard / LEDGER
    outcomes = [*read_ledger(ledger).values()]
    write_ledger(ledger, outcomes, settings=settings, settings_before=before)


@pytest.fixture
def alike(tmp_path: Path) -> dict[str, Path]:
    """Three shards by the same settings, with features."""
    made = cohort(tmp_path, [[scan_of(f"00{number}")] for number in range(3)])
    write_radiomics_shards(made["results"])
    for shard in ("0000", "0001", "0002"):
        note_settings(made, "segment_organs", shard, "old")
        for step in ("measure_volumes", "measure_radiomics"):
            note_settings(made, step, shard, "m", segment_organs="old")
    return made


def test_digests_are_those_by_which_the_rows_were_made(
    alike: dict[str, Path], tmp_path: Path
) -> None:
    note_settings(alike, "segment_organs", "0000", "new")  # and not yet measured anew
    run(**alike, output=tmp_path / "tables", radiomics=True)
    for table in ("organs", "radiomics"):
        metadata = pq.read_schema(tmp_path / "tables" / table / "part-0000.parquet").metadata
        assert metadata[b"organome.settings.segment_organs"] == b"old"


def test_ledgers_that_say_nothing_of_the_steps_before_are_collected(
    alike: dict[str, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for step in ("measure_volumes", "measure_radiomics"):
        note_settings(alike, step, "0000", "m")
    assert run(**alike, output=tmp_path / "tables", radiomics=True).complete
    assert not [one for one in caplog.records if "settings" in one.getMessage()]
    metadata = pq.read_schema(tmp_path / "tables/organs/part-0000.parquet").metadata
    assert metadata[b"organome.settings.segment_organs"] == b"old"


@pytest.mark.parametrize("step", ["segment_organs", "prepare_images"])
def test_shards_by_other_settings_than_most_are_said(
    alike: dict[str, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture, step: str
) -> None:
    for measuring in ("measure_volumes", "measure_radiomics"):
        for shard in ("0000", "0001", "0002"):
            before = {"segment_organs": "old", "prepare_images": "old"}
            before |= {step: "new"} if shard == "0001" else {}
            note_settings(alike, measuring, shard, "m", **before)
    # They may be of another release, so they are collected.
    assert run(**alike, output=tmp_path / "tables", radiomics=True).complete
    (said,) = [one.getMessage() for one in caplog.records if "settings" in one.getMessage()]
    assert said.startswith("1 shards (the first: 0001) were made by other settings")
    metadata = pq.read_schema(tmp_path / "tables/organs/part-0000.parquet").metadata
    assert metadata[f"organome.settings.{step}".encode()] == b"new;old"


@pytest.mark.parametrize("is_measured", [True, False])
def test_features_of_other_labelmaps_than_the_volumes_are_left_out(
    alike: dict[str, Path], tmp_path: Path, is_measured: bool
) -> None:
    """Radiomics of a shard labelled anew are through, volumes are still the old ones or none."""
    note_settings(alike, "segment_organs", "0001", "new")
    note_settings(alike, "measure_radiomics", "0001", "m", segment_organs="new")
    if not is_measured:
        (alike["results"] / "measure_volumes" / "0001" / LEDGER).unlink()
    summary = run(**alike, output=tmp_path / "tables", radiomics=True)
    assert summary.n_not_measured == (not is_measured)
    assert summary.n_radiomics_not_measured == 1
    found = reasons_of_features(tmp_path / "tables")
    assert found == {"0000": {None}, "0001": {"shard_differs"}, "0002": {None}}
    if is_measured:
        note_settings(alike, "measure_volumes", "0001", "m", segment_organs="new")
        assert run(**alike, output=tmp_path / "tables", radiomics=True).complete
        assert reasons_of_features(tmp_path / "tables")["0001"] == {None}

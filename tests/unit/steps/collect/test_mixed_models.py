"""Scans that different models labelled do not get into one table unasked."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from doubles.measured import cohort, scan_of
from organome.domain.outcomes import Status
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

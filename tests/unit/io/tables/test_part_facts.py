from pathlib import Path

import pyarrow as pa

from organome.io.tables.parquet import write_table
from organome.io.tables.part_facts import fact_texts, joined_facts


def part(path: Path, **facts: str) -> Path:
    metadata = {f"organome.{name}": text for name, text in facts.items()}
    write_table(path, pa.table({"a": [1]}).replace_schema_metadata(metadata))
    return path


def test_facts_of_all_files_are_joined(tmp_path: Path) -> None:
    first = {"complete": "true", "n_not_measured": "1", "models": "b", "settings.segment": "s"}
    second = {"complete": "false", "n_not_measured": "2", "models": "a;b", "phantom_model": "true"}
    of_file = {"table": "organs", "row": "One row.", "key": "scan label", "inputs": "1f"}
    parts = [
        part(tmp_path / "0.parquet", **first, **of_file, version="2"),
        part(tmp_path / "1.parquet", **second, **of_file, version="2"),
        part(tmp_path / "2.parquet"),  # of a release that says nothing
    ]
    found = joined_facts(parts)
    assert found == {
        **{"complete": False, "n_not_measured": 3, "models": "a;b", "phantom_model": True},
        **{"settings.segment": "s", "version": "2"},
    }
    assert dict(fact_texts(found))["complete"] == "false"
    assert joined_facts(parts[:1])["complete"] is True

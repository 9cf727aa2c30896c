from pathlib import Path

from doubles.measured import scan_of
from organome.domain.rows import scan_key_values
from organome.domain.tables import SCAN_KEY
from organome.io.tables.dropped_rows import find_rows, write_without_rows
from organome.io.tables.parquet import write_table
from organome.io.tables.pictures import pictures_path, pictures_to_arrow, read_pictures


def row(participant: str, scan: str, webp: bytes) -> dict[str, object]:
    return {
        **scan_key_values(scan_of(participant, scan=scan)),
        "picture": "planes",
        "organ": None,
        "webp": webp,
        "width_px": 3,
        "height_px": 2,
        "mm_per_px": 1.5,
        "alt_text": "A plane.",
    }


def test_pictures_of_who_withdrew_go_and_the_others_stay_as_they_were(tmp_path: Path) -> None:
    rows = [row("101", "0002-0000", b"RIFF\x00\xff"), row("102", "0002-0001", bytes(range(256)))]
    path = pictures_path(tmp_path, "0002")
    write_table(path, pictures_to_arrow(rows))
    theirs = {"participant": {"101"}, "scan": {"0002-0000"}}

    def of_them(column: str) -> set[str]:
        return theirs.get(column, set())

    assert find_rows(path, of_them) == 1
    write_without_rows(path, path.with_suffix(".new"), of_them)
    path.with_suffix(".new").replace(path)
    assert read_pictures(tmp_path, "0002-0000") == []
    assert read_pictures(tmp_path, "0002-0001") == rows[1:]
    assert b"RIFF" not in path.read_bytes()


def test_every_column_says_what_it_is() -> None:
    schema = pictures_to_arrow([]).schema
    assert len(schema.names) == len(SCAN_KEY) + 7
    for field in schema:
        assert field.metadata[b"meaning"].endswith(b".")
    assert [field.name for field in schema if field.nullable] == ["station", "organ"]
    assert schema.metadata[b"organome.key"] == b"scan picture organ"

from html import unescape
from pathlib import Path

from doubles.places import REPOSITORY
from organome.domain.published_tables import PUBLISHED_TABLES
from organome.domain.schemes import SCHEMES
from organome.steps.docs.describe_tables import run


def test_every_column_stands_in_the_description_once_per_table(tmp_path: Path) -> None:
    run(output=tmp_path / "tables.md")
    sections = (tmp_path / "tables.md").read_text().split("\n## ")
    for table in PUBLISHED_TABLES:
        (section,) = (part for part in sections if part.startswith(f"{table.name}\n"))
        for column in (*table.columns, *table.organ_columns):
            assert section.count(f"| `{column.name}` |") == 1
            assert column.meaning in unescape(section)


def test_differences_between_schemes_stand_in_the_description(tmp_path: Path) -> None:
    run(output=tmp_path / "tables.md")
    text = (tmp_path / "tables.md").read_text()
    for scheme in SCHEMES.values():
        for organ, note in scheme.notes.items():
            assert f"| {scheme.name} | {organ} | {note} |" in text


def test_description_in_the_repository_is_up_to_date(tmp_path: Path) -> None:
    run(output=tmp_path / "tables.md")
    committed = REPOSITORY / "docs" / "tables.md"
    assert committed.read_text() == (tmp_path / "tables.md").read_text()

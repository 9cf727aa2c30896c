import json
import re
from pathlib import Path

import pytest
import yaml

from doubles.places import REPOSITORY
from organome.domain.errors import MachineFault, SetupError
from organome.domain.schemes import AMOS22, BODY_COMPOSITION_SCHEME, SCHEMES, LabelScheme
from organome.io.tables.schemes import (
    PUBLISHED,
    find_scheme,
    read_published_scheme,
    scheme_of_labelmaps,
    write_published_scheme,
)

TEXT = """\
name: mine
classes:
  1: {class: heart, becomes: heart}
  2: {class: bed, becomes: null}
structures: [heart]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(TEXT)
    return path


def test_a_name_is_a_built_in_scheme() -> None:
    assert find_scheme("amos22") is AMOS22
    with pytest.raises(SetupError, match="'amos23' is unknown"):
        find_scheme("amos23")


def test_a_scheme_of_a_file_is_named_by_its_content(file: Path, tmp_path: Path) -> None:
    scheme = find_scheme(str(file))
    name, digest = scheme.name.split("@")
    assert (name, len(digest)) == ("mine", 8)
    file.write_text("# a comment\n" + TEXT)
    assert find_scheme(str(file)) == scheme
    file.write_text(TEXT.replace("heart, becomes: heart", "Heart, becomes: heart"))
    assert find_scheme(str(file)).name != scheme.name


def test_the_file_in_the_documentation_is_one(tmp_path: Path) -> None:
    page = (REPOSITORY / "docs" / "models.md").read_text()
    (shown,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "shown.yaml").write_text(shown)
    assert [one.name for one in find_scheme(str(tmp_path / "shown.yaml")).structures] == [
        *("heart", "left_lung", "trachea")
    ]


def test_yaml_and_json_are_the_same_scheme(file: Path) -> None:
    other = file.with_suffix(".json")
    other.write_text(json.dumps(yaml.safe_load(TEXT)))
    assert find_scheme(str(other)) == find_scheme(str(file))


def test_a_published_scheme_that_was_damaged_is_asked_for_again(tmp_path: Path) -> None:
    write_published_scheme(tmp_path, AMOS22)
    path, ledger = tmp_path / PUBLISHED, tmp_path / "ledger.parquet"
    path.write_bytes(path.read_bytes()[:-9] + bytes(9))
    ledger.touch()
    with pytest.raises(MachineFault, match="was damaged"):
        scheme_of_labelmaps(tmp_path, {})
    assert not path.exists()
    assert not ledger.exists()


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
def test_what_is_published_is_read(scheme: LabelScheme, tmp_path: Path) -> None:
    assert read_published_scheme(tmp_path) is None
    write_published_scheme(tmp_path, scheme)
    assert read_published_scheme(tmp_path) == scheme


def test_a_published_scheme_can_be_taken_as_a_file_and_keeps_its_name(
    file: Path, tmp_path: Path
) -> None:
    scheme = find_scheme(str(file))
    write_published_scheme(tmp_path, scheme)
    assert read_published_scheme(tmp_path) == scheme
    assert find_scheme(str(tmp_path / "scheme.json")) == scheme
    write_published_scheme(tmp_path, BODY_COMPOSITION_SCHEME)
    assert find_scheme(str(tmp_path / "scheme.json")).structures[1].name == "visceral_fat"


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.yaml", TEXT.replace("  2:", "  1:"), "1 is there twice"),
        ("a.json", '{"name": "a", "name": "b"}', "'name' is there twice"),
        ("a.yaml", "name: [", "cannot be read"),
        ("a.json", "{", "cannot be read"),
        ("a.yaml", "!!python/object/apply:os.getcwd []", "cannot be read"),
        ("a.yaml", "- a", "holds no mapping"),
    ],
)
def test_a_file_that_is_none_is_named(tmp_path: Path, name: str, content: str, says: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(SetupError, match=f"{name}: .*{says}"):
        find_scheme(str(tmp_path / name))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"gone\.yaml: cannot be read"):
        find_scheme(str(tmp_path / "gone.yaml"))

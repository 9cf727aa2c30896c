"""The page on the configuration, and the schema it is made from."""

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from doubles.places import REPOSITORY
from organome.steps.docs import describe_config

SCHEMA = REPOSITORY / "workflow" / "schemas" / "config.schema.yaml"


def keys(schema: dict[str, Any], prefix: str = "") -> dict[str, dict[str, Any]]:
    found = {}
    for name, key in schema["properties"].items():
        found[prefix + name] = key
        if "properties" in key:
            found |= keys(key, f"{prefix}{name}.")
    return found


def test_page_is_current(tmp_path: Path) -> None:
    describe_config.run(schema=SCHEMA, output=tmp_path / "README.md")
    made = (tmp_path / "README.md").read_text()
    assert made == (REPOSITORY / "config" / "README.md").read_text(), "run `make docs`"


def test_every_key_has_type_meaning_and_a_default_unless_required() -> None:
    schema = yaml.safe_load(SCHEMA.read_text())
    required = {"cohort", "cohort.name", "cohort.kind", "cohort.root"}
    for name, key in keys(schema).items():
        assert {"type", "enum", "anyOf"} & key.keys(), name
        assert key["description"], name
        assert ("default" in key) != (name in required), name
        if name not in required:
            jsonschema.validate(key["default"], key)


@pytest.mark.parametrize(
    "path", sorted((REPOSITORY / "config").glob("*.yaml")), ids=lambda p: p.name
)
def test_every_example_is_valid(path: Path) -> None:
    jsonschema.validate(yaml.safe_load(path.read_text()), yaml.safe_load(SCHEMA.read_text()))


def test_a_misspelt_key_is_an_error() -> None:
    schema = yaml.safe_load(SCHEMA.read_text())
    config = yaml.safe_load((REPOSITORY / "config" / "ukb.yaml").read_text())
    config["segment"]["modle"] = "models/phantom"
    with pytest.raises(jsonschema.ValidationError, match="modle"):
        jsonschema.validate(config, schema)

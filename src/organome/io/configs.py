"""The configuration of a run: what is wrong with it in one line, and its defaults.

Rules get their settings from the Snakefile; read here are only what the Snakefile and the doctor
check before a cohort runs.
"""

import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match

from organome.domain.errors import SetupError

_MAX_LETTERS: Final = 300


def read_schema(path: Path) -> Mapping[str, Any]:
    """Read the schema that every key of the configuration stands in."""
    schema: Mapping[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return schema


def read_config(path: Path, schema: Mapping[str, Any]) -> dict[str, Any]:
    """Read a configuration and fill in the defaults.

    Raises:
        SetupError: It cannot be read, or is not what the schema describes.
    """
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeError, yaml.YAMLError) as error:
        raise SetupError(f"{path}: {' '.join(str(error).split())}") from error
    if mistake := find_mistake(config, schema):
        raise SetupError(f"{path}: {mistake}")
    return _with_defaults(config, schema)


def find_mistake(config: Any, schema: Mapping[str, Any]) -> str | None:
    """Return what is wrong with a configuration in one line; None if nothing is."""
    if not config:
        return (
            "no configuration: name one (--configfile config/<cohort>.yaml), or put a config.yaml"
            " into the run folder"
        )
    if not isinstance(config, dict):
        return "a configuration consists of lines `key: value`"
    for section, known, name in _unknown_keys(config, schema, prefix=""):
        return _misspelt(section + name, known, schema)
    error = best_match(Draft202012Validator(schema).iter_errors(config))
    return None if error is None else _in_one_line(error)


def _unknown_keys(
    config: Mapping[str, Any], schema: Mapping[str, Any], *, prefix: str
) -> Iterator[tuple[str, list[str], str]]:
    known = schema["properties"]
    for name, value in config.items():
        if name not in known:
            yield prefix, [f"{prefix}{one}" for one in known], str(name)
        elif isinstance(value, dict) and "properties" in known[name]:
            yield from _unknown_keys(value, known[name], prefix=f"{prefix}{name}.")


def _misspelt(name: str, siblings: list[str], schema: Mapping[str, Any]) -> str:
    everywhere = _all_keys(schema, prefix="")
    last = name.rpartition(".")[2]
    # A key of another section, or one with a slip of the pen.
    meant = [key for key in everywhere if key.rpartition(".")[2] == last]
    meant = meant or difflib.get_close_matches(name, siblings, n=1)
    meant = meant or difflib.get_close_matches(name, everywhere, n=1)
    advice = f"did you mean {meant[0]}?" if meant else f"one of {', '.join(siblings)}"
    return f"{name} is not a key of the configuration: {advice}"


def _all_keys(schema: Mapping[str, Any], *, prefix: str) -> list[str]:
    found = []
    for name, key in schema["properties"].items():
        found.append(f"{prefix}{name}")
        if "properties" in key:
            found += _all_keys(key, prefix=f"{prefix}{name}.")
    return found


def _in_one_line(error: ValidationError) -> str:
    place = ".".join(map(str, error.absolute_path)) or "configuration"
    said = " ".join(str(error.message).split())
    if len(said) > _MAX_LETTERS:
        said = f"{said[:_MAX_LETTERS]} ..."
    return f"{place}: {said}"


def _with_defaults(config: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    filled = dict(config)
    for name, key in schema["properties"].items():
        value = filled.get(name, key.get("default"))
        filled[name] = _with_defaults(value, key) if "properties" in key else value
    return filled

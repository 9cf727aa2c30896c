"""The configuration of a run: what is wrong with it in one line, and its defaults.

Rules get their settings from the Snakefile; read here are only what the Snakefile and the doctor
check before a cohort runs.
"""

import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from organome.domain.errors import SetupError
from organome.io.files.strict_yaml import StrictLoader

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

_MAX_LETTERS: Final = 300
_TYPES: Final = {
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "string": "text",
    "array": "a list such as [a, b]",
    "object": "a section of `key: value` lines",
}
_BOUNDS: Final = {
    "minimum": "at least",
    "exclusiveMinimum": "above",
    "maximum": "at most",
}


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
        config = yaml.load(path.read_text(encoding="utf-8"), StrictLoader)
    except yaml.YAMLError as error:
        raise SetupError(f"{path}{_yaml_mistake(error)}") from error
    except UnicodeError as error:
        raise SetupError(f"{path}: not UTF-8 text; save it as plain text") from error
    except OSError as error:
        raise SetupError(f"{path}: cannot be read: {error.strerror}") from error
    if config is None:
        raise SetupError(f"{path}: empty; `organome init` writes a configuration into a new folder")
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
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match

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


def _yaml_mistake(error: yaml.YAMLError) -> str:
    """Return where YAML ends to be YAML, and why."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or "not YAML"
    if "\\t" in problem:
        problem = "a tab; indent with spaces"
    where = "" if mark is None else f", line {mark.line + 1}, column {mark.column + 1}"
    return f"{where}: {' '.join(problem.split())}"


def _in_one_line(error: "ValidationError") -> str:
    place = ".".join(map(str, error.absolute_path))
    kind, wanted = str(error.validator), error.validator_value
    if kind == "required":
        missing = [name for name in wanted if name not in error.instance]
        return f"{'.'.join([*filter(None, [place]), missing[0]])} is missing"
    value = " ".join(repr(error.instance).split())
    if len(value) > _MAX_LETTERS:
        value = f"{value[:_MAX_LETTERS]} ..."
    match kind:
        case "type":
            needed = f"must be {_TYPES.get(str(wanted), wanted)}"
        case "enum":
            close = difflib.get_close_matches(str(error.instance), map(str, wanted), n=1)
            needed = f"must be one of {', '.join(map(str, wanted))}"
            needed += f"; did you mean {close[0]}?" if close else ""
        case "minimum" | "exclusiveMinimum" | "maximum":
            needed = f"must be {_BOUNDS[kind]} {wanted}"
        case "minItems" | "minLength":
            needed = "must not be empty"
        case "uniqueItems":
            needed = "must not name anything twice"
        case _:
            return f"{place}: {' '.join(error.message.split())[:_MAX_LETTERS]}"
    return f"{place or 'configuration'}: {value} {needed}"


def _with_defaults(config: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    filled = dict(config)
    for name, key in schema["properties"].items():
        value = filled.get(name, key.get("default"))
        filled[name] = _with_defaults(value, key) if "properties" in key else value
    return filled

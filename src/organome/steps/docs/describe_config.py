"""Write the page on the configuration from its schema, so that the two cannot disagree."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from organome.io.files.atomic import write_text_atomic

_HEAD: Final = """\
# Configuration

Made from `workflow/schemas/config.schema.yaml` by `make docs`; change the schema, not this page.

One YAML file per cohort, `config.yaml` in the run folder: `organome init` writes it, and the ones
here are commented examples. Relative paths are relative to the run folder. A key that is not known
is an error. Change a setting that changes results, and the
steps that depend on it run again.

| file | cohort |
|---|---|
| `demo.yaml`, `demo_ct.yaml` | the phantoms of `make demo` |
| `ukb.yaml` | UK Biobank |
| `nako.yaml` | NAKO |
| `bids.yaml` | any cohort in BIDS |
| `folder.yaml` | any other cohort, named by a TSV file |
| `labelmaps.yaml` | a cohort that is segmented already |
| `body_composition.yaml` | body composition of UK Biobank, with a model of its own |

| key | type | default | unit | meaning |
|---|---|---|---|---|
"""


def run(*, schema: Path, output: Path) -> None:
    """Write the page on the configuration.

    Args:
        schema: ``workflow/schemas/config.schema.yaml``.
        output: The page, usually ``config/README.md``.
    """
    rows = _rows(yaml.safe_load(schema.read_text()), prefix="")
    lines = ("| " + " | ".join(row) + " |\n" for row in rows)
    write_text_atomic(output, _HEAD + "".join(lines))


def _rows(schema: Mapping[str, Any], *, prefix: str) -> Iterator[tuple[str, ...]]:
    for name, key in schema["properties"].items():
        required = name in schema.get("required", ())
        if "properties" in key:
            yield f"`{prefix}{name}`", "section", "", "", key["description"]
            yield from _rows(key, prefix=f"{prefix}{name}.")
            continue
        default = "required" if required else f"`{_plain(key['default'])}`"
        yield f"`{prefix}{name}`", _kind(key), default, key.get("unit", ""), key["description"]


def _kind(key: Mapping[str, Any]) -> str:
    if "anyOf" in key:
        return " or ".join(_kind(one) for one in key["anyOf"])
    if "enum" in key:
        return ", ".join(f"`{value}`" for value in key["enum"])
    if key["type"] == "array":
        return f"list of {_kind(key['items'])}"
    if key["type"] == "object":
        return f"{_kind(key['propertyNames'])}, each with a {_kind(key['additionalProperties'])}"
    bounds = [
        f"{sign} {key[bound]}"
        for bound, sign in (("exclusiveMinimum", ">"), ("minimum", "≥"), ("maximum", "≤"))
        if bound in key
    ]
    return ", ".join([key["type"], *bounds])


def _plain(value: object) -> str:
    return value or '""' if isinstance(value, str) else json.dumps(value).replace('"', "")

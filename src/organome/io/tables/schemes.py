"""Scheme files: what labels mean, in YAML or JSON, and as it is published with labelmaps."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import yaml

from organome.domain.errors import SetupError
from organome.domain.fingerprints import digest_of
from organome.domain.outcomes import Outcome, Status
from organome.domain.scheme_files import parse_scheme, scheme_content
from organome.domain.schemes import MRSEGMENTATOR, LabelScheme, scheme_by_name
from organome.io.files.atomic import write_text_atomic
from organome.io.files.published import ask_again
from organome.io.files.strict_yaml import StrictLoader

PUBLISHED: Final = "scheme.json"
_SUFFIXES: Final = frozenset({".yaml", ".yml", ".json"})


def find_scheme(word: str) -> LabelScheme:
    """Find a built-in scheme by its name, or read one from a file.

    A scheme from a file is called ``<name>@<digest>``, so that all that depends on it is made again
    when its content changes, and the tables tell two versions apart.

    Args:
        word: Name, or path that ends in .yaml, .yml or .json.

    Raises:
        SetupError: There is no such scheme, or the file holds none.
    """
    path = Path(word)
    if path.suffix not in _SUFFIXES:
        return scheme_by_name(word)
    scheme = parse_scheme(_read(path), source=str(path))
    name = scheme.name.split("@", 1)[0]
    digest = digest_of(scheme_content(replace(scheme, name=name)))
    return replace(scheme, name=f"{name}@{digest[:8]}")


def write_published_scheme(folder: Path, scheme: LabelScheme) -> None:
    """Write into a folder of labelmaps what their labels mean and where they come from."""
    text = json.dumps(scheme_content(scheme), indent=1, ensure_ascii=False) + "\n"
    write_text_atomic(folder / PUBLISHED, text)


def read_published_scheme(folder: Path) -> LabelScheme | None:
    """Read what the labels of a published folder mean; None where the folder does not say.

    Raises:
        SetupError: If it says something else than a scheme.
    """
    path = folder / PUBLISHED
    return parse_scheme(_read(path), source=str(path)) if path.is_file() else None


def _read(path: Path) -> Any:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError(f"label scheme {path}: cannot be read ({error})") from error
    try:
        if path.suffix == ".json":
            return json.loads(text, object_pairs_hook=_no_doubles)
        return yaml.load(text, StrictLoader)
    except (ValueError, yaml.YAMLError) as error:
        said = " ".join(str(error).split())
        raise SetupError(f"label scheme {path}: cannot be read ({said})") from error


def _no_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, value in pairs:
        if key in made:
            raise ValueError(f"{key!r} is there twice")
        made[key] = value
    return made


def scheme_of_labelmaps(labelmaps: Path, labelled: Mapping[str, Outcome]) -> LabelScheme:
    """Find the scheme of a shard that segment_organs published.

    Args:
        labelmaps: Folder of the shard.
        labelled: Its ledger, for folders of earlier releases, which do not tell the scheme.

    Raises:
        MachineFault: The file of the scheme is damaged: then its step is asked for it again.
    """
    try:
        published = read_published_scheme(labelmaps)
    except SetupError as error:
        raise ask_again(labelmaps / PUBLISHED) from error
    if published is not None:
        return published
    names = (one.facts["scheme"] for one in labelled.values() if one.status is Status.DONE)
    return scheme_by_name(next(names, MRSEGMENTATOR.name))

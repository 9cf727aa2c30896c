"""Scheme files: what labels mean, in YAML or JSON, and as it is published with labelmaps.

They are read strictly and written back:

```yaml
name: thorax                # stands in the tables
modality: ct                # mri or ct; left out: both
classes:                    # every value of the labelmap but 0, none left out
  1: {class: heart, becomes: heart}
  2: {class: lung_lower_lobe_left, becomes: left_lung}
  3: {class: lung_upper_lobe_left, becomes: left_lung}
  4: {class: trachea, becomes: trachea}
  5: {class: table, becomes: null}             # known, and not measured
structures:                 # what is measured, in this order; left out: the 40 organs
  - heart
  - left_lung
  - {name: trachea, region: chest}
notes:                      # where a definition differs
  left_lung: Sum of two lobes.
```
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import yaml

from organome.domain.errors import SetupError
from organome.domain.fingerprints import digest_of
from organome.domain.organs import ORGAN_BY_NAME, ORGANS, Organ, Region, numbered
from organome.domain.outcomes import Outcome, Status
from organome.domain.scans import Modality
from organome.domain.schemes import MRSEGMENTATOR, LabelScheme, scheme_by_name
from organome.io.files.atomic import write_text_atomic
from organome.io.files.published import ask_again
from organome.io.files.strict_yaml import StrictLoader

_NAME: Final = re.compile(r"[a-z0-9_]+(@[0-9a-f]{8})?")
_STRUCTURE: Final = re.compile(r"[a-z][a-z0-9_]*")
_KEYS: Final = frozenset({"name", "modality", "classes", "structures", "notes"})
_MAX_STRUCTURES: Final = 127  # the tables hold labels as int8
_MAX_CLASS: Final = 65_535


def parse_scheme(content: Any, *, source: str) -> LabelScheme:
    """Make a scheme of the content of a file.

    Args:
        content: What was read from YAML or JSON.
        source: Name of the file, for errors.

    Raises:
        SetupError: If anything is missing, unknown, doubled or of the wrong kind.
    """
    try:
        return _parse(content)
    except _WrongError as wrong:
        raise SetupError(f"label scheme {source}: {wrong}") from wrong


def scheme_content(scheme: LabelScheme) -> dict[str, Any]:
    """Write a scheme as the plain data that ``parse_scheme`` reads."""
    names = {structure.label: structure.name for structure in scheme.structures}
    return {
        "name": scheme.name,
        "modality": scheme.modality and scheme.modality.value,
        "classes": {
            str(label): {"class": name, "becomes": names.get(scheme.organ_labels.get(label, 0))}
            for label, name in scheme.classes.items()
        },
        "structures": [
            {"name": structure.name, "region": structure.region.value}
            for structure in scheme.structures
        ],
        "notes": dict(scheme.notes),
    }


class _WrongError(Exception):
    """What is wrong, in one line."""


def _parse(content: Any) -> LabelScheme:
    if not isinstance(content, Mapping):
        raise _WrongError("holds no mapping")
    if unknown := set(content) - _KEYS:
        raise _WrongError(f"unknown key {sorted(map(str, unknown))[0]!r}")
    name = content.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise _WrongError("name must be of a-z, 0-9 and _")
    structures = _structures(content.get("structures"))
    classes, becomes = _classes(content.get("classes"), {one.name for one in structures})
    labels = {one.name: one.label for one in structures}
    return LabelScheme(
        name=name,
        classes=classes,
        organ_labels={
            label: labels[structure]
            for label, structure in becomes.items()
            if structure is not None
        },
        notes=_notes(content.get("notes"), labels),
        structures=structures,
        modality=_modality(content.get("modality")),
    )


def _structures(listed: Any) -> tuple[Organ, ...]:
    if listed is None:
        return ORGANS
    if not isinstance(listed, Sequence) or isinstance(listed, str) or not listed:
        raise _WrongError("structures must be a list")
    named = [_structure(entry) for entry in listed]
    names = [name for name, _ in named]
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        raise _WrongError(f"structure {doubled[0]} is there twice")
    if len(named) > _MAX_STRUCTURES:
        raise _WrongError(f"{len(named)} structures, {_MAX_STRUCTURES} at most")
    made = numbered(named)
    return ORGANS if made == ORGANS else made


def _structure(entry: Any) -> tuple[str, Region]:
    fields = {"name": entry} if isinstance(entry, str) else entry
    if not isinstance(fields, Mapping) or set(fields) - {"name", "region"} or "name" not in fields:
        raise _WrongError(f"structure {entry!r} is neither a name nor {{name, region}}")
    name = fields["name"]
    if not isinstance(name, str) or not _STRUCTURE.fullmatch(name):
        raise _WrongError(f"structure {name!r}: its name must be of a-z, 0-9 and _")
    known = ORGAN_BY_NAME.get(name)
    region = fields.get("region", known.region.value if known else Region.OTHER.value)
    if region not in tuple(Region):
        raise _WrongError(f"structure {name}: region {region!r}; known: {', '.join(Region)}")
    return name, Region(region)


def _classes(listed: Any, structures: set[str]) -> tuple[dict[int, str], dict[int, str | None]]:
    if not isinstance(listed, Mapping) or not listed:
        raise _WrongError("classes must name every value of the labelmap")
    classes: dict[int, str] = {}
    becomes: dict[int, str | None] = {}
    for key, entry in listed.items():
        label = _label(key)
        if label in classes:
            raise _WrongError(f"class {label} is there twice")
        if not isinstance(entry, Mapping) or set(entry) != {"class", "becomes"}:
            raise _WrongError(f"class {label} must be {{class: NAME, becomes: STRUCTURE or null}}")
        if not isinstance(entry["class"], str) or entry["class"] in classes.values():
            raise _WrongError(f"class {label}: {entry['class']!r} is not a name of its own")
        if entry["becomes"] is not None and entry["becomes"] not in structures:
            raise _WrongError(
                f"class {label} becomes {entry['becomes']!r}, which is not a structure"
            )
        classes[label], becomes[label] = entry["class"], entry["becomes"]
    if not any(becomes.values()):
        raise _WrongError("no class becomes a structure")
    order = sorted(classes)
    return {label: classes[label] for label in order}, {label: becomes[label] for label in order}


def _label(key: Any) -> int:
    text = str(key)
    if isinstance(key, bool) or not text.isascii() or not text.isdecimal():
        raise _WrongError(f"class {key!r} is not a label")
    if not 1 <= int(text) <= _MAX_CLASS:
        raise _WrongError(f"class {text} is not from 1 to {_MAX_CLASS}; 0 is background")
    return int(text)


def _notes(entry: Any, labels: Mapping[str, int]) -> dict[str, str]:
    notes = {} if entry is None else entry
    if not isinstance(notes, Mapping):
        raise _WrongError("notes must be a mapping")
    for name, note in notes.items():
        if name not in labels or not isinstance(note, str):
            raise _WrongError(f"note on {name!r}: no text, or no such structure")
    return dict(notes)


def _modality(entry: Any) -> Modality | None:
    if entry is None:
        return None
    if entry not in tuple(Modality):
        raise _WrongError(f"modality {entry!r}; known: {', '.join(Modality)}")
    return Modality(entry)


PUBLISHED: Final = "scheme.json"
SCHEME_SUFFIXES: Final = frozenset({".yaml", ".yml", ".json"})


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
    if path.suffix not in SCHEME_SUFFIXES:
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

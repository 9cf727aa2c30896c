"""Run folders beside a run: the same configuration but for some keys, on the same files.

Whatever lies in the run folder besides what Organome and Snakemake make there is linked, so that
relative paths of the configuration lead to the same; those that lead out of it are made absolute.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from organome.domain.errors import SetupError
from organome.io.files.atomic import write_text_atomic
from organome.io.files.strict_yaml import StrictLoader
from organome.io.runs import CONFIG, Run

VERSIONS: Final = "versions"
_MADE: Final = frozenset(
    {CONFIG, "scans", "results", "work", "logs", ".snakemake", VERSIONS, "releases", "withdrawals"}
)


def make_side_run(place: Run, folder: Path, changes: Mapping[str, Mapping[str, Any] | Any]) -> Run:
    """Make a run folder beside a run, without scans or results.

    Args:
        place: The run.
        folder: Where; does not exist.
        changes: What of the configuration is other, a section at a time.

    Raises:
        SetupError: The run has no configuration of its own.
    """
    if place.own_config is None:
        raise SetupError(f"{place.folder}: no {CONFIG} in it; this needs one")
    config = yaml.load(place.own_config.read_text(encoding="utf-8"), StrictLoader)
    for section, change in changes.items():
        old = config.get(section)
        config[section] = {**(old or {}), **change} if isinstance(change, Mapping) else change
    folder.mkdir(parents=True)
    config = _absolute(config, place.folder.absolute())
    write_text_atomic(folder / CONFIG, yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
    for path in _own_files(place, folder):
        link(path, folder / path.name)
    return Run(folder)


def link(target: Path, path: Path) -> None:
    """Make a relative link, so that the run folder can be moved."""
    path.symlink_to(os.path.relpath(target.absolute(), path.parent.absolute()))


def _own_files(place: Run, folder: Path) -> Iterator[Path]:
    for path in sorted(place.folder.iterdir()):
        if path.name not in _MADE and path.absolute() not in folder.absolute().parents:
            yield path


def _absolute(value: Any, base: Path) -> Any:
    """Return a setting with those paths absolute that lead out of a folder."""
    if isinstance(value, dict):
        return {key: _absolute(one, base) for key, one in value.items()}
    if isinstance(value, list):
        return [_absolute(one, base) for one in value]
    if isinstance(value, str) and (value == ".." or value.startswith("../")):
        return os.path.normpath(base / value)
    return value

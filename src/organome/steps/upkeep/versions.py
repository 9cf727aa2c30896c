"""Two versions of a run side by side: another model, or other settings, on the same scans.

```
versions/<name>/config.yaml                the configuration, but for what is tried
versions/<name>/version.json               what that is
versions/<name>/scans                      link to the sample sheet of the run
versions/<name>/results/prepare_images     link to its images, and one to the work on them
```

So a version is a run folder whose images are prepared already. What it labels and measures lies
beside that of the run, is compared with it, and takes its place by renames.
"""

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from organome.domain.errors import SetupError
from organome.io.files.atomic import exchange_names, exchange_place, write_text_atomic
from organome.io.files.strict_yaml import StrictLoader
from organome.io.runs import Run
from organome.io.side_runs import VERSIONS, link, make_side_run
from organome.io.tables.withdrawn import SWITCH

VERSION: Final = "version.json"
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_SHARED: Final = "prepare_images"
_STAYS: Final = frozenset({_SHARED, "controller", "recompute"})

Changes = Mapping[str, Mapping[str, Any]]


def make_version(place: Run, name: str, changes: Changes) -> Path:
    """Make the folder of a version.

    Args:
        place: The run.
        name: Name of the version.
        changes: What of the configuration is other, by section and key.

    Raises:
        SetupError: The name is taken, or the configuration is wrong with these changes.
    """
    folder = place.folder / VERSIONS / name
    if not NAME.fullmatch(name) or folder.exists():
        raise SetupError(f"{folder}: name a new version by letters, digits, '_', '.' and '-'")
    version = make_side_run(place, folder, changes)
    link(place.scans, version.scans)
    for ours, theirs in ((place.results, version.results), (place.work, version.work)):
        (ours / _SHARED).mkdir(parents=True, exist_ok=True)
        theirs.mkdir()
        link(ours / _SHARED, theirs / _SHARED)
    try:
        version.check()
    except SetupError:
        shutil.rmtree(folder)
        raise
    write_text_atomic(folder / VERSION, json.dumps(changes, indent=1) + "\n")
    return folder


def switch(place: Run, name: str, old_name: str) -> Path:
    """Have a version take the place of what the run has, which becomes a version itself.

    Killed, it goes on when it is called again.

    Args:
        place: The run, with nobody at work on it or its versions.
        name: Name of the version.
        old_name: Name that the other gets.

    Returns:
        Folder of what was replaced.

    Raises:
        SetupError: There is no such version, or a name is taken.
    """
    path = place.scans / SWITCH
    if not path.exists():
        write_text_atomic(path, json.dumps(_plan(place, name, old_name), indent=1) + "\n")
    plan = json.loads(path.read_text(encoding="utf-8"))
    if plan["name"] != name:
        raise SetupError(f"{place.folder}: a switch to {plan['name']} was begun; end that first")
    folder = place.folder / VERSIONS / name
    target = place.folder / VERSIONS / str(plan["old_name"])
    if folder.exists():
        for part, inode in plan["parts"].items():
            ours = place.folder / part
            if _inode(ours) == inode or exchange_place(ours).exists():
                exchange_names(ours, folder / part)
        for one, content in plan["texts"].items():
            write_text_atomic(place.folder / one, content)
        folder.rename(target)
    path.unlink()
    return target


def _plan(place: Run, name: str, old_name: str) -> dict[str, Any]:
    folder = place.folder / VERSIONS / name
    if not (folder / VERSION).is_file():
        there = ", ".join(sorted(one.parent.name for one in folder.parent.glob(f"*/{VERSION}")))
        raise SetupError(f"{folder}: no such version; there is {there or 'none'}")
    if (folder.parent / old_name).exists() or not NAME.fullmatch(old_name):
        raise SetupError(f"{folder.parent / old_name}: name what is replaced by another name")
    if place.own_config is None:
        raise SetupError(f"{place.folder}: it has no configuration of its own")
    changes: Changes = json.loads((folder / VERSION).read_text(encoding="utf-8"))
    text = place.own_config.read_text(encoding="utf-8")
    before = place.config()
    back = {
        section: {key: before[section][key] for key in values}
        for section, values in changes.items()
    }
    config = f"{VERSIONS}/{name}/{place.own_config.name}"
    theirs = (place.folder / config).read_text(encoding="utf-8")
    return {
        "name": name,
        "old_name": old_name,
        "parts": {part: _inode(place.folder / part) for part in _parts(place, folder)},
        "texts": {
            place.own_config.name: with_changes(text, changes),
            config: with_changes(theirs, back),
            f"{VERSIONS}/{name}/{VERSION}": json.dumps(back, indent=1) + "\n",
        },
    }


def _parts(place: Run, folder: Path) -> Iterator[str]:
    """Name what is exchanged: all that was made, but the images and what is held now."""
    for above in ("results", "work"):
        names = {
            path.name
            for one in (place.folder, folder)
            for path in (one / above).glob("*")
            if path.name not in _STAYS
        }
        yield from (f"{above}/{name}" for name in sorted(names))
    # With what Snakemake knows of the settings by which files were made: nothing is stale then.
    yield from ("logs", ".snakemake")


def _inode(path: Path) -> int | None:
    try:
        return path.lstat().st_ino
    except FileNotFoundError:
        return None


def with_changes(text: str, changes: Changes) -> str:
    """Return the text of a configuration with other values, with its comments where that is easy.

    That is where a key stands once with a value in its line; else the whole is written anew.
    """
    wanted = yaml.load(text, StrictLoader)
    for section, values in changes.items():
        wanted[section] = {**(wanted.get(section) or {}), **values}
    replaced = text
    for key, value in ((key, one) for values in changes.values() for key, one in values.items()):
        word = json.dumps(value)
        line = re.compile(rf"(\b{re.escape(key)}:[ ]+)([^\s,}}#]+)")
        if found := line.search(replaced):
            replaced = f"{replaced[: found.end(1)]}{word}{replaced[found.end() :]}"
    if yaml.load(replaced, StrictLoader) == wanted:
        return replaced
    return yaml.safe_dump(wanted, sort_keys=False, allow_unicode=True)

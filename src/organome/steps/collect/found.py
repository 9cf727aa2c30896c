"""What was found in the shards, noted so that files which have not changed are not opened again.

A file is the same where its size, inode, and times of change and of status are: a name that was
given to another file, or bytes that were put into it under the old time, change one of these. Only
shards are noted whose rows are those of all scans of their list; nothing else of a scan is. The
file can be deleted at any time.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from organome import __version__
from organome.domain.fingerprints import digest_of
from organome.domain.organs import Organ, Region, numbered
from organome.domain.outcomes import JsonValue
from organome.domain.tables import SCHEMA_VERSION
from organome.io.files.atomic import write_text_atomic
from organome.steps.collect.shards import Measured, Published, Radiomics, files_of

_CHECKS: Final = 2  # raise it when find_volumes or find_radiomics checks or returns something else
_MADE_BY: Final = [_CHECKS, __version__, SCHEMA_VERSION]


class Notes:
    """What was found of each shard at the last collection."""

    def __init__(self, path: Path | None) -> None:
        """Read them; there are none where the file is missing, damaged or of another release."""
        self._path = path
        self._earlier: Mapping[str, Any] = {}
        self._now: dict[str, Any] = {}
        if path is not None:
            with suppress(OSError, ValueError, KeyError, TypeError):
                read = json.loads(path.read_text(encoding="utf-8"))
                if read["made_by"] == _MADE_BY:
                    self._earlier = dict(read["shards"])

    def recall(self, published: Published, step: str, shard: str) -> "tuple[str, Measured | None]":
        """Return the stamp of the files of a shard, and what was found in them if they are noted.

        Raises:
            OSError: They cannot be looked at, for a reason other than that they are not there.
        """
        stamp = digest_of([_stamp(path) for path in files_of(published, step, shard)])
        noted = self._earlier.get(f"{step}/{shard}")
        with suppress(KeyError, TypeError, ValueError):
            if noted is not None and noted["stamp"] == stamp:
                return stamp, _measured(step, shard, noted)
        return stamp, None

    def note(self, stamp: str, found: Measured) -> None:
        """Note what was found in files of that stamp."""
        if not found.missing:
            self._now[f"{found.step}/{found.shard}"] = {
                "stamp": stamp,
                "kind": _kind_as_json(found.kind),
                "of_phantoms": found.of_phantoms,
                "models": sorted(found.models),
                "settings": [*map(list, found.settings)],
                "identity": found.identity,
            }

    def save(self) -> None:
        """Write what was noted, in place of the earlier notes."""
        if self._path is not None and self._now != self._earlier:
            content = json.dumps({"made_by": _MADE_BY, "shards": self._now})
            write_text_atomic(self._path, content)


def _stamp(path: Path) -> JsonValue:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return [found.st_size, found.st_ino, found.st_mtime_ns, found.st_ctime_ns]


def _measured(step: str, shard: str, noted: Mapping[str, Any]) -> Measured:
    return Measured(
        step,
        shard,
        _kind_of_json(noted["kind"]),
        of_phantoms=bool(noted["of_phantoms"]),
        models=frozenset(noted["models"]),
        settings=tuple((name, digest) for name, digest in noted["settings"]),
        identity=str(noted["identity"]),
    )


def _kind_as_json(kind: Any) -> Any:
    if isinstance(kind, Radiomics):
        return asdict(kind)
    return [[one.name, one.region] for one in kind]


def _kind_of_json(noted: Any) -> Any:
    if isinstance(noted, list):
        return _structures(tuple(map(tuple, noted)))
    pairs = {name: tuple(map(tuple, noted[name])) for name in ("images", "organs")}
    return replace(Radiomics((), (), ()), features=tuple(noted["features"]), **pairs)


@lru_cache(maxsize=4)  # those of most shards are the same
def _structures(noted: tuple[tuple[str, str], ...]) -> tuple[Organ, ...]:
    return numbered((name, Region(region)) for name, region in noted)

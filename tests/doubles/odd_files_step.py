"""A copying step that meets odd files; here because worker processes import it by name."""

import errno
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from doubles.steps import CopyStep
from organome.domain.outcomes import JsonValue, Outcome
from organome.domain.scans import Scan

PARTICIPANT: Final = "1000123"
_MIB: Final = 2**20


class OddFiles(CopyStep):
    """Raises for some scans an error that names the delivered file."""

    def __init__(self, kinds: Mapping[str, str], *, where: str) -> None:
        super().__init__()
        self._kinds = kinds
        self._where = where

    def input_identity(self, scan: Scan, upstream: Outcome | None) -> JsonValue:
        if self._where == "looking":
            self._fail(scan)
        return super().input_identity(scan, upstream)

    def run_scan(
        self, scan: Scan, upstream: Outcome | None, place: Callable[[str], Path]
    ) -> Mapping[str, JsonValue]:
        if self._where == "reading":
            self._fail(scan)
        return super().run_scan(scan, upstream, place)

    def _fail(self, scan: Scan) -> None:
        kind = self._kinds.get(scan.scan)
        path = f"/cohort/{PARTICIPANT}/{PARTICIPANT}_2.zip"
        if kind == "takes memory":
            taken = [bytearray(os.urandom(_MIB) * 64) for _ in range(64)]
            time.sleep(600)  # until it is ended for it
            raise AssertionError(len(taken))
        if kind == "bug":
            raise KeyError(path)
        if kind is not None:
            number = getattr(errno, kind)
            raise OSError(number, os.strerror(number), path)

"""A copying step in stages that fails in one of them; workers import it by name."""

import os
import time
from collections.abc import Callable, Mapping
from copy import copy
from pathlib import Path

from doubles.hard_steps import HardStep
from organome.domain.errors import MachineFault
from organome.domain.inference import MemoryNeed
from organome.domain.outcomes import JsonValue, Outcome
from organome.domain.scans import Scan

Item = tuple[Scan, Outcome | None]


class StagedStep(HardStep):
    """A mishap is named after its stage: ``work: is killed``. Results tell nothing of stages.

    One that ends with ``until leanest`` does not come where memory is saved by all means.
    """

    n_readers = 2

    def __init__(
        self,
        folder: Path,
        mishaps: Mapping[str, str] | None = None,
        *,
        at_start: str = "",
        needs_bytes: Mapping[str, int] | None = None,
        pause_s: float = 0.0,
        n_lean: int = 1,
    ) -> None:
        super().__init__(folder, mishaps)
        self._at_start = at_start
        self._needs_bytes = needs_bytes or {}
        self._stage_s = pause_s
        self._n_lean = n_lean
        self._how_lean = 0

    def start(self) -> None:
        with (self._folder / "starts.txt").open("a") as file:
            file.write(f"{os.getpid()} {'lean' if self._is_lean else 'usual'}\n")
        match self._at_start:
            case "dies":
                os._exit(3)
            case "has no GPU":
                raise MachineFault("no GPU")
            case "lacks memory":
                raise MemoryError
            case "never ends":
                self._wait_until(lambda: False)

    def starts(self) -> list[str]:
        """How each process started: usual or lean."""
        path = self._folder / "starts.txt"
        return [line.split()[1] for line in path.read_text().splitlines()] if path.exists() else []

    @property
    def _is_lean(self) -> bool:
        return self._how_lean > 0

    def alone(self) -> "StagedStep":
        return self

    def lean(self) -> "StagedStep":
        if self._how_lean == self._n_lean:
            return self
        other = copy(self)
        other._how_lean += 1
        return other

    def memory_need(self, scan: Scan, before: Outcome | None) -> MemoryNeed | None:
        need = self._needs_bytes.get(scan.scan)
        if need is None:
            return None
        host_bytes = need // 1000 if self._is_lean else need
        return MemoryNeed(host_bytes, host_bytes, host_bytes, 0)

    def device_free_bytes(self) -> None:
        return None

    def read(self, scan: Scan, before: Outcome | None) -> Item:
        self._note(scan.scan)
        return self._stage("read", (scan, before))

    def work(self, item: Item) -> Item:
        return self._stage("work", item)

    def write(self, item: Item, place: Callable[[str], Path]) -> Mapping[str, JsonValue]:
        scan, before = self._stage("write", item)
        facts = self.copy_scan(scan, before, place)
        (self._folder / f"{scan.scan}.flying").unlink()
        return facts

    def run_scan(
        self, scan: Scan, upstream: Outcome | None, place: Callable[[str], Path]
    ) -> Mapping[str, JsonValue]:
        return self.write(self.work(self.read(scan, upstream)), place)

    def _stage(self, stage: str, item: Item) -> Item:
        scan = item[0].scan
        time.sleep(self._stage_s)
        where, _, mishap = self._mishaps.get(scan, "").partition(": ")
        mishap, _, until = mishap.partition(" until ")
        if until == "leanest" and self._how_lean == self._n_lean:
            return item
        if where == stage and not (self._is_lean and mishap.endswith(" beside others")):
            self._meet(mishap.removesuffix(" beside others"), scan)
        return item

"""A copying step that fails in worker processes; here because they import it by name."""

import errno
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from doubles.steps import CopyStep
from organome.domain.errors import ScanError, SetupError
from organome.domain.outcomes import JsonValue, Outcome, Reason
from organome.domain.scans import Scan

PATIENCE_S = 300.0


class HardStep(CopyStep):
    """Does to some scans what their mishap says, and notes who did what in a folder of its own."""

    def __init__(self, folder: Path, mishaps: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self._folder = folder
        self._mishaps = mishaps or {}
        folder.mkdir(parents=True, exist_ok=True)

    def run_scan(
        self, scan: Scan, upstream: Outcome | None, place: Callable[[str], Path]
    ) -> Mapping[str, JsonValue]:
        in_flight = self._note(scan.scan)
        try:
            self._meet(self._mishaps.get(scan.scan, ""), scan.scan)
            return self.copy_scan(scan, upstream, place)
        finally:
            in_flight.unlink()

    def copy_scan(
        self, scan: Scan, upstream: Outcome | None, place: Callable[[str], Path]
    ) -> Mapping[str, JsonValue]:
        """Do a scan without a mishap."""
        return CopyStep.run_scan(self, scan, upstream, place)

    def _note(self, scan: str) -> Path:
        """Note that a scan is begun; return the file that says so while it is in flight."""
        with (self._folder / "tries.txt").open("a") as file:
            file.write(f"{scan} {os.getpid()}\n")
        in_flight = self._folder / f"{scan}.flying"
        in_flight.touch()
        return in_flight

    def tries(self) -> list[tuple[str, int]]:
        """All tries so far: scan and process id."""
        path = self._folder / "tries.txt"
        lines = path.read_text().splitlines() if path.exists() else []
        return [(line.split()[0], int(line.split()[1])) for line in lines]

    def in_flight(self) -> list[str]:
        return [path.stem for path in self._folder.glob("*.flying")]

    def _meet(self, mishap: str, scan: str) -> None:
        match mishap:
            case "is killed once" if self._first_time(scan):
                os.kill(os.getpid(), signal.SIGKILL)
            case "is killed":
                os.kill(os.getpid(), signal.SIGKILL)
            case "crashes":
                signal.signal(signal.SIGSEGV, signal.SIG_DFL)  # pytest's handler prints a lot
                os.kill(os.getpid(), signal.SIGSEGV)
            case "crashes once" if self._first_time(scan):
                os._exit(3)
            case "hangs once" if self._first_time(scan):
                self._wait_until(lambda: False)
            case "is asked to stop":
                for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
                    os.kill(os.getpid(), number)
            case "leaves":
                os._exit(3)
            case "exits":
                sys.exit(3)
            case "is flat":
                raise ScanError(Reason.NOT_3D, "flat")
            case "lacks memory once" if self._first_time(scan):
                raise MemoryError
            case "lacks memory":
                raise MemoryError
            case "has a bug":
                raise ZeroDivisionError("a bug")
            case "finds the set-up wrong":
                raise SetupError("no such thing")
            case "is on a broken disk":
                try:
                    raise OSError(errno.EIO, os.strerror(errno.EIO), "a.zip")
                except OSError as error:
                    raise ScanError(Reason.ARCHIVE_BROKEN, "damaged") from error
            case "meets two others":
                self._wait_until(lambda: len({process for _, process in self.tries()}) >= 3)
            case "never ends":
                self._wait_until(lambda: False)

    def _first_time(self, scan: str) -> bool:
        return sum(one == scan for one, _ in self.tries()) == 1

    def _wait_until(self, holds: Callable[[], bool]) -> None:
        end_s = time.monotonic() + PATIENCE_S
        while not holds():
            assert time.monotonic() < end_s
            time.sleep(0.01)

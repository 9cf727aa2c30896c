"""Prepare whatever lies in a folder, as one shard, and print what became of it and the memory.

``python -m doubles.odd_shard FOLDER``: a JSON object with the reason by name, and the largest
resident memory of this process and its workers in MiB.
"""

import json
import sys
import threading
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from organome.domain.outcomes import Outcome
from organome.domain.scans import Contrast, Scan, Source, scan_key
from organome.io.tables.scan_lists import write_shard
from organome.steps.prepare import prepare_images


def prepare(paths: list[Path], run: Path) -> tuple[Outcome, ...]:
    """Prepare files or folders, each as the CT of a participant."""
    scans = [
        Scan(
            scan_key(0, place), "c", f"p{place}", "1", "1", "ct", (Source(str(path), Contrast.CT),)
        )
        for place, path in enumerate(paths)
    ]
    write_shard(run / "0000.parquet", scans)
    return prepare_images.run(
        shard=run / "0000.parquet",
        output=run / "results" / "0000",
        work=run / "work" / "0000",
        kind="folder",
        max_same_reason_share=1.0,
    )


class PeakOfProcesses(threading.Thread):
    """Watches the peak memory of this process and of all below it.

    Not by ``ru_maxrss``: that of a new process begins with the memory of the one that started it,
    and workers that are children of another process are not in it.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak_kib = 0
        self._is_over = threading.Event()

    def run(self) -> None:
        """Look every hundredth of a second; the kernel keeps each process's own peak."""
        while not self._is_over.wait(0.01):
            for process in (this := psutil.Process(), *this.children(recursive=True)):
                with suppress(OSError, ValueError, IndexError):
                    status = Path(f"/proc/{process.pid}/status").read_text()
                    kib = int(status.split("VmHWM:")[1].split()[0])
                    self.peak_kib = max(self.peak_kib, kib)

    def stop(self) -> int:
        """Return the peak in MiB."""
        self._is_over.set()
        self.join()
        return self.peak_kib // 1024


def main() -> None:
    """Print what became of a folder's files."""
    paths = sorted(Path(sys.argv[1]).iterdir())
    peak = PeakOfProcesses()
    peak.start()
    with TemporaryDirectory() as run:
        outcomes = prepare(paths, Path(run))
    reasons = {path.name: one.reason for path, one in zip(paths, outcomes, strict=True)}
    print(json.dumps({"reasons": reasons, "peak_mib": peak.stop()}))


if __name__ == "__main__":
    main()

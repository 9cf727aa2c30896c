"""Prepare whatever lies in a folder, as one shard, and print what became of it and the memory.

``python -m doubles.odd_shard FOLDER``: a JSON object with the reason by name, and the largest
resident memory of this process and its workers in MiB.
"""

import json
import resource
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

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


def main() -> None:
    """Print what became of a folder's files."""
    paths = sorted(Path(sys.argv[1]).iterdir())
    with TemporaryDirectory() as run:
        outcomes = prepare(paths, Path(run))
    peak_mib = max(
        resource.getrusage(who).ru_maxrss
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    reasons = {path.name: one.reason for path, one in zip(paths, outcomes, strict=True)}
    print(json.dumps({"reasons": reasons, "peak_mib": peak_mib // 1024}))


if __name__ == "__main__":
    main()

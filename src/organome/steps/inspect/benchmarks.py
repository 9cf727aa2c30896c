"""What jobs took at most, as Snakemake measured it: ``logs/benchmarks/<step>/<shard>.tsv``."""

import csv
import math
from contextlib import suppress
from typing import Final

from organome.io.runs import Run

BENCHMARKS: Final = "logs/benchmarks"


def peaks_gb(place: Run, step: str) -> dict[str, float]:
    """Read the most memory that a job of each shard took, in GB; without those not measured.

    Source: Snakemake's ``benchmark:``, a TSV for each job whose ``max_rss`` is in MiB.
    """
    found: dict[str, float] = {}
    for path in sorted((place.folder / BENCHMARKS / step).glob("*.tsv")):
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file, delimiter="\t"):
                with suppress(KeyError, TypeError, ValueError):  # "NA" of a job that was too short
                    peak_gb = float(row["max_rss"]) * 2**20 / 1e9
                    if math.isfinite(peak_gb):
                        found[path.stem] = max(peak_gb, found.get(path.stem, 0.0))
    return found

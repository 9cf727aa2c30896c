"""What collecting costs: collect-tables by one and by two threads, and a plain pandas.concat.

    python benchmarks/collection.py [--participants 10000 100000] [--share-scattered 0.1]

A cohort is made of measured shards of 300 scans, 1.15 scans a participant, 40 organ rows a scan;
the values are those of one scan. Most shards are in the order of participants, as dealt at the
first listing; the last tenth came later, one by one, so every file of the tables has rows of each
of them. The peer does what one would write in a notebook: read all files,
concatenate, sort, write one file of scans and one of organs; it checks nothing and makes no table
of visits. Seconds are wall time, the memory is the peak of the measured process alone (wait4).
The last line is one JSON object of the figures.
"""

import argparse
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import pyarrow as pa

from organome.compute.labelmaps.volumes import OrganMeasure
from organome.domain.organs import N_ORGANS, ORGANS
from organome.domain.outcomes import Outcome, Status
from organome.domain.rows import organ_rows, scan_row
from organome.domain.scans import Scan, scan_key
from organome.domain.tables import ORGAN_ROWS, SCANS
from organome.io.tables.ledgers import LEDGER, write_ledger
from organome.io.tables.parquet import rows_to_arrow, write_table
from organome.io.tables.scan_lists import shard_path, write_shard
from organome.steps.measure.measure_volumes import organ_facts

SCANS_PER_PARTICIPANT: Final = 1.15
SHARD_SIZE: Final = 300
MEASURED: Final = "results/measure_volumes"
PEER: Final = """\
import sys
from pathlib import Path
import pandas as pd
folders, output = sorted(Path(sys.argv[1]).iterdir()), Path(sys.argv[2])
output.mkdir()
for name, by in (("scans", []), ("organs", ["label"])):
    rows = pd.concat([pd.read_parquet(f"{folder}/{name}.parquet") for folder in folders])
    rows.sort_values(["cohort", "participant", "instance", "array", "protocol", *by]).to_parquet(
        output / f"{name}.parquet", compression="zstd"
    )
"""


def make_cohort(run: Path, *, n_scans: int, share_scattered: float) -> None:
    """Write the lists and results of measured shards into a run folder."""
    scan, scan_rows, rows_of_organs = _rows_of_one_scan()
    for shard in range(math.ceil(n_scans / SHARD_SIZE)):
        folder = run / MEASURED / f"{shard:04d}"
        numbers = range(shard * SHARD_SIZE, min(n_scans, (shard + 1) * SHARD_SIZE))
        keys = [scan_key(shard, place) for place in range(len(numbers))]
        people = [_pseudonym(number, n_scans, share_scattered) for number in numbers]
        done = [
            Outcome(scan=key, step="measure_volumes", status=Status.DONE, fingerprint="f", facts={})
            for key in keys
        ]
        write_ledger(folder / LEDGER, done)
        write_shard(
            shard_path(run / "scans", shard),
            [
                replace(scan, scan=key, participant=person)
                for key, person in zip(keys, people, strict=True)
            ],
        )
        for name, rows, per_scan in (
            ("scans", scan_rows, 1),
            ("organs", rows_of_organs, N_ORGANS),
        ):
            table = pa.concat_tables([rows] * len(keys))
            for column, values in (("scan", keys), ("participant", people)):
                repeated = pa.array([value for value in values for _ in range(per_scan)])
                place = table.schema.get_field_index(column)
                table = table.set_column(place, table.schema.field(column), repeated)
            write_table(folder / f"{name}.parquet", table)


def _pseudonym(number: int, n_scans: int, share_scattered: float) -> str:
    if number < n_scans * (1 - share_scattered):
        return f"{10 * number:08d}"
    # Spread evenly between the others, in an order of its own; a prime, so no two are the same.
    return f"{number * 7_368_787 % n_scans * 10 + 5:08d}"


def _rows_of_one_scan() -> tuple[Scan, pa.Table, pa.Table]:
    scan = Scan(
        scan=scan_key(0, 0),
        cohort="benchmark",
        participant="0",
        instance="2",
        array="0",
        protocol="dixon",
        sources=(),
    )
    organ = OrganMeasure(
        n_voxels=104842,
        volume_observed_ml=1567.1,
        touches=(),
        face_distance_mm=40.0,
        centroid_xyz_mm=(1.0, 2.0, 3.0),
        n_pieces=1,
        largest_piece_share=1.0,
        heights_mm=(-50.0, 60.0),
    )
    facts = json.loads(json.dumps({"organs": organ_facts({o.label: organ for o in ORGANS})}))
    done = Outcome(
        scan=scan.scan, step="measure_volumes", status=Status.DONE, fingerprint="d", facts=facts
    )
    labelled = Outcome(
        scan=scan.scan,
        step="segment_organs",
        status=Status.DONE,
        fingerprint="l",
        facts={"contrast": "water", "source": "model", "scheme": "mrsegmentator"},
    )
    measured = (scan, done, (labelled,))
    organs = rows_to_arrow(ORGAN_ROWS, list(organ_rows(*measured)))
    return scan, rows_to_arrow(SCANS, [scan_row(*measured)]), organs


def measure(command: Sequence[str | Path]) -> tuple[float, float]:
    """Run a command; return its wall time in seconds and its peak memory in GiB.

    Raises:
        RuntimeError: If it fails.
    """
    began_s = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"exit code {process.returncode}: {command}")
    return time.monotonic() - began_s, usage.ru_maxrss / 1024**2


def main() -> None:
    """Print one line per cohort and way."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--participants", nargs="+", type=int, default=(10_000, 100_000))
    parser.add_argument("--share-scattered", type=float, default=0.1)
    given = parser.parse_args()
    figures: dict[str, float] = {}
    print(f"{os.cpu_count()} cores, Python {platform.python_version()}; local disk")
    print("participants  organ rows way        wall s  peak GiB")
    for n_participants in given.participants:
        n_scans = round(n_participants * SCANS_PER_PARTICIPANT)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            # Made by another process: one that starts from a large one seems to be as large.
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as maker:
                maker.submit(
                    make_cohort,
                    folder,
                    n_scans=n_scans,
                    share_scattered=given.share_scattered,
                ).result()
            collect: list[str | Path] = [
                Path(sys.executable).with_name("organome"),
                "collect-tables",
            ]
            flags: list[str | Path] = [
                *("--scans", folder / "scans", "--results", folder / "results", "--output"),
            ]
            ways: dict[str, list[str | Path]] = {
                "threads_1": [*collect, *flags, folder / "one", "--n-workers", "1"],
                "threads_2": [*collect, *flags, folder / "two", "--n-workers", "2"],
                "pandas": [sys.executable, "-c", PEER, folder / MEASURED, folder / "peer"],
            }
            for way, command in ways.items():
                wall_s, peak_gib = measure(command)
                print(
                    f"{n_participants:12,} {n_scans * N_ORGANS:11,} {way:10} {wall_s:6.1f} "
                    f"{peak_gib:9.2f}",
                    flush=True,
                )
                figures[f"{way}_s_{n_participants // 1000}k"] = round(wall_s, 1)
                figures[f"{way}_peak_gib_{n_participants // 1000}k"] = round(peak_gib, 2)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()

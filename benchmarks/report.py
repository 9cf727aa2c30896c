"""What the report of a large cohort costs: its size, time and memory to make, and to open.

    python -m benchmarks.report [--participants 100000] [--run FOLDER]

A tenth of the cohort is that of benchmarks/tables.py (a tenth of it have a second visit), with a
made-up sex, age, height, weight and centre of each; its shards are collected and judged by the
commands that jobs run. The scans of its first ``--shards-with-pictures`` shards have three pictures
of noise, 50 kB together. The whole cohort is ten such tenths, names and keys of their own, numbers
the same. Then ``organome write-report`` writes the pages of both, and Debian's chromium opens the
first; ``growth_10x`` are the figures of the whole over the tenth's. A folder given by ``--run``
keeps both cohorts, and is measured again where it has them.

``page_mb`` is the start page with all that it loads, ``report_mb`` the whole folder. ``make_s`` is
the wall time of the command, ``make_cpu_s`` its processor time, ``peak_gib`` its memory.
``interactive_s`` is the wall time from navigation until the page has scrolled to the plot of
visits, it is drawn (each plot is when it comes into view), and a click on a point has chosen its
scan, ``whole_s`` until all plots are drawn, too; medians of nine. The last line is JSON.
"""

import argparse
import io
import json
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from benchmarks.report_opening import browser, open_page
from benchmarks.tables import SHARE_SECOND, THRESHOLDS, Cost, make_shards, measure
from PIL import Image

from organome.io.tables.ledgers import LEDGER
from organome.io.tables.pictures import pictures_path, pictures_to_arrow
from organome.io.tables.scan_lists import read_shard

ORGANOME: Final = str(Path(shutil.which("organome") or "organome"))
N_OPENED: Final = 9
FIGURES: Final = ("page_mb", "make_cpu_s", "interactive_s", "peak_gib")
PICTURES: Final = (("planes", None), ("coronal", None), ("planes", "liver"))


def make_run(run: Path, n_participants: int, n_with_pictures: int) -> None:
    """Make a run with tables, quality and some pictures."""
    n_scans = n_participants * (SHARE_SECOND + 1) // SHARE_SECOND
    make_shards(run, first=0, n_scans=n_scans, of=n_scans, radiomics=False)
    tables, quality = run / "results/tables", run / "results/quality"
    places = ("--scans", run / "scans", "--results", run / "results", "--output", tables)
    measure([ORGANOME, "collect-tables", *places, "--notes", run / "notes.json"])
    _write_people(run)
    judged = ("--tables", tables, "--output", quality, "--thresholds", THRESHOLDS)
    measure([ORGANOME, "check-quality", *judged, "--participants", run / "people.parquet"])
    for sheet in sorted((run / "scans").glob("*.parquet"))[:n_with_pictures]:
        _draw_noise(run / "results", sheet)


def _write_people(run: Path) -> None:
    lists = [pq.read_table(one, columns=["participant"]) for one in (run / "scans").iterdir()]
    people = pa.concat_tables(lists).column("participant").unique().sort()
    n, chance = len(people), np.random.default_rng(7)
    known = {
        "participant": people,
        "sex": chance.choice(["female", "male"], n),
        "birth_year": chance.integers(1940, 1971, n),
        "scan_date": ["2016-07-01"] * n,
        "height_cm": chance.normal(170, 9, n).round(1),
        "weight_kg": chance.normal(75, 12, n).round(1),
        "centre": chance.choice(["a", "b", "c", "d"], n),
    }
    pq.write_table(pa.table(known), run / "people.parquet")


def _draw_noise(results: Path, sheet: Path) -> None:
    chance, rows = np.random.default_rng(3), []
    for scan in read_shard(sheet):
        key = {name: getattr(scan, name) for name in ("cohort", "participant", "instance", "array")}
        for kind, organ in PICTURES:
            file = io.BytesIO()
            Image.fromarray(chance.integers(0, 160, (160, 240), np.uint8)).save(file, "webp")
            size = {"width_px": 240, "height_px": 160, "mm_per_px": 2.0}
            what = {"picture": kind, "organ": organ, "alt_text": "Noise."}
            rows.append(
                key
                | {"scan": scan.scan, "protocol": scan.protocol, "webp": file.getvalue()}
                | size
                | what
            )
    path = pictures_path(results, sheet.stem)
    path.parent.mkdir(parents=True)
    pq.write_table(pictures_to_arrow(rows), path)


def multiply(tenth: Path, run: Path) -> None:
    """Make a run of ten times the cohort of another: the same rows, other people and scans."""
    lists = sorted((tenth / "scans").glob("*.parquet"))
    (run / "results").mkdir(parents=True)
    (run / "scans").mkdir()
    (run / "results/draw_pictures").symlink_to((tenth / "results/draw_pictures").absolute())
    for part in sorted((tenth / "results").glob("[tq]*/*/part-*.parquet")):
        place = run / part.relative_to(tenth)
        place.parent.mkdir(parents=True, exist_ok=True)
        if "participant" not in pq.read_schema(part).names:
            shutil.copy(part, place)  # norms, rules
            continue
        rows = pq.read_table(part, partitioning=None)
        for copy in range(10):
            copied = place.with_name(f"part-{copy}{part.stem[-3:]}.parquet")
            pq.write_table(_renamed(rows, copy, len(lists)), copied, compression="zstd")
    for copy, sheet in ((copy, sheet) for copy in range(10) for sheet in lists):
        shard = f"{int(sheet.stem) + copy * len(lists):04d}"
        shutil.copy(sheet, run / "scans" / f"{shard}.parquet")
        ledger = tenth / "results/measure_volumes" / sheet.stem / LEDGER
        (run / "results/measure_volumes" / shard).mkdir(parents=True)
        shutil.copy(ledger, run / "results/measure_volumes" / shard / LEDGER)


def _renamed(rows: pa.Table, copy: int, n_shards: int) -> pa.Table:
    """Rename each participant and scan."""

    def other_scan(key: str | None) -> str | None:
        shard, _, place = (key or "").partition("-")
        return f"{int(shard) + copy * n_shards:04d}-{place}" if key else None

    for name, other in (("participant", lambda one: f"{copy}{one}"), ("scan", other_scan)):
        if name not in rows.column_names:
            continue
        coded = rows.column(name).combine_chunks().dictionary_encode()
        names = pa.array(list(map(other, coded.dictionary.to_pylist())), pa.string())
        at = rows.schema.get_field_index(name)
        rows = rows.set_column(at, rows.schema.field(at), names.take(coded.indices))
    return rows


def write(run: Path) -> tuple[Cost, float]:
    """Write the report; return what it took, and the wall time."""
    began_s = time.perf_counter()
    cost = measure([ORGANOME, "write-report", run])
    return cost, time.perf_counter() - began_s


def figures_of(run: Path, port: int) -> dict[str, float]:
    """Write and open the report of a run."""
    cost, make_s = write(run)
    report = run / "results/report"
    opened = [open_page(port, report) for _ in range(N_OPENED)]
    files = {path.name: path.stat().st_size / 1e6 for path in report.iterdir()}
    interactive_s, whole_s = zip(*opened, strict=True)
    return {
        "page_mb": sum(mb for name, mb in files.items() if not name.startswith("scans-")),
        "report_mb": sum(files.values()),
        "make_s": make_s,
        "make_cpu_s": cost.cpu_s,
        "peak_gib": cost.peak_gib,
        "interactive_s": statistics.median(interactive_s),
        "interactive_s_most": max(interactive_s),
        "whole_s": statistics.median(whole_s),
    }


def main() -> None:
    """Print the figures of a tenth and of the whole, and a line of JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--participants", type=int, default=100_000)
    parser.add_argument("--shards-with-pictures", type=int, default=20)
    parser.add_argument("--run", type=Path)
    given = parser.parse_args()
    found: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as name, browser() as port:
        for n_participants in (given.participants // 10, given.participants):
            run = (given.run or Path(name)) / str(n_participants)
            if found and not run.exists():
                multiply((given.run or Path(name)) / str(n_participants // 10), run)
            elif not run.exists():
                make_run(run, n_participants, given.shards_with_pictures)
            found.append(figures_of(run, port))
            print(f"{n_participants:9,} participants:", _as_line(found[-1]), flush=True)
    whole: dict[str, Any] = {"n_participants": given.participants} | found[1]
    growth = {name: round(found[1][name] / found[0][name], 2) for name in FIGURES}
    print(json.dumps({name: round(n, 3) for name, n in whole.items()} | {"growth_10x": growth}))


def _as_line(figures: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.2f}" for name, value in figures.items())


if __name__ == "__main__":
    main()

"""What tables of a cohort cost: collect-tables beside DuckDB and pandas doing the same.

    python benchmarks/tables.py [--participants 10000] [--radiomics 500]
    python benchmarks/tables.py --participants 100000 --radiomics 10000

A cohort is made of measured shards of 300 scans: a tenth of the participants have a second visit,
livers and spleens vary, some are cut, the sex of each is known. Most shards are in the order of
participants; those of the last tenth lie between the others, as later deliveries do. Each way makes
tables of scans, organs and visits, sorted, as Parquet; the peers check nothing. DuckDB joins and
pivots in one SQL script within 3 GB, pandas concatenates, sorts and pivots. ``--radiomics``
participants are collected with all 107 features of two images, too. The tables are then judged and
scored by check-quality (sex, age and height of all known): ``quality_cpu_s``, ``quality_peak_gib``.

Compared are CPU seconds (user and system) and the peak memory of each process alone (wait4).
``increment_share`` is what it costs to collect once more when a hundredth of the shards are new,
``query_s`` what DuckDB takes for the mean liver volume by sex where it is not cut (wall time, which
says little beside other work; ``query_cpu_s`` are the CPU seconds of all its threads).
``peak_growth_10x`` is the peak over that of a tenth of the cohort. The last line is JSON.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from organome.compute.labelmaps.volumes import OrganMeasure
from organome.domain.features import feature_names
from organome.domain.organs import N_ORGANS, ORGANS
from organome.domain.outcomes import Outcome, Status
from organome.domain.radiomics_tables import radiomics_table
from organome.domain.rows import organ_rows, radiomics_key, scan_row
from organome.domain.scans import Scan, scan_key
from organome.domain.tables import ORGAN_ROWS, SCANS
from organome.io.tables.ledgers import LEDGER, write_ledger
from organome.io.tables.parquet import rows_to_arrow, write_table
from organome.io.tables.scan_lists import shard_path, write_shard
from organome.steps.measure.measure_volumes import organ_facts

SHARD_SIZE: Final = 300
SHARE_SECOND: Final = 10  # every tenth participant has a second visit
IMAGES: Final = ("fat_fraction", "water")
MEASURED: Final = "results/measure_volumes"
THRESHOLDS: Final = Path(__file__).parents[1] / "config/quality/default.yaml"
PANDAS: Final = """\
import sys
from pathlib import Path
import pandas as pd
folders, output = sorted(Path(sys.argv[1]).iterdir()), Path(sys.argv[2])
output.mkdir()
key = ["cohort", "participant", "instance", "protocol"]
tables = {}
for name, by in (("scans", []), ("organs", ["label"])):
    rows = pd.concat([pd.read_parquet(f"{folder}/{name}.parquet") for folder in folders])
    tables[name] = rows.sort_values([*key[:3], "array", "protocol", *by])
    tables[name].to_parquet(output / f"{name}.parquet", compression="zstd")
wide = tables["organs"].pivot(index=key, columns="organ", values=["volume_ml", "na_reason"])
wide.columns = [f"{organ}_{what}" for what, organ in wide.columns]
visits = tables["scans"][[*key, "scan", "sex", "contrast"]].merge(wide.reset_index(), on=key)
visits.to_parquet(output / "visits.parquet", compression="zstd")
"""
DUCKDB: Final = """\
import os
import sys
import duckdb
folder, output = sys.argv[1:]
duckdb.sql("SET memory_limit = '3GB'; SET threads = 1")
to = "(FORMAT parquet, COMPRESSION zstd)"
order = 'cohort, participant, instance, "array", protocol, station'
os.mkdir(output)
for name, by in (("scans", ""), ("organs", ", label")):
    rows = f"SELECT * FROM '{folder}/*/{name}.parquet' ORDER BY {order}{by}"
    duckdb.sql(f"COPY ({rows}) TO '{output}/{name}.parquet' {to}")
duckdb.sql(f'''COPY (
  SELECT s.cohort, s.participant, s.instance, s.protocol, s.sex, s.contrast, w.*
  FROM '{output}/scans.parquet' s JOIN (
    PIVOT (SELECT scan, organ, volume_ml, na_reason FROM '{output}/organs.parquet')
    ON organ USING first(volume_ml) AS volume_ml, first(na_reason) AS na_reason GROUP BY scan
  ) w USING (scan) ORDER BY s.cohort, s.participant, s.instance, s.protocol
) TO '{output}/visits.parquet' {to}''')
"""
QUERY: Final = """\
SELECT s.sex, avg(o.volume_ml), count(o.volume_ml)
FROM '{0}/organs/*.parquet' o JOIN '{0}/scans/*.parquet' s USING (scan)
WHERE o.organ = 'liver' AND NOT o.truncated GROUP BY s.sex ORDER BY s.sex
"""


class Cost(NamedTuple):
    """What a process took: CPU seconds, and the peak of its memory in GiB."""

    cpu_s: float
    peak_gib: float


def make_shards(run: Path, *, first: int, n_scans: int, of: int, radiomics: bool) -> None:
    """Write lists and results of measured shards.

    Args:
        run: The run folder.
        first: Number of the first shard.
        n_scans: Scans in these shards.
        of: Scans in the whole cohort, new ones included.
        radiomics: Whether measure_radiomics has been through, too.
    """
    scan, scan_rows, rows_of_organs = _rows_of_one_scan()
    features = _radiomics_of_one_scan(scan) if radiomics else None
    chance = np.random.default_rng(first)
    for shard in range(first, first + math.ceil(n_scans / SHARD_SIZE)):
        place = (shard - first) * SHARD_SIZE
        numbers = range(
            first * SHARD_SIZE + place, first * SHARD_SIZE + min(n_scans, place + SHARD_SIZE)
        )
        keys = [scan_key(shard, place) for place in range(len(numbers))]
        people, visits = zip(*(_person(number, of) for number in numbers), strict=True)
        values = {"scan": keys, "participant": people, "instance": visits}
        named = [
            replace(scan, scan=key, participant=person, instance=visit)
            for key, person, visit in zip(keys, people, visits, strict=True)
        ]
        write_shard(shard_path(run / "scans", shard), named)
        folder = run / MEASURED / f"{shard:04d}"
        done = [Outcome(key, "measure_volumes", Status.DONE, f"f{key}") for key in keys]
        write_ledger(folder / LEDGER, done)
        sexes = np.where(chance.random(len(keys)) < 0.5, "female", "male")
        write_table(folder / SCANS.file_name, _repeated(scan_rows, values | {"sex": sexes}))
        organs = _repeated(rows_of_organs, values)
        write_table(folder / ORGAN_ROWS.file_name, _varied(organs, chance))
        if features is not None:
            shard_folder = run / "results" / "measure_radiomics" / folder.name
            write_ledger(shard_folder / LEDGER, done)
            rows = _repeated(features, values)
            for name in feature_names():
                rows = _set(rows, name, chance.normal(size=len(rows)))
            write_table(shard_folder / "radiomics.parquet", rows)


def _person(number: int, n_scans: int) -> tuple[str, str]:
    """Return pseudonym and instance of a scan; those of the last tenth lie between the others."""
    if number % (SHARE_SECOND + 1) == SHARE_SECOND:
        return _person(number - 1, n_scans)[0], "3"
    if number < 0.9 * n_scans:
        return f"{10 * number:08d}", "2"
    return f"{number * 7_368_787 % n_scans * 10 + 5:08d}", "2"  # a prime: no two are the same


def _repeated(rows: pa.Table, values: dict[str, Any]) -> pa.Table:
    """Repeat the rows of one scan with values of their own."""
    n_scans = len(values["scan"])
    table = rows.take(pa.array(np.tile(np.arange(len(rows)), n_scans)))
    for name, of_scans in values.items():
        if name in table.column_names:
            table = _set(table, name, np.repeat(np.array(of_scans, dtype=object), len(rows)))
    return table


def _varied(organs: pa.Table, chance: np.random.Generator) -> pa.Table:
    """Give each organ a volume; one in ten is truncated."""
    volumes_ml = chance.normal(1500, 200, size=len(organs)).round(2)
    is_cut = chance.random(len(organs)) < 0.1
    organs = _set(organs, "volume_observed_ml", volumes_ml)
    organs = _set(organs, "truncated", is_cut)
    organs = _set(organs, "volume_ml", pa.array(volumes_ml, mask=is_cut))
    return _set(organs, "na_reason", pa.array(["truncated" if one else None for one in is_cut]))


def _set(table: pa.Table, name: str, values: Any) -> pa.Table:
    place = table.schema.get_field_index(name)
    field = table.schema.field(place)
    return table.set_column(place, field, pa.array(values, field.type))


def _rows_of_one_scan() -> tuple[Scan, pa.Table, pa.Table]:
    scan = Scan(scan_key(0, 0), "benchmark", "0", "2", "0", "dixon", ())
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
    done = Outcome(scan.scan, "measure_volumes", Status.DONE, "d", facts=facts)
    found = {"contrast": "water", "source": "model", "scheme": "mrsegmentator"}
    labelled = Outcome(scan.scan, "segment_organs", Status.DONE, "l", facts=found)
    measured = (scan, done, (labelled,))
    organs = rows_to_arrow(ORGAN_ROWS, list(organ_rows(*measured)))
    return scan, rows_to_arrow(SCANS, [scan_row(*measured)]), organs


def _radiomics_of_one_scan(scan: Scan) -> pa.Table:
    rows = [
        radiomics_key(scan, organ, contrast=image, engine="native", settings_digest=image)
        | {"status": "done", "truncated": False, "n_voxels": 1000}
        for image in IMAGES
        for organ in ORGANS
    ]
    return rows_to_arrow(radiomics_table(feature_names()), rows)


def measure(command: Sequence[str | Path]) -> Cost:
    """Run a command; return what it took.

    Raises:
        RuntimeError: If it fails.
    """
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"exit code {process.returncode}: {command}")
    return Cost(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024**2)


def _make(run: Path, **which: Any) -> None:
    # By another process: one that starts from a large one seems to be as large.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as maker:
        maker.submit(make_shards, run, **which).result()


def _organome(command: str, *flags: str | Path) -> Cost:
    return measure([Path(sys.executable).with_name("organome"), command, *flags])


def _collect(run: Path, output: Path, *flags: str) -> Cost:
    places = ("--scans", run / "scans", "--results", run / "results", "--output", output)
    return _organome("collect-tables", *places, "--notes", run / "notes.json", *flags)


def _check_quality(run: Path) -> Cost:
    """Judge and score the tables of a run; write first what is known of the participants."""
    lists = [pq.read_table(path, columns=["participant"]) for path in (run / "scans").iterdir()]
    people = pa.concat_tables(lists).column("participant").unique().sort()
    chance = np.random.default_rng(len(people))
    known = {
        "participant": people,
        "sex": chance.choice(["female", "male"], len(people)),
        "birth_year": chance.integers(1940, 1971, len(people)),
        "scan_date": ["2016-07-01"] * len(people),
        "height_cm": chance.normal(170, 9, len(people)).round(1),
    }
    pq.write_table(pa.table(known), run / "people.parquet")
    places = ("--tables", run / "tables", "--output", run / "quality", "--thresholds", THRESHOLDS)
    return _organome("check-quality", *places, "--participants", run / "people.parquet")


def _say(what: str, n_scans: int, cost: Cost) -> Cost:
    print(f"{what:28} {n_scans:9,} {cost.cpu_s:9.1f} {cost.peak_gib:9.2f}", flush=True)
    return cost


def cost_of(n_participants: int, folder: Path, *, peers: bool) -> dict[str, float]:
    """Collect a cohort, and once more with a hundredth of new shards; with peers, those too."""
    n_scans = n_participants * (SHARE_SECOND + 1) // SHARE_SECOND
    n_new = max(1, round(n_scans / SHARD_SIZE / 100)) * min(SHARD_SIZE, n_scans // 10)
    _make(folder, first=0, n_scans=n_scans, of=n_scans + n_new, radiomics=False)
    ours = _say("collect-tables", n_scans, _collect(folder, folder / "tables"))
    figures = {"peak_gib": ours.peak_gib, "cpu_s": ours.cpu_s}
    if not peers:
        return figures
    duckdb, pandas = (
        _say(
            name, n_scans, measure([sys.executable, "-c", script, folder / MEASURED, folder / name])
        )
        for name, script in (("duckdb", DUCKDB), ("pandas", PANDAS))
    )
    figures |= _query(folder / "tables")
    quality = _say("check-quality", n_scans, _check_quality(folder))
    figures |= {"quality_cpu_s": quality.cpu_s, "quality_peak_gib": quality.peak_gib}
    first = math.ceil(n_scans / SHARD_SIZE)
    _make(folder, first=first, n_scans=n_new, of=n_scans + n_new, radiomics=False)
    again = _say("with new shards", n_scans + n_new, _collect(folder, folder / "tables"))
    return figures | {
        "ratio_duckdb": ours.cpu_s / duckdb.cpu_s,
        "ratio_pandas": ours.cpu_s / pandas.cpu_s,
        "duckdb_peak_gib": duckdb.peak_gib,
        "pandas_peak_gib": pandas.peak_gib,
        "increment_share": again.cpu_s / ours.cpu_s,
    }


def _query(tables: Path) -> dict[str, float]:
    import duckdb

    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    rows = duckdb.connect().execute(QUERY.format(tables)).fetchall()
    assert [row[0] for row in rows] == ["female", "male"]
    cpu_s = time.process_time() - began_cpu_s
    return {"query_s": time.perf_counter() - began_s, "query_cpu_s": cpu_s}


def main() -> None:
    """Print a line for each way, and the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--participants", type=int, default=10_000)
    parser.add_argument("--radiomics", type=int, default=500)
    given = parser.parse_args()
    figures: dict[str, float] = {"n_participants": given.participants}
    print(f"{'':28} {'scans':>9} {'CPU s':>9} {'peak GiB':>9}")
    with tempfile.TemporaryDirectory() as name:
        tenth = cost_of(given.participants // 10, Path(name) / "tenth", peers=False)
        figures |= cost_of(given.participants, Path(name) / "whole", peers=True)
        figures["peak_growth_10x"] = figures["peak_gib"] / tenth["peak_gib"]
        if given.radiomics:
            n_scans = given.radiomics * (SHARE_SECOND + 1) // SHARE_SECOND
            folder = Path(name) / "radiomics"
            _make(folder, first=0, n_scans=n_scans, of=n_scans, radiomics=True)
            cost = _collect(folder, folder / "tables", "--radiomics")
            _say(f"with radiomics, {n_scans * N_ORGANS * 2:,} rows", n_scans, cost)
            figures |= {"radiomics_peak_gib": cost.peak_gib, "radiomics_cpu_s": cost.cpu_s}
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))


if __name__ == "__main__":
    main()

"""``measure_radiomics`` over a shard of phantom scans: one process on one core, two on two."""

import os
import shutil
import sys
import threading
from collections import defaultdict
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any, Final

import psutil
import SimpleITK as sitk
from benchmarks.radiomics_phantoms import draw_phantom
from benchmarks.segmentation_meter import measure

from organome.domain.outcomes import Outcome, Status
from organome.domain.scans import Scan
from organome.io.tables.ledgers import LEDGER, write_ledger
from organome.io.tables.scan_lists import write_shard
from organome.steps.radiomics import measure_radiomics

N_SCANS: Final = 32
N_FEW: Final = 2
SIZE: Final = "stitched"
PARAMETERS: Final = "setting: {binWidth: 25}\n"
_INTERVAL_S: Final = 0.05


def measure_shard(folder: Path, rounds: int) -> dict[str, float]:
    """Measure shards on one core and on two; tell time, memory, and whether equal.

    A shard of two scans tells what starting costs: importing, and loading compiled code. A cohort's
    shards have hundreds of scans, so that the speed of two processes is printed without that, too.
    One process and two take turns; the least of the rounds counts. One process is kept to one core
    (``taskset``), for it reads the next scan while it measures and so has work for more than one.
    """
    runs: dict[tuple[int, int], tuple[float, float, float]] = {}
    n_voxels, walls_s = 0, defaultdict[tuple[int, int], list[float]](list)
    print(f"\nmeasure_radiomics, scans {SIZE}, load {os.getloadavg()[0]:.1f}")
    print("  scans  cores      wall s  CPU s  MB of the largest process")
    for n_scans in (N_FEW, N_SCANS):
        shard = folder / f"shard{n_scans}"
        n_voxels = _lay_out(folder, shard, n_scans)
        for _, n in product(range(rounds), (1, 2)):
            found = wall_s, cpu_s, peak_mb = _watched(_command(shard, n))
            print(f"  {n_scans:5} {n:10} {wall_s:7.1f} {cpu_s:6.1f} {peak_mb:6.0f}", flush=True)
            before_s, before_cpu_s, before_mb = runs.get((n_scans, n), (*found[:2], 0.0))
            least = min(wall_s, before_s), min(cpu_s, before_cpu_s)
            runs[n_scans, n] = (*least, max(peak_mb, before_mb))
            walls_s[n_scans, n].append(wall_s)
    tables = [(shard / f"output{n}" / "radiomics.parquet").read_bytes() for n in (1, 2)]
    same, bound_mb = tables[0] == tables[1], measure_radiomics.peak_bytes(n_voxels) / 1e6
    peak_mb = max(peak for _, _, peak in runs.values())
    turns = [a / b for a, b in zip(walls_s[N_SCANS, 1], walls_s[N_SCANS, 2], strict=True)]
    wall, cpu = ([runs[N_SCANS, n][kind] for n in (1, 2)] for kind in (0, 1))
    running = [runs[N_SCANS, n][1] - runs[N_FEW, n][1] for n in (1, 2)]
    print(
        f"  two cores over one, {N_SCANS} scans: {wall[0] / wall[1]:.2f} by wall time "
        f"(turns {min(turns):.2f}-{max(turns):.2f}); if both were free, by CPU time: "
        f"{2 * cpu[0] / cpu[1]:.2f}, once started {2 * running[0] / running[1]:.2f}\n"
        f"  {peak_mb:.0f} MB a process of {bound_mb:.0f} promised; tables "
        f"{'the same bytes' if same else 'DIFFER'}"
    )
    return {
        "speed_two_cores": wall[0] / wall[1],
        "speed_two_cores_by_cpu": 2 * cpu[0] / cpu[1],
        "efficiency_two_cores": 2 * running[0] / running[1],
        "peak_mb_per_worker": peak_mb,
        "peak_mb_bound": bound_mb,
        "tables_same_bytes": float(same),
    }


def _lay_out(folder: Path, shard: Path, n_scans: int) -> int:
    """Lay out a shard as the steps before would have left it; return the voxels of a scan."""
    image, labelmap = draw_phantom(folder, SIZE)
    images, labelmaps = shard / "prepare_images", shard / "segment_organs"
    for place in (images, labelmaps):
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
    scans = [
        Scan(f"0000-{n:04d}", "phantom", f"{n:02d}", "2", "0", "dixon", ()) for n in range(n_scans)
    ]
    (shard / "parameters.yaml").write_text(PARAMETERS)
    write_shard(shard / "scans.parquet", scans)
    facts: dict[Path, tuple[str, dict[str, Any]]] = {
        images: ("prepare_images", {"contrasts": ["water"]}),
        labelmaps: ("segment_organs", {"contrast": "water", "scheme": "mrsegmentator"}),
    }
    for place, (step, of_step) in facts.items():
        outcomes = [Outcome(scan.scan, step, Status.DONE, "f", facts=of_step) for scan in scans]
        write_ledger(place / LEDGER, outcomes)
    for scan in scans:
        (images / f"{scan.scan}_water.nii.gz").hardlink_to(image)
        (labelmaps / f"{scan.scan}_labels.nii.gz").hardlink_to(labelmap)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(image))
    reader.ReadImageInformation()
    x, y, z = reader.GetSize()
    return int(x * y * z)


def _command(shard: Path, n_processes: int) -> list[str]:
    output, work = shard / f"output{n_processes}", shard / f"work{n_processes}"
    for place in (output, work):
        shutil.rmtree(place, ignore_errors=True)
    flags = {
        "shard": shard / "scans.parquet",
        "images": shard / "prepare_images",
        "labelmaps": shard / "segment_organs",
        "output": output,
        "work": work,
        "settings": f"water={shard / 'parameters.yaml'}",
        "n-processes": n_processes,
    }
    organome = str(Path(sys.executable).with_name("organome"))
    words = [word for name, value in flags.items() for word in (f"--{name}", str(value))]
    cores = ",".join(map(str, sorted(os.sched_getaffinity(0))[:n_processes]))
    return ["taskset", "-c", cores, organome, "measure-radiomics", *words]


def _watched(command: Sequence[str]) -> tuple[float, float, float]:
    """Run it; return wall time, CPU time, and peak memory in MB of the largest process."""
    peaks, over = [0.0], threading.Event()

    def watch() -> None:
        this = psutil.Process()
        while not over.wait(_INTERVAL_S):
            try:
                for process in this.children(recursive=True):
                    peaks.append(process.memory_info().rss / 1e6)
            except psutil.NoSuchProcess:
                continue

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        cost = measure(command, environment={})
    finally:
        over.set()
        thread.join()
    return cost.wall_s, cost.cpu_s, max(peaks)

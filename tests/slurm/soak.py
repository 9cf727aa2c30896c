"""Random faults for half an hour, over a cohort that grows meanwhile.

    python -m slurm.soak [--minutes 30] [--seed N]      (from tests/)

A stand-in for the network: the scans bring their labelmaps along (``source: labelmaps``), so that
jobs are short and hundreds of them meet faults. As often as ``organome run`` is through, more
participants are listed and it is started again; when it gives up, it is started again. After the
time is over everything is repaired and the run must come to its end.

Then every listed scan must stand in the tables once, with 40 organs, no scan may have been written
down twice by an attempt that knew of the other, and the tables must be bit-identical to those of a
run of the same shards on this machine without SLURM and without a fault. The last line is one JSON
object; exit code 3 if a promise was broken.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import pyarrow.parquet as pq

from doubles.cohorts import TinyCohort
from slurm.cluster import Cluster, SlurmError, why_not
from slurm.processes import kill_trees, wait_until
from slurm.runs import SlurmRun, write_profile
from slurm.settings import N_GPUS, NODES

SHARD_SIZE: Final = 20
FIRST_SCANS: Final = 200
MORE_SCANS: Final = 60
N_ORGANS: Final = 40
PAUSE_S: Final = (4.0, 12.0)  # between two faults
CONFIG: Final = f"""\
cohort: {{name: soak, kind: folder, root: ../cohort/scans.tsv, protocols: [ct]}}
shard_size: {SHARD_SIZE}
segment: {{source: labelmaps, scheme: mrsegmentator, contrasts: [ct], device: cpu}}
pictures: {{enabled: false}}
resources:
  prepare_images: {{mem_gb: 1}}
  segment_organs: {{mem_gb: 1}}
  measure_volumes: {{mem_gb: 1}}
"""


class Soak:
    """One cohort, one cluster, one controller that is kept going."""

    def __init__(self, folder: Path, cluster: Cluster, *, seed: int) -> None:
        self._chance = random.Random(seed)
        self._cluster = cluster
        self._folder = folder
        self.cohort = TinyCohort(folder / "cohort")
        run = folder / "run"
        run.mkdir()
        (run / "config.yaml").write_text(CONFIG)
        self.run = SlurmRun(run, cluster, profile=write_profile(folder / "profile"))
        self.planted: Counter[str] = Counter()
        self.ended: Counter[int] = Counter()
        self._controller: subprocess.Popen[bytes] | None = None
        self._faults: Mapping[str, Callable[[], None]] = {
            "job cancelled": self.cancel_job,
            "job preempted": self.preempt_job,
            "job killed by its process": self.kill_process,
            "node without power": self.crash_node,
            "node cut off": self.hang_node,
            "node drained": self.drain_node,
            "slurmctld killed": self.kill_slurmctld,
            "slurmdbd killed": self.kill_slurmdbd,
            "jobs forgotten by SLURM": self.forget_jobs,
            "organome run killed": self.kill_controller,
            "organome run asked to stop": self.stop_controller,
            "second organome run": self.start_second,
            "input unmounted": self.unmount_input,
            "disk full": self.fill_disk,
        }

    # --- the way through -------------------------------------------------------------------------

    def spend(self, seconds: float) -> None:
        """Plant faults until the time is over."""
        self.list_more(FIRST_SCANS)
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s:
            self.keep_going()
            self.wait(self._chance.uniform(*PAUSE_S))
            name = self._chance.choice(list(self._faults))
            print(f"[{seconds - end_s + time.monotonic():6.0f} s] {name}", flush=True)
            self.planted[name] += 1
            self._faults[name]()

    def come_to_an_end(self) -> None:
        """Repair everything and bring the run to its end.

        Raises:
            RuntimeError: If it does not end well.
        """
        self._cluster.start_daemons()
        for node in NODES:
            self._cluster.resume(node)
        wait_until(self._cluster.is_ready, what="all nodes to be idle", within_s=120)
        for _ in range(5):
            self.keep_going(grow=False)
            if self._controller is None:
                return
            self.ended[self.run.wait(self._controller, within_s=1800)] += 1
            if self._controller.returncode == 0:
                return
        raise RuntimeError(f"does not come to its end:\n{self.run.output[-6000:]}")

    def keep_going(self, *, grow: bool = True) -> None:
        """Start the controller if there is none; list more scans when it was through."""
        if self._controller is not None:
            code = self._controller.poll()
            if code is None:
                return
            self.ended[code] += 1
            if code == 0 and grow:
                self.list_more(MORE_SCANS)
        self._controller = self.run.start()

    def list_more(self, n_scans: int) -> None:
        """Add participants, and deal them to shards of their own."""
        self.cohort.add(n_scans)
        self.run.local("list_scans")

    def wait(self, seconds: float) -> None:
        """Let time pass, in which requeued jobs are hurried on."""
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s:
            self._cluster.hurry()
            time.sleep(0.5)

    # --- faults ----------------------------------------------------------------------------------

    def cancel_job(self) -> None:
        """Cancel a job that waits or runs."""
        if job := self._any_job():
            with suppress(SlurmError):
                self._cluster.cancel(job)

    def preempt_job(self) -> None:
        """Claim the GPUs of a node for more urgent work."""
        node = self._chance.choice(list(N_GPUS))
        with suppress(SlurmError):
            self._cluster.preempt(node, n_gpus=N_GPUS[node])

    def kill_process(self) -> None:
        """Kill one process of a job, as the kernel does when memory runs out."""
        if pids := self.run.working():
            os.kill(self._chance.choice(pids), signal.SIGKILL)

    def crash_node(self) -> None:
        """Cut the power of a node for some time."""
        self._without(self._cluster.crash_node)

    def hang_node(self) -> None:
        """Cut a node off for some time; its jobs compute on."""
        self._without(self._cluster.hang_node)

    def drain_node(self) -> None:
        """Drain a node for some time."""
        node = self._chance.choice(NODES)
        self._cluster.drain(node)
        self.wait(self._chance.uniform(2, 15))
        self._cluster.resume(node)

    def kill_slurmctld(self) -> None:
        """Kill slurmctld; jobs of the last seconds are forgotten."""
        self._cluster.kill_controller()
        self.wait(self._chance.uniform(1, 15))
        self._cluster.start_controller()

    def kill_slurmdbd(self) -> None:
        """Kill slurmdbd."""
        self._cluster.kill_database()
        self.wait(self._chance.uniform(1, 15))
        self._cluster.start_database()

    def forget_jobs(self) -> None:
        """Have SLURM lose all jobs."""
        self._cluster.forget_jobs()

    def kill_controller(self) -> None:
        """Kill ``organome run`` with Snakemake."""
        if self._controller is not None and self._controller.poll() is None:
            kill_trees([self._controller.pid])
            self._controller.wait()
        self.wait(self._chance.uniform(0, 5))

    def stop_controller(self) -> None:
        """Ask ``organome run`` to stop."""
        if self._controller is not None and self._controller.poll() is None:
            self._controller.send_signal(signal.SIGTERM)
            self.run.wait(self._controller, within_s=120)

    def start_second(self) -> None:
        """Start ``organome run`` a second time."""
        first, second = self._controller, self.run.start()
        while first is not None and first.poll() is None:
            if second.poll() is not None:
                return
            self.wait(0.5)
        self._controller = second

    def unmount_input(self) -> None:
        """Take the folder of the cohort away for some time."""
        away = self.cohort.folder.rename(self._folder / "away")
        self.cohort.folder.mkdir()
        try:
            self.wait(self._chance.uniform(5, 20))
        finally:
            self.cohort.folder.rmdir()
            away.rename(self.cohort.folder)

    def fill_disk(self) -> None:
        """Fill the file system of work and results for some time, if it is one of its own."""
        ballast = self._folder / "scratch" / "ballast"
        if not ballast.parent.is_mount():
            return
        with suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        self.wait(self._chance.uniform(5, 15))
        ballast.unlink()

    def _without(self, take_away: Callable[[str], None]) -> None:
        node = self._chance.choice(NODES)
        take_away(node)
        self.wait(self._chance.uniform(5, 40))
        self._cluster.boot_node(node)

    def _any_job(self) -> str | None:
        with suppress(SlurmError):
            if jobs := list(self._cluster.queue()):
                return self._chance.choice(jobs)
        return None


def broken_promises(soak: Soak) -> list[str]:
    """Compare what came out with what was listed and with an undisturbed run."""
    run, folder = soak.run, soak.run.folder.parent
    found = []
    listed = [
        scan
        for path in sorted((run.folder / "scans").glob("*.parquet"))
        for scan in pq.read_table(path)["scan"].to_pylist()
    ]
    tables = run.folder / "results" / "tables"
    if sorted(pq.read_table(tables / "scans")["scan"].to_pylist()) != sorted(listed):
        found.append("the table of scans does not hold every listed scan once")
    organs = Counter(pq.read_table(tables / "organs")["scan"].to_pylist())
    if organs != dict.fromkeys(listed, N_ORGANS):
        found.append(f"not every listed scan has {N_ORGANS} organs")
    if twice := run.scans_done_twice():
        found.append(f"{len(twice)} scans were labelled and written down twice")
    if left := run.left_running():
        found.append(f"left running: {left[:3]}")
    (folder / "undisturbed").mkdir()
    shutil.copytree(run.folder / "scans", folder / "undisturbed" / "scans")
    (folder / "undisturbed" / "config.yaml").write_text(CONFIG)
    undisturbed = run.another(folder / "undisturbed")
    undisturbed.local("--quiet", "all")
    if undisturbed.tables() != run.tables():
        found.append("the tables differ from those of an undisturbed run")
    return found


@contextmanager
def scratch(folder: Path) -> Iterator[None]:
    """Give work and results a small file system of their own, where mounting is allowed."""
    place = folder / "scratch"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256m", "organome-soak", str(place)]
    mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    if not mounted:
        print("may not mount a file system: the disk does not get full", flush=True)
    for name in ("work", "results"):
        (place / name).mkdir()
        (folder / "run" / name).symlink_to(place / name)
    try:
        yield
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(place)], check=True)


def main() -> None:
    """Soak, and print what came of it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10_000))
    given = parser.parse_args()
    if reason := why_not():
        sys.exit(f"no SLURM cluster: {reason}")
    print(f"seed {given.seed}, {given.minutes:g} minutes", flush=True)
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as text:
        folder = Path(text).resolve()
        cluster = Cluster(folder / "cluster")
        soak = Soak(folder, cluster, seed=given.seed)
        try:
            cluster.start()
            with scratch(folder):
                try:
                    soak.spend(60 * given.minutes)
                    soak.come_to_an_end()
                    broken = broken_promises(soak)
                finally:
                    soak.run.clear()
        finally:
            cluster.wipe()
        n_attempts = soak.run.n_attempts()
    for name, times in sorted(soak.planted.items()):
        print(f"{name:<28} {times:4}")
    for promise in broken:
        print(f"BROKEN: {promise}")
    figures = {
        "seed": given.seed,
        "wall_s": round(time.monotonic() - began_s),
        "n_faults": soak.planted.total(),
        "faults": dict(sorted(soak.planted.items())),
        "n_scans": soak.cohort.n_participants,
        "n_attempts": n_attempts,
        "controllers_by_exit_code": {str(code): n for code, n in sorted(soak.ended.items())},
        "broken_promises": broken,
    }
    print(json.dumps(figures))
    sys.exit(3 if broken else 0)


if __name__ == "__main__":
    main()

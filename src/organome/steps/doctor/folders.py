"""Does the file system of the run folder keep what the steps rely on?"""

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from organome.io.files.atomic import ATTEMPT, sync_folder
from organome.steps.doctor.findings import Finding, fail, ok, skipped, warn

_PARTS: Final = ("work", "results", "logs")
_LOW_SPACE_GB: Final = 100
_NO_SPACE_GB: Final = 5
_MAX_SKEW_S: Final = 5
_SLOW_FSYNC_S: Final = 0.2  # a scan needs about five


def check_folders(run_folder: Path) -> Iterator[Finding]:
    """Check the run folder by writing into it; what is written is removed."""
    if not run_folder.is_dir():
        yield fail("run folder", f"{run_folder}: not there", "make it, on a shared file system")
        return
    bench = run_folder / f".doctor.{ATTEMPT}"
    try:
        bench.mkdir()
    except OSError as error:
        yield fail("run folder", str(error), "make it writable")
        return
    try:
        yield ok("run folder", f"{run_folder.resolve()}, writable")
        yield _check_rename(bench)
        yield _check_hard_links(bench)
        yield _check_fsync(bench)
        yield _check_clock(bench)
    finally:
        shutil.rmtree(bench, ignore_errors=True)
    yield _check_one_file_system(run_folder)
    yield _check_space(run_folder)


def _check_rename(bench: Path) -> Finding:
    (bench / "old").mkdir()
    (bench / "old" / "file").write_text("old")
    (bench / "new").write_text("new")
    (bench / "place").write_text("old")
    (bench / "new").replace(bench / "place")
    (bench / "old").rename(bench / "moved")
    whole = (bench / "place").read_text() == "new" and (bench / "moved" / "file").exists()
    if whole and not (bench / "new").exists() and not (bench / "old").exists():
        return ok("rename", "replaces files, moves folders")
    return fail("rename", "leaves the old name or content", "use another file system")


def _check_hard_links(bench: Path) -> Finding:
    (bench / "one").write_text("1")
    try:
        os.link(bench / "one", bench / "two")
    except OSError as error:
        return warn(
            "hard links", f"{error.strerror}", "leases are made without them, which is less sure"
        )
    try:
        os.link(bench / "one", bench / "two")
    except FileExistsError:
        return ok("hard links", "made, and refused where the name is taken")
    return fail("hard links", "replace a name that is taken", "use another file system")


def _check_fsync(bench: Path) -> Finding:
    start_s = time.perf_counter()
    with (bench / "synced").open("wb") as file:
        file.write(b"1")
        os.fsync(file.fileno())
    sync_folder(bench)
    took_s = time.perf_counter() - start_s
    if took_s > _SLOW_FSYNC_S:
        return warn("fsync", f"{took_s:.2f} s", "every scan waits for some: a busy file server?")
    return ok("fsync", f"{1000 * took_s:.1f} ms")


def _check_clock(bench: Path) -> Finding:
    before_s = time.time()
    path = bench / "clock"
    path.write_text("")
    skew_s = path.stat().st_mtime - (before_s + time.time()) / 2
    if abs(skew_s) > _MAX_SKEW_S:
        return warn(
            "clock of the files",
            f"{skew_s:+.0f} s from the clock here",
            "Snakemake compares the two: have them set right (NTP)",
        )
    return ok("clock of the files", f"{skew_s:+.2f} s from the clock here")


def _check_one_file_system(run_folder: Path) -> Finding:
    devices = {
        part: (run_folder / part).stat().st_dev for part in _PARTS if (run_folder / part).is_dir()
    }
    if "work" not in devices or "results" not in devices:
        return skipped("work and results", "not both there yet")
    if devices["work"] != devices["results"]:
        return fail("work and results", "on two file systems", "a shard is published by one rename")
    return ok("work and results", "on one file system")


def _check_space(run_folder: Path) -> Finding:
    free_gb = shutil.disk_usage(run_folder).free / 1e9
    fact = f"{free_gb:.0f} GB free"
    if free_gb < _NO_SPACE_GB:
        return fail("space", fact, "free some")
    if free_gb < _LOW_SPACE_GB:
        return warn("space", fact, "organome estimate says what a cohort needs; quotas, too")
    return ok("space", fact)

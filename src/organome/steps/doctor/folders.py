"""Can this cohort be read, and does the file system of its run keep what the steps rely on?"""

import os
import shutil
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Final

import pyarrow.parquet as pq

from organome.domain.errors import MachineFault, SetupError
from organome.io.files.atomic import ATTEMPT, sync_folder
from organome.io.files.cohort_roots import CohortRoot
from organome.io.models.folders import check_unchanged, model_digest
from organome.io.models.places import locate_model
from organome.io.runs import Run
from organome.steps.doctor.findings import Finding, fail, ok, skipped, warn
from organome.steps.doctor.software import check_device

_IMAGES_MB: Final = 100  # a scan of UK Biobank, prepared
_RESULTS_MB: Final = 1  # its labelmap and rows
_FILES_PER_SHARD: Final = 60  # five steps with tables, packs, logs and what Snakemake notes
_PARTS: Final = ("work", "results", "logs")
_LOW_SPACE_GB: Final = 100
_NO_SPACE_GB: Final = 5
_MAX_SKEW_S: Final = 5
_SLOW_FSYNC_S: Final = 0.2  # a scan needs about five


def check_cohort(run: Run, *, on_cluster: bool = False) -> Iterator[Finding]:
    """Check the configuration of a run, and what it names.

    Args:
        run: The run.
        on_cluster: Whether shards are jobs of a cluster; then a GPU is not looked for here.
    """
    try:
        config = run.config()
    except SetupError as error:
        yield fail("configuration", str(error), "correct it, or make one: organome init")
        return
    yield ok("configuration", "every key is known")
    named = [
        _check_root(run.folder / config["cohort"]["root"]),
        _check_model(run, config["segment"]),
    ]
    yield from named
    if all(finding.holds for finding in named):
        yield _check_as_run_does(run)
    if config["segment"]["source"] == "model" and not on_cluster:
        yield check_device("segment.device", config["segment"]["device"])
    yield _check_compiled_loops()
    yield from _check_space(run, keeps_images=config["keep_images"])


def _check_root(root: Path) -> Finding:
    try:
        CohortRoot(root).check()
        return ok("cohort", f"{root}: can be read")
    except MachineFault as error:
        return fail("cohort", str(error), "mount it, or correct cohort.root")


def _check_as_run_does(run: Run) -> Finding:
    try:
        run.check()
        run.check_contrasts()
        return ok("settings", "fit the cohort and the model")
    except SetupError as error:
        why = " ".join(str(error).split())
        return fail("settings", why, "organome run refuses to start: correct it")


def _check_model(run: Run, segment: dict[str, str]) -> Finding:
    if segment["source"] != "model":
        return skipped("model", "the cohort brings its labelmaps")
    try:
        folder = locate_model(segment["model"], relative_to=run.folder)
        digest = model_digest(folder)
        check_unchanged(folder, digest)
        return ok("model", f"{segment['model']}, digest {digest}")
    except (SetupError, OSError) as error:
        return fail("model", str(error), "organome install-model, or correct segment.model")


def _check_compiled_loops() -> Finding:
    from organome.compute.kernels import compiled_kernels, kernel_folders

    # They count once they are imported.
    import_module("organome.compute.inference.sum_kernels")
    import_module("organome.compute.radiomics.extraction")
    n_there, n = compiled_kernels()
    fact = f"{n_there} of {n} are compiled for this processor"
    folders = kernel_folders()
    if n_there == n:
        return ok("compiled loops", fact)
    for folder in folders:
        there = next(parent for parent in (folder, *folder.parents) if parent.exists())
        if os.access(there, os.W_OK):
            return ok("compiled loops", f"{fact}, the others will be, once: {folder}")
    advice = "every process compiles for half a minute: set NUMBA_CACHE_DIR to a writable folder"
    return warn("compiled loops", f"{fact}, and no folder for them can be written", advice)


def _check_space(run: Run, *, keeps_images: bool) -> Iterator[Finding]:
    shards = list(run.scans.glob("[0-9]*.parquet"))
    if not shards:
        yield skipped("space for the cohort", "no scan is listed yet")
        return
    n_scans = sum(pq.read_metadata(path).num_rows for path in shards)
    needed_gb = n_scans * (_RESULTS_MB + (_IMAGES_MB if keeps_images else 0)) / 1000
    free_gb = shutil.disk_usage(run.folder).free / 1e9
    fact = f"{n_scans} scans need about {needed_gb:.0f} GB, {free_gb:.0f} GB free"
    advice = "free some, or set keep_images: false" if keeps_images else "free some"
    enough = needed_gb < free_gb
    yield (
        ok("space for the cohort", fact) if enough else warn("space for the cohort", fact, advice)
    )
    n_files, n_free = len(shards) * _FILES_PER_SHARD, os.statvfs(run.folder).f_favail
    fact = f"{len(shards)} shards need about {n_files} files, {n_free} free"
    if 0 < n_free < n_files:  # 0: this file system does not count them
        yield warn("files for the cohort", fact, "set a larger shard_size before listing")
    else:
        yield ok("files for the cohort", fact)


def check_folders(run_folder: Path) -> Iterator[Finding]:
    """Check the run folder by writing into it; what is written is removed."""
    if not run_folder.is_dir():
        yield fail("run folder", f"{run_folder}: not there", "make it, on a shared file system")
        return
    scratch = run_folder / f".doctor.{ATTEMPT}"
    try:
        scratch.mkdir()
    except OSError as error:
        yield fail("run folder", str(error), "make it writable")
        return
    try:
        yield ok("run folder", f"{run_folder.resolve()}, writable")
        yield _check_rename(scratch)
        yield _check_hard_links(scratch)
        yield _check_fsync(scratch)
        yield _check_clock(scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    yield _check_one_file_system(run_folder)
    yield _check_free_space(run_folder)


def _check_rename(scratch: Path) -> Finding:
    (scratch / "old").mkdir()
    (scratch / "old" / "file").write_text("old")
    (scratch / "new").write_text("new")
    (scratch / "place").write_text("old")
    (scratch / "new").replace(scratch / "place")
    (scratch / "old").rename(scratch / "moved")
    whole = (scratch / "place").read_text() == "new" and (scratch / "moved" / "file").exists()
    if whole and not (scratch / "new").exists() and not (scratch / "old").exists():
        return ok("rename", "replaces files, moves folders")
    return fail("rename", "leaves the old name or content", "use another file system")


def _check_hard_links(scratch: Path) -> Finding:
    (scratch / "one").write_text("1")
    try:
        os.link(scratch / "one", scratch / "two")
    except OSError as error:
        return warn(
            "hard links", f"{error.strerror}", "leases are made without them, which is less sure"
        )
    try:
        os.link(scratch / "one", scratch / "two")
    except FileExistsError:
        return ok("hard links", "made, and refused where the name is taken")
    return fail("hard links", "replace a name that is taken", "use another file system")


def _check_fsync(scratch: Path) -> Finding:
    start_s = time.perf_counter()
    with (scratch / "synced").open("wb") as file:
        file.write(b"1")
        os.fsync(file.fileno())
    sync_folder(scratch)
    took_s = time.perf_counter() - start_s
    if took_s > _SLOW_FSYNC_S:
        return warn("fsync", f"{took_s:.2f} s", "every scan waits for some: a busy file server?")
    return ok("fsync", f"{1000 * took_s:.1f} ms")


def _check_clock(scratch: Path) -> Finding:
    before_s = time.time()
    path = scratch / "clock"
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


def _check_free_space(run_folder: Path) -> Finding:
    free_gb = shutil.disk_usage(run_folder).free / 1e9
    fact = f"{free_gb:.0f} GB free"
    if free_gb < _NO_SPACE_GB:
        return fail("space", fact, "free some")
    if free_gb < _LOW_SPACE_GB:
        return warn("space", fact, "organome estimate says what a cohort needs; quotas, too")
    return ok("space", fact)

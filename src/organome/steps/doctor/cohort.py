"""Can this cohort be read, and is there space for what is made of it?"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import platformdirs
import pyarrow.parquet as pq

import organome
from organome.domain.errors import MachineFault, SetupError
from organome.io.files.cohort_roots import CohortRoot
from organome.io.models.folders import model_digest
from organome.io.models.places import locate_model
from organome.io.runs import Run
from organome.steps.doctor.findings import Finding, fail, ok, skipped, warn

_IMAGES_MB: Final = 100  # a scan of UK Biobank, prepared
_RESULTS_MB: Final = 1  # its labelmap and rows
_FILES_PER_SHARD: Final = 60  # five steps with tables, packs, logs and what Snakemake notes


def check_cohort(run: Run) -> Iterator[Finding]:
    """Check the configuration of a run, and what it names."""
    try:
        config = run.config()
    except SetupError as error:
        yield fail("configuration", str(error), "correct it, or make one: organome init")
        return
    yield ok("configuration", "every key is known")
    root = run.folder / config["cohort"]["root"]
    try:
        CohortRoot(root).check()
        yield ok("cohort", f"{root}: can be read")
    except MachineFault as error:
        yield fail("cohort", str(error), "mount it, or correct cohort.root")
    yield _check_model(run, config["segment"])
    yield _check_numba_cache()
    yield from _check_space(run, keeps_images=config["keep_images"])


def _check_model(run: Run, segment: dict[str, str]) -> Finding:
    if segment["source"] != "model":
        return skipped("model", "the cohort brings its labelmaps")
    try:
        folder = locate_model(segment["model"], relative_to=run.folder)
        return ok("model", f"{segment['model']}, digest {model_digest(folder)}")
    except (SetupError, OSError) as error:
        return fail("model", str(error), "organome install-model, or correct segment.model")


def _check_numba_cache() -> Finding:
    places = (Path(organome.__file__).parent, Path(platformdirs.user_cache_dir()))
    if any(os.access(place, os.W_OK) for place in places):
        return ok("numba cache", "can be written")
    fact = f"neither {places[0]} nor {places[1]} can be written"
    return warn("numba cache", fact, "every job compiles again: set NUMBA_CACHE_DIR")


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

"""What a run took and what is left, step by step; no date, no host."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import pandas as pd

from organome import __version__
from organome.domain.errors import OrganomeError
from organome.domain.models import ModelNote
from organome.domain.wording import counted
from organome.io.runs import BENCHMARKS, Run, job_measurements, measured_steps
from organome.io.tables.ledgers import read_columns
from organome.io.tables.parquet import count_rows

_STEPS: Final = ("prepare_images", "segment_organs", "measure_volumes", "measure_radiomics")


def run_facts(place: Run, model: ModelNote | None, *, counts: bool = True) -> list[tuple[str, str]]:
    """Name settings, time by step, CPU-hours and GPU-hours.

    Args:
        place: The run.
        model: What was installed; None where that is not known.
        counts: Whether it says how many scans; without, nothing can be had by subtraction.
    """
    rows = [("Organome", __version__)]
    if model is not None:
        rows.append(("model", f"{model.name} {model.digest[:12]}"))
    config: dict[str, Any] = {}
    with suppress(OrganomeError):
        config = place.config()
    for key in ("stations", "shard_size", "keep_images"):
        if key in config:
            rows.append((key, str(config[key])))
    if config:
        segment = config["segment"]
        rows += [(f"segment.{k}", str(segment[k])) for k in ("source", "device", "combine")]
    n_shards = len(list(place.scans.glob("[0-9]*.parquet")))
    for step in _STEPS:
        ledgers = sorted((place.results / step).glob("*/ledger.parquet"))
        if ledgers:
            rows.append((step, _of_step(ledgers, n_shards, counts=counts)))
    rows.append(("CPU-hours", _cpu_hours(place)))
    rows.append(("GPU-hours", _gpu_hours(place, config, counts=counts)))
    return rows


def _of_step(ledgers: list[Path], n_shards: int, *, counts: bool) -> str:
    seconds = pd.concat([read_columns(one, ["elapsed_s"]).to_pandas() for one in ledgers])
    hours, n = float(seconds["elapsed_s"].sum()) / 3600, len(seconds)
    if not counts:
        return f"{hours:.2f} hours of processes"
    said = f"{n:,} scans in {hours:.2f} hours of processes"
    if hours > 0:
        said += f", {n / hours:,.0f} scans an hour each"
    if (left := n_shards - len(ledgers)) > 0:
        said += f"; {counted(left, 'shard')} left, about {hours / len(ledgers) * left:.1f} hours"
    return said


def _cpu_hours(place: Run) -> str:
    steps = measured_steps(place)
    measured = [job for step in steps for job in job_measurements(place, step).values()]
    cpu_s = [job["cpu_time"] for job in measured if "cpu_time" in job]
    if not cpu_s:
        return f"not known: Snakemake left no measurement of a job in {BENCHMARKS}"
    jobs = counted(len(cpu_s), "finished job")
    return f"{sum(cpu_s) / 3600:.2f} in {jobs} of all steps, as Snakemake sampled them"


def _gpu_hours(place: Run, config: Mapping[str, Any], *, counts: bool) -> str:
    if not config:
        return "not known: the run folder has no configuration that says where networks run"
    segment = config["segment"]
    if segment["source"] != "model" or segment["device"] == "cpu":
        return "none: the segmentation asks for no GPU"
    if segment["device"] == "auto":
        return "not known: segment.device is auto, which takes a processor where there is no GPU"
    measured = job_measurements(place, "segment_organs")
    wall_s = {shard: job["s"] for shard, job in measured.items() if "s" in job}
    n_gpus = config["resources"]["segment_organs"]["gpus"]
    hours = n_gpus * sum(wall_s.values()) / 3600
    if not hours:
        return f"not known: Snakemake left no measurement of segment_organs in {BENCHMARKS}"
    ledgers = [place.results / "segment_organs" / shard / "ledger.parquet" for shard in wall_s]
    n_scans = sum(count_rows(one) for one in ledgers if one.is_file())
    jobs = (
        f"{counted(len(wall_s), 'finished job')} of segment_organs, {counted(n_gpus, 'GPU')} each"
    )
    rate = f", {n_scans / hours:,.0f} scans an hour" if counts else ""
    return f"{hours:.2f}{rate}: wall time of {jobs}"

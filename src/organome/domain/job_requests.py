"""What jobs ask for: time, memory, cores and GPUs, by the configuration of a run.

The rules of the workflow ask by these functions, and the doctor asks whether a cluster would take
such jobs.
"""

import math
from collections.abc import Mapping
from typing import Any, Final

SEGMENT: Final = "segment_organs"
COLLECT: Final = "collect_tables"
# What is done beside the last step of the pipeline, where it is asked for.
SIDE_STEPS: Final = ("measure_radiomics", "draw_pictures")
# Before and after the network some work runs on the CPU.
THREADS_ON_GPU: Final = 4
_START_MIN: Final = 15
_WAIT_FOR_JOBS_MIN: Final = 60
_COLLECT_THREADS: Final = 2


def wanted_side_steps(config: Mapping[str, Any]) -> list[str]:
    """List the steps beside the pipeline that a configuration asks for."""
    radiomics, pictures = SIDE_STEPS
    with_radiomics, with_pictures = config["radiomics"]["contrasts"], config["pictures"]["enabled"]
    return [radiomics] * bool(with_radiomics) + [pictures] * with_pictures


def configured_gpus(config: Mapping[str, Any]) -> int:
    """Count the GPUs of a job that segments; with `auto` as many as on a cluster."""
    segment = config["segment"]
    on_gpu = segment["source"] == "model" and segment["device"] != "cpu"
    return int(config["resources"][SEGMENT]["gpus"]) if on_gpu else 0


def configured_processes(config: Mapping[str, Any], step: str, *, on_gpu: bool) -> int:
    """Count the processes that work side by side in a job of a step; 0 where that is left open."""
    cost = config["resources"][step]
    if step == COLLECT:
        return 1
    if step == SEGMENT and on_gpu:
        n_processes: int = max(1, cost["processes"]) * cost["gpus"]
        return n_processes
    return int(cost["processes"])


def job_mem_mb(config: Mapping[str, Any], step: str, *, n_processes: int, n_times: int = 1) -> int:
    """Return the memory that a job asks for, in MB.

    Args:
        config: The configuration, defaults filled in.
        step: Name of the step.
        n_processes: Processes of the job.
        n_times: Times what the configuration says, where that may have been too little.
    """
    per_attempt: float = config["resources"][step]["mem_gb"] * 1000 * n_processes
    return round(per_attempt * n_times)


def job_runtime_min(config: Mapping[str, Any], step: str, *, n_processes: int) -> int:
    """Return the minutes that a first attempt asks for: twice what a full shard should take."""
    cost = config["resources"][step]
    if step == COLLECT:
        # With jobs of its own it may wait an hour for the first of them.
        return int(cost["runtime_min"]) + _WAIT_FOR_JOBS_MIN * bool(cost["jobs"])
    scans_s: float = config["shard_size"] * cost["seconds_per_scan"]
    return _START_MIN + math.ceil(2 * scans_s / n_processes / 60)


def cluster_requests(config: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    """Return what the first attempts of a run ask a cluster for, by rule.

    Args:
        config: The configuration of a cohort or of a training, defaults filled in.

    Returns:
        ``mem_mb``, ``runtime`` in minutes, ``cpus_per_task``; ``gpu`` where a job may want one.
    """
    return _training_requests(config) if "train" in config else _cohort_requests(config)


def _cohort_requests(config: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    n_gpus = configured_gpus(config)
    steps = ["prepare_images", SEGMENT, "measure_volumes", *wanted_side_steps(config), COLLECT]
    found = {}
    for step in steps:
        n_processes = configured_processes(config, step, on_gpu=n_gpus > 0) or 1
        found[step] = {
            "mem_mb": job_mem_mb(config, step, n_processes=n_processes),
            "runtime": job_runtime_min(config, step, n_processes=n_processes),
            "cpus_per_task": n_processes,
        }
    found["check_quality"] = found["write_report"] = found[COLLECT]
    found[COLLECT] = found[COLLECT] | {"cpus_per_task": _COLLECT_THREADS}
    found[SEGMENT]["gpu"] = n_gpus
    found[SEGMENT]["cpus_per_task"] *= THREADS_ON_GPU if n_gpus else 1
    return found


def _training_requests(config: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    asked = config["resources"]
    plain = {
        "mem_mb": round(asked["mem_gb"] * 1000),
        "runtime": asked["runtime_min"],
        "cpus_per_task": asked["processes"],
    }
    n_gpus = int(config["train"]["device"] != "cpu")
    return {"build_dataset": plain, "plan_training": plain, "train_fold": plain | {"gpu": n_gpus}}

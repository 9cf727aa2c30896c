"""What jobs took, as Snakemake measured it."""

from collections.abc import Mapping

from organome.io.runs import Run, job_measurements


def peaks_gb(place: Run, step: str) -> dict[str, float]:
    """Read the most memory that a job of each shard took, in GB; without those not measured."""
    return {
        shard: measured["max_rss"] * 2**20 / 1e9
        for shard, measured in job_measurements(place, step).items()
        if "max_rss" in measured
    }


def cpu_s_per_scan(place: Run, step: str, n_by_shard: Mapping[str, int]) -> float | None:
    """Return the CPU seconds of all processes of a job, start included, a scan; None if unmeasured.

    A shard that was begun again counts with its last job alone: then it is too little. Bytes are
    not asked for: Snakemake adds up those of the processes that are alive when it looks.

    Args:
        place: The run folder.
        step: The step.
        n_by_shard: Scans of each shard.
    """
    cpu_s = {
        shard: measured["cpu_time"]
        for shard, measured in job_measurements(place, step).items()
        if shard in n_by_shard and "cpu_time" in measured
    }
    n_scans = sum(n_by_shard[shard] for shard in cpu_s)
    return sum(cpu_s.values()) / n_scans if n_scans else None

"""What jobs took at most, as Snakemake measured it."""

from organome.io.runs import Run, job_measurements


def peaks_gb(place: Run, step: str) -> dict[str, float]:
    """Read the most memory that a job of each shard took, in GB; without those not measured."""
    return {
        shard: measured["max_rss"] * 2**20 / 1e9
        for shard, measured in job_measurements(place, step).items()
        if "max_rss" in measured
    }

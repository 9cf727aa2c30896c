"""What the jobs of a run cost, step by step, for Snakemake's report."""

from pathlib import Path
from typing import Final

import pandas as pd

from organome.io.files.atomic import write_text_atomic
from organome.io.runs import Run, job_measurements, measured_steps

_S_PER_H: Final = 3600
_MEASURED: Final = ["s", "cpu_time", "max_rss"]
_COLUMNS: Final = ["step", "jobs", "hours", "CPU-hours", "longest job, hours", "most memory, GB"]


def write_job_costs(place: Run, path: Path) -> None:
    """Write the table as a page of HTML."""
    table = job_costs(place).to_html(
        index=False, border=0, float_format="{:,.3f}".format, na_rep=""
    )
    write_text_atomic(
        path, f"<!doctype html><meta charset=utf-8><title>Cost of jobs</title>\n{table}\n"
    )


def job_costs(place: Run) -> pd.DataFrame:
    """Sum up what Snakemake measured of finished jobs, the step with the most CPU time first.

    Returns:
        A row a step; null where no job was measured, as happens with very short ones.
    """
    rows = []
    for step in measured_steps(place):
        jobs = pd.DataFrame(job_measurements(place, step).values(), columns=_MEASURED)
        wall_h, cpu_h = jobs["s"] / _S_PER_H, jobs["cpu_time"] / _S_PER_H
        peak_gb = jobs["max_rss"].max() * 2**20 / 1e9
        sums = (one.sum(min_count=1) for one in (wall_h, cpu_h))
        rows.append((step, len(jobs), *sums, wall_h.max(), peak_gb))
    return pd.DataFrame(rows, columns=_COLUMNS).sort_values("CPU-hours", ascending=False)

"""doctor: can a cohort or a training be run here? What was looked at, and what to do about it."""

import platform
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from organome.domain.errors import SetupError
from organome.io.files.assets import asset
from organome.io.runs import Run, open_run
from organome.io.slurm.profiles import SLURM, job_profile
from organome.steps.doctor.cluster import (
    check_commands,
    check_nodes,
    check_partitions,
    check_settings,
    write_report,
)
from organome.steps.doctor.findings import Finding, Grade, look, ok
from organome.steps.doctor.folders import check_cohort, check_folders
from organome.steps.doctor.software import check_gpu, check_software
from organome.steps.doctor.training import check_training


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Everything that was looked at.

    Attributes:
        findings: One that does not hold makes the exit code 3.
    """

    findings: Sequence[Finding]

    @property
    def holds(self) -> bool:
        """Whether nothing was found that will fail."""
        return all(finding.holds for finding in self.findings)

    def __str__(self) -> str:
        """Write it as a table."""
        n_by_grade = {
            grade: sum(finding.grade is grade for finding in self.findings) for grade in Grade
        }
        counts = ", ".join(f"{n} {grade}" for grade, n in n_by_grade.items() if n)
        width = max((len(finding.subject) for finding in self.findings), default=0)
        lines = (finding.line(width=width) for finding in self.findings)
        return "\n".join([*lines, "", counts])


def run(
    run_folder: Path,
    /,
    *snakemake: str,
    constraints: Path = Path("envs/constraints.txt"),
    slurm: bool = False,
    workflow_profile: Path | None = None,
    canary_job: bool = False,
    wait_s: float = 1800.0,
    poll_s: float = 5.0,
    node: bool = False,
    gpu: bool = False,
    report: Path | None = None,
) -> Diagnosis:
    """Look at software, data, run folder and cluster; exit code 3 if something will fail.

    Args:
        run_folder: Run folder, as ``organome init`` makes it.
        snakemake: Flags for Snakemake that ``organome run`` shall get, after ``--``.
        constraints: Versions that are tested, as pip's ``-c`` reads them.
        slurm: Look at the cluster, too, also where no profile is for SLURM.
        workflow_profile: Profile whose jobs the cluster shall take.
        canary_job: Submit a job of a minute to each partition that looks around there.
        wait_s: Seconds to wait for each of these jobs.
        poll_s: Seconds between two looks at the queue meanwhile.
        node: This is a node, in a job.
        gpu: There must be a GPU here.
        report: File to leave the findings in, as JSON.

    Raises:
        SetupError: It is not a run folder; the profile cannot be read, or none is for SLURM.
    """
    place = open_run(run_folder)
    found = job_profile(snakemake, workflow_profile, snakefile=asset("Snakefile"))
    profile = found if found is not None and found.executor == SLURM else None
    if canary_job and profile is None:
        raise SetupError("--canary-job needs a profile for SLURM: name --workflow-profile slurm")
    slurm = slurm or profile is not None
    checks: dict[str, Callable[[], Iterable[Finding]]] = {
        "machine": lambda: [ok("machine", platform.node())],
        "software": lambda: check_software(constraints=constraints),
        "gpu": lambda: [check_gpu(wanted=gpu)],
        "cohort": lambda: check_cohort(place, on_cluster=slurm or node),
        "run folder": lambda: check_folders(run_folder),
    }
    if place.is_training:
        checks["cohort"] = lambda: check_training(place, on_cluster=slurm or node)
    if slurm or node or canary_job:
        checks["slurm commands"] = check_commands
    config = _config(place)
    if slurm or canary_job:
        checks["cluster"] = lambda: check_settings(profile)
        checks["partitions"] = lambda: check_partitions(profile, config)
    if canary_job and profile is not None:
        checks["node"] = lambda: check_nodes(
            profile, run_folder=run_folder, wait_s=wait_s, poll_s=poll_s, config=config
        )
    findings = [
        finding for name, check in checks.items() for finding in look(name, check, run_folder)
    ]
    if report is not None:
        write_report(report, findings)
    return Diagnosis(findings)


def _config(place: Run) -> dict[str, Any] | None:
    """Read the configuration, None where it cannot be; whoever checks it says why."""
    try:
        return place.config()
    except SetupError:
        return None

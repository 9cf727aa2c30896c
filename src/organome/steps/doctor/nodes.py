"""The same questions, asked on a node: by a small job, which leaves its answers in a file."""

import json
import logging
import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from organome.io.files.atomic import ATTEMPT, write_text_atomic
from organome.io.slurm import queue as slurm
from organome.io.slurm.profiles import Profile
from organome.steps.doctor.cluster import asks_for_gpu, job_kinds, sbatch_flags
from organome.steps.doctor.findings import Finding, Grade, fail, skipped

_logger = logging.getLogger(__name__)

_JOB_MINUTES: Final = 10
_JOB_MEMORY_MB: Final = 2000


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for a node.

    Attributes:
        wait_s: Seconds for its job, in the queue and running.
        poll_s: Seconds between two looks at the queue.
        files_late_s: Seconds until a file that it wrote must be seen here.
    """

    wait_s: float
    poll_s: float
    files_late_s: float = 60.0


def check_nodes(
    profile: Profile,
    *,
    run_folder: Path,
    patience: Patience,
) -> Iterator[Finding]:
    """Have a job look around, one in each partition that the profile names.

    Args:
        profile: What jobs ask for.
        run_folder: Where they answer.
        patience: How long to wait for each.
    """
    asked: set[str] = set()
    for kind, resources in job_kinds(profile).items():
        partition = resources.get("slurm_partition", "default")
        if partition in asked and not asks_for_gpu(resources):
            continue
        asked.add(partition)
        small = {**resources, "mem_mb": str(_JOB_MEMORY_MB), "runtime": str(_JOB_MINUTES)}
        flags = sbatch_flags(profile, small)
        report = run_folder.resolve() / "work" / "doctor" / f"{ATTEMPT}.{kind}.json"
        command = ["organome", "doctor", str(run_folder.resolve()), "--node"]
        command += ["--report", str(report), *(("--gpu",) if asks_for_gpu(resources) else ())]
        yield from _ask_node(flags, command, report=report, kind=kind, patience=patience)


def write_report(path: Path, findings: Sequence[Finding]) -> None:
    """Leave findings for the doctor that asked."""
    write_text_atomic(path, json.dumps([asdict(finding) for finding in findings], indent=2))


def read_report(path: Path) -> list[Finding]:
    """Read findings that were left."""
    written = json.loads(path.read_text(encoding="utf-8"))
    return [Finding(**{**entry, "grade": Grade(entry["grade"])}) for entry in written]


def _ask_node(
    flags: Sequence[str],
    command: Sequence[str],
    *,
    report: Path,
    kind: str,
    patience: Patience,
) -> Iterator[Finding]:
    subject = f"node ({kind})"
    report.parent.mkdir(parents=True, exist_ok=True)
    log = report.with_suffix(".log")
    try:
        job = slurm.submit(
            [*flags, "--job-name=organome_doctor", f"--output={log}"], command=shlex.join(command)
        )
    except slurm.SlurmError as error:
        yield fail(subject, str(error), "change account, partition or resources in the profile")
        return
    _logger.info("event=doctor_waits job=%s kind=%s", job, kind)
    if not _wait(job, patience):
        yield skipped(subject, f"job {job} did not end in {patience.wait_s:.0f} s", "--wait-s")
        return
    _wait_for_file(report, patience.files_late_s)
    if not report.exists():
        why = "organome does not start there, or the run folder is another one"
        yield fail(subject, f"job {job} left no report", f"{why}; see {log}")
        return
    for finding in read_report(report):
        yield replace(finding, subject=f"{kind}: {finding.subject}")
    report.unlink()
    log.unlink(missing_ok=True)
    with suppress(OSError):  # another doctor still waits for an answer
        report.parent.rmdir()


def _wait(job: str, patience: Patience) -> bool:
    """Wait for the end of a job; one that takes too long, or nobody waits for, is cancelled."""
    until_s, ended = time.monotonic() + patience.wait_s, False
    try:
        while not ended and time.monotonic() < until_s:
            time.sleep(patience.poll_s)
            jobs = slurm.own_jobs()
            ended = jobs is not None and not any(j.job_id == job and j.is_live for j in jobs)
    finally:
        if not ended:
            slurm.cancel([job])
    return ended


def _wait_for_file(path: Path, within_s: float) -> None:
    until_s = time.monotonic() + within_s
    while not path.exists() and time.monotonic() < until_s:
        list(path.parent.iterdir())  # has a network file system look again
        time.sleep(0.5)

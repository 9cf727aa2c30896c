"""Does the cluster take the jobs of the profile, and does it do what the watchdog relies on?

On a node a small job asks the same questions as here, and leaves its answers in a file.
"""

import json
import logging
import os
import pwd
import re
import shlex
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from organome.domain.job_requests import cluster_requests
from organome.io.files.atomic import ATTEMPT, write_text_atomic
from organome.io.slurm.cluster import Partition, cluster_settings, partitions, refusal, seconds
from organome.io.slurm.profiles import Profile
from organome.io.slurm.queue import SlurmError, ask, cancel, own_jobs, submit
from organome.steps.doctor.findings import Finding, Grade, fail, ok, skipped, warn

_logger = logging.getLogger(__name__)

_COMMANDS: Final = ("sbatch", "squeue", "scancel", "sinfo", "scontrol", "srun")
_GPU_STEPS: Final = ("segment_organs", "train_fold")
_POLLS_PER_MIN_JOB_AGE: Final = 3  # the plugin's own rule
_SHORT_KILL_WAIT_S: Final = 20
_JOB_MINUTES: Final = 10
_JOB_MEMORY_MB: Final = 2000
_ADVICE: Final = (
    "change account or partition in the profile, or shard_size and resources in config.yaml"
)
_FLAGS: Final = {
    "slurm_partition": "--partition",
    "slurm_account": "--account",
    "qos": "--qos",
    "constraint": "--constraint",
    "mem_mb": "--mem",
    "runtime": "--time",
    "cpus_per_task": "--cpus-per-task",
    "gres": "--gres",
}


def check_commands() -> Iterator[Finding]:
    """Check that SLURM's commands are there, also for what the plugin starts in a job."""
    absent = [command for command in _COMMANDS if shutil.which(command) is None]
    if absent:
        yield fail("slurm commands", f"no {', '.join(absent)}", "load SLURM's module?")
        return
    yield ok("slurm commands", ", ".join(_COMMANDS))
    # In a job the plugin takes SLURM_CONF out of the environment before it calls srun.
    bare = ask("env", "-u", "SLURM_CONF", "scontrol", "ping")
    if bare.code == 0:
        yield ok("slurm.conf", "found without SLURM_CONF")
    elif ask("scontrol", "ping").code == 0:
        yield fail(
            "slurm.conf",
            "found through SLURM_CONF only, which jobs lose",
            "put wrappers of SLURM's commands that set it on the PATH",
        )
    else:
        yield fail("slurm.conf", bare.complaint, "ask again when the controller is up")


def check_settings(profile: Profile | None) -> Iterator[Finding]:
    """Check the settings of the cluster against those of the profile."""
    settings = cluster_settings()
    if settings is None:
        yield fail("controller", "does not answer", "ask again when it is up")
        return
    yield ok("controller", f"SLURM {settings.get('SLURM_VERSION', '?')}")
    yield _check_min_job_age(settings, init_s=profile.init_s if profile else 30)
    yield _check_kill_wait(settings)
    yield _check_preemption(settings, profile)
    yield _check_accounting(settings)
    if profile is not None and profile.n_jobs is not None:
        yield _check_job_counts(settings, profile.n_jobs)


def check_partitions(
    profile: Profile | None, config: Mapping[str, Any] | None = None
) -> Iterator[Finding]:
    """Check whether the jobs of a run would be taken.

    Args:
        profile: What jobs ask for.
        config: The configuration of the run, from which their time, memory, cores and GPUs follow;
            None where it cannot be read, then the jobs are those that the profile describes.
    """
    if profile is None:
        yield skipped("partitions", "no profile", "--workflow-profile profiles/slurm")
        return
    known = partitions()
    if known is None:
        yield fail("partitions", "sinfo does not answer", "ask again when the controller is up")
        return
    for rule, resources in job_kinds(profile, config).items():
        yield _check_partition(rule, resources, known)
        flags = sbatch_flags(profile, resources)
        refused = refusal(flags)
        subject = f"job {rule}"
        if refused is None:
            yield ok(subject, "would be taken")
        else:
            why = re.sub(r"^(sbatch: )?(error: )?(allocation failure: )?", "", refused)
            yield fail(subject, f"{why} ({' '.join(flags)})", _ADVICE)


def job_kinds(
    profile: Profile, config: Mapping[str, Any] | None = None
) -> dict[str, dict[str, str]]:
    """Return what jobs ask for.

    By rule, as Snakemake puts it together: the profile's word on a rule goes before what the rule
    asks for, and that before the profile's defaults. Without a configuration: by default, and by
    rule where the profile says so.
    """
    plain = dict(profile.default_resources)
    if config is not None:
        return {
            rule: {
                **plain,
                **{name: str(value) for name, value in asked.items()},
                **profile.resources_by_rule.get(rule, {}),
            }
            for rule, asked in cluster_requests(config).items()
        }
    kinds = {"default": plain, _GPU_STEPS[0]: dict(plain)}
    for rule, resources in profile.resources_by_rule.items():
        kinds[rule] = {**plain, **resources}
    for step in kinds.keys() & {*_GPU_STEPS}:
        kinds[step].setdefault("gpu", "1")
    return kinds


def asks_for_gpu(resources: Mapping[str, str]) -> bool:
    """Return whether a job asks for a GPU."""
    return resources.get("gpu", "0") != "0" or "gpu" in resources.get("gres", "")


def sbatch_flags(profile: Profile, resources: Mapping[str, str]) -> list[str]:
    """Translate resources into flags of sbatch, as the plugin does."""
    flags = [f"{_FLAGS[name]}={value}" for name, value in resources.items() if name in _FLAGS]
    if resources.get("gpu", "0") != "0":
        model = resources.get("gpu_model")
        flags.append(
            f"--gpus={model}:{resources['gpu']}" if model else f"--gpus={resources['gpu']}"
        )
    flags += shlex.split(resources.get("slurm_extra", ""))
    if profile.settings.get("slurm-reservation"):
        flags.append(f"--reservation={profile.settings['slurm-reservation']}")
    if profile.settings.get("slurm-qos"):
        flags.append(f"--qos={profile.settings['slurm-qos']}")
    return flags


def check_nodes(
    profile: Profile,
    *,
    run_folder: Path,
    wait_s: float,
    poll_s: float,
    files_late_s: float = 60.0,
    config: Mapping[str, Any] | None = None,
) -> Iterator[Finding]:
    """Have a job look around, one in each partition that the profile names.

    Args:
        profile: What jobs ask for.
        run_folder: Where they answer.
        wait_s: Seconds to wait for each, in the queue and running.
        poll_s: Seconds between two looks at the queue.
        files_late_s: Seconds until a file that a node wrote must be seen here.
        config: The configuration of the run, None where it cannot be read.
    """
    folder = run_folder.resolve()
    asked: set[tuple[str, bool]] = set()
    for kind, resources in job_kinds(profile, config).items():
        partition = resources.get("slurm_partition", "default")
        with_gpu = asks_for_gpu(resources)
        if (partition, True) in asked or (partition, with_gpu) in asked:
            continue
        asked.add((partition, with_gpu))
        small = {**resources, "mem_mb": str(_JOB_MEMORY_MB), "runtime": str(_JOB_MINUTES)}
        small |= {"cpus_per_task": "1"} | ({"gpu": "1"} if small.get("gpu", "0") != "0" else {})
        subject = f"node ({kind})"
        report = folder / "work" / "doctor" / f"{ATTEMPT}.{kind}.json"
        log = report.with_suffix(".log")
        command = ["organome", "doctor", str(folder), "--node", "--report", str(report)]
        command += ["--gpu"] if with_gpu else []
        flags = [*sbatch_flags(profile, small), "--job-name=organome_doctor", f"--output={log}"]
        report.parent.mkdir(parents=True, exist_ok=True)
        try:
            job = submit(flags, command=shlex.join(command))
        except SlurmError as error:
            yield fail(subject, str(error), _ADVICE)
            continue
        _logger.info("event=doctor_waits job=%s kind=%s", job, kind)
        if not _wait(job, wait_s=wait_s, poll_s=poll_s):
            yield skipped(subject, f"job {job} did not end in {wait_s:.0f} s", "--wait-s")
            continue
        _wait_for_file(report, files_late_s)
        if not report.exists():
            why = "organome does not start there, or the run folder is another one"
            yield fail(subject, f"job {job} left no report", f"{why}; see {log}")
            continue
        for entry in json.loads(report.read_text(encoding="utf-8")):
            found = {"subject": f"{kind}: {entry['subject']}", "grade": Grade(entry["grade"])}
            yield Finding(**entry | found)
        report.unlink()
        log.unlink(missing_ok=True)
        with suppress(OSError):  # another doctor still waits for an answer
            report.parent.rmdir()


def write_report(path: Path, findings: Sequence[Finding]) -> None:
    """Leave findings for the doctor that asked."""
    write_text_atomic(path, json.dumps([asdict(finding) for finding in findings], indent=2))


def _check_partition(
    rule: str, resources: Mapping[str, str], known: Mapping[str, Partition]
) -> Finding:
    name = resources.get("slurm_partition")
    subject = f"partition of {rule}"
    if name is None:
        return skipped(subject, "the cluster's default")
    offers = ", ".join(sorted(known))
    found = [known[part] for part in name.split(",") if part in known]
    if not found:
        return fail(subject, f"{name}: no such partition", f"one of {offers}")
    n_nodes = sum(partition.n_usable_nodes for partition in found)
    gres = sorted(set().union(*(partition.gres for partition in found)))
    fact = f"{name}: {n_nodes} nodes in service{', ' if gres else ''}{', '.join(gres)}"
    if asks_for_gpu(resources) and not any(kind.startswith("gpu") for kind in gres):
        return fail(
            subject, f"{name}: no GPU", "name one with GPUs (sinfo -o '%P %G'), or set gpu: 0"
        )
    if not n_nodes or not any(partition.is_up for partition in found):
        return warn(subject, fact, "jobs will wait")
    return ok(subject, fact)


def _check_min_job_age(settings: Mapping[str, str], *, init_s: int) -> Finding:
    age_s = seconds(settings.get("MinJobAge", "")) or 0
    advice = (
        "the plugin will ask sacct instead of squeue and not see cancelled jobs: set"
        f" slurm-init-seconds-before-status-checks to {age_s // _POLLS_PER_MIN_JOB_AGE}"
    )
    return _check_seconds(settings, "MinJobAge", _POLLS_PER_MIN_JOB_AGE * init_s, advice)


def _check_kill_wait(settings: Mapping[str, str]) -> Finding:
    advice = "a step may be killed before it has stopped: costs the scan in flight, no more"
    return _check_seconds(settings, "KillWait", _SHORT_KILL_WAIT_S, advice)


def _check_seconds(settings: Mapping[str, str], name: str, needed_s: int, advice: str) -> Finding:
    found_s = seconds(settings.get(name, ""))
    if found_s is None:
        return skipped(name, "slurm.conf does not say")
    if found_s < needed_s:
        return warn(name, f"{found_s} s, less than {needed_s} s", advice)
    return ok(name, f"{found_s} s")


def _check_preemption(settings: Mapping[str, str], profile: Profile | None) -> Finding:
    mode = settings.get("PreemptMode", "OFF")
    requeues = profile is not None and bool(profile.settings.get("slurm-requeue"))
    fact = f"PreemptMode {mode}, JobRequeue {settings.get('JobRequeue', '?')}"
    if "CANCEL" in mode:
        return warn(
            "preemption",
            fact,
            "the plugin does not see that a preempted job was cancelled; the watchdog does in the"
            " end: use a partition that is not preempted",
        )
    if profile is not None and not requeues:
        return warn("preemption", fact, "set slurm-requeue: true in the profile")
    return ok("preemption", fact)


def _check_accounting(settings: Mapping[str, str]) -> Finding:
    if settings.get("AccountingStorageType", "").endswith("none"):
        return ok("sacct", "no accounting here; nothing relies on it (status by squeue)")
    answer = ask("sacct", "--noheader", "--allocations", "--starttime=now-1hour")
    if answer.code != 0:
        return warn(
            "sacct", answer.complaint, "the run does not need it; a look back (efficiency) does"
        )
    return ok("sacct", "answers")


def _check_job_counts(settings: Mapping[str, str], n_jobs: int) -> Finding:
    limits = {"MaxJobCount": settings.get("MaxJobCount", ""), **_own_limits()}
    lowest = min(
        ((int(value), name) for name, value in limits.items() if value.isdigit()), default=None
    )
    if lowest is not None and n_jobs > lowest[0]:
        return fail(
            "jobs in the queue",
            f"{n_jobs}, above {lowest[1]} {lowest[0]}",
            f"set jobs: {lowest[0]} or less; sbatch refuses the rest, which costs retries",
        )
    return ok("jobs in the queue", f"{n_jobs}" + (f", limit {lowest[0]}" if lowest else ""))


def _own_limits() -> dict[str, str]:
    columns = ("MaxSubmitJobs", "GrpSubmitJobs")
    user = pwd.getpwuid(os.getuid()).pw_name
    query = f"format={','.join(columns)}"
    answer = ask(
        *("sacctmgr", "--noheader", "--parsable2", "show", "assoc", "where", f"user={user}", query)
    )
    if answer.code != 0:
        return {}
    rows = [line.split("|") for line in answer.output.splitlines()]
    return {
        column: min((row[place] for row in rows if row[place].isdigit()), key=int, default="")
        for place, column in enumerate(columns)
    }


def _wait(job: str, *, wait_s: float, poll_s: float) -> bool:
    """Wait for the end of a job; one that takes too long, or nobody waits for, is cancelled."""
    until_s, ended = time.monotonic() + wait_s, False
    try:
        while not ended and time.monotonic() < until_s:
            time.sleep(poll_s)
            jobs = own_jobs()
            ended = jobs is not None and not any(j.job_id == job and j.is_live for j in jobs)
    finally:
        if not ended:
            cancel([job])
    return ended


def _wait_for_file(path: Path, within_s: float) -> None:
    until_s = time.monotonic() + within_s
    while not path.exists() and time.monotonic() < until_s:
        list(path.parent.iterdir())  # has a network file system look again
        time.sleep(0.5)

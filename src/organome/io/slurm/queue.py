"""SLURM's own commands: the queue of one's jobs.

Whoever is asked may be away: a controller that restarts for minutes is normal on a cluster. So no
answer is None and never an empty queue, and nobody here tries again: the caller knows how long to
wait. Every command names the columns that it wants, because users change the defaults.

Source: squeue(1), scancel(1), sbatch(1) of SLURM 22.05.
"""

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from organome.domain.errors import SetupError

# Everything else is in the queue still: a job that is COMPLETING may be writing.
ENDED_STATES: Final = frozenset(
    {
        "BOOT_FAIL",
        "CANCELLED",
        "COMPLETED",
        "DEADLINE",
        "FAILED",
        "NODE_FAIL",
        "OUT_OF_MEMORY",
        "PREEMPTED",
        "REVOKED",
        "TIMEOUT",
    }
)
ANSWER_S: Final = 60.0  # seconds after which a command that has not ended counts as no answer
_N_IDS_PER_COMMAND: Final = 500  # keeps the command line short
_JOB_COLUMNS: Final = "%i|%T|%r|%j|%Z"


class SlurmError(SetupError):
    """SLURM cannot be asked here, or says no."""


@dataclass(frozen=True, slots=True)
class Job:
    """A job as squeue shows it.

    Attributes:
        job_id: Number of the job.
        state: One word, ``RUNNING`` for instance.
        reason: Why it waits, in SLURM's words with blanks for underscores.
        name: Name of the job.
        folder: Where it was submitted for.
    """

    job_id: str
    state: str
    reason: str
    name: str
    folder: Path

    @property
    def is_live(self) -> bool:
        """Whether it waits, runs or is being ended."""
        return self.state not in ENDED_STATES


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command said.

    Attributes:
        code: Its exit code; None if it did not end in time.
        output: Its standard output.
        errors: Its standard error.
    """

    code: int | None
    output: str
    errors: str

    @property
    def complaint(self) -> str:
        """The first line that says what is wrong."""
        if self.code is None:
            return "no answer in time"
        lines = (self.errors or self.output).strip().splitlines()
        return lines[0] if lines else f"exit code {self.code}"


def ask(*command: str, timeout_s: float | None = None) -> Answer:
    """Run one of SLURM's commands.

    Args:
        command: The command and its arguments.
        timeout_s: Seconds after which it is killed; ``ANSWER_S`` if None.

    Raises:
        SlurmError: It is not on the PATH.
    """
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
            timeout=ANSWER_S if timeout_s is None else timeout_s,
            check=False,
            start_new_session=True,  # Ctrl-C at the terminal is not for it
        )
    except subprocess.TimeoutExpired:
        return Answer(None, "", "")
    except (FileNotFoundError, PermissionError) as error:
        raise SlurmError(f"{command[0]} is not on the PATH: is this a SLURM cluster?") from error
    return Answer(done.returncode, done.stdout, done.stderr)


def own_jobs() -> tuple[Job, ...] | None:
    """Look up one's own jobs, also those that ended lately; None if the controller is away."""
    user = str(os.getuid())
    answer = ask(
        *("squeue", "--noheader", "--states=all", "--user", user, f"--format={_JOB_COLUMNS}")
    )
    if answer.code != 0:
        return None
    rows = (line.strip().split("|", 4) for line in answer.output.splitlines())
    return tuple(
        Job(row[0], row[1], row[2].replace("_", " "), row[3], Path(row[4]))
        for row in rows
        if len(row) == 5
    )


def cancel(job_ids: Sequence[str]) -> bool:
    """Cancel jobs; those that ended meanwhile do not matter.

    Returns:
        False if the controller is away.
    """
    heard = True
    for start in range(0, len(job_ids), _N_IDS_PER_COMMAND):
        ids = job_ids[start : start + _N_IDS_PER_COMMAND]
        # --quiet: no complaint about a job that has ended between the look and now.
        heard = ask("scancel", "--quiet", *ids).code == 0 and heard
    return heard


def submit(flags: Sequence[str], *, command: str) -> str:
    """Submit a shell command as a job and return its number.

    Raises:
        SlurmError: sbatch says no.
    """
    answer = ask("sbatch", "--parsable", *flags, "--wrap", command)
    if answer.code != 0:
        raise SlurmError(f"sbatch: {answer.complaint}")
    return answer.output.strip().split(";")[0]

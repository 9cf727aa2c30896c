"""A whole SLURM cluster on one machine, as plain processes below one folder.

    python -m slurm.cluster start ROOT     (from tests/; prints how to use it)
    python -m slurm.cluster stop ROOT [--wipe]

Nothing of it touches /etc, /var or another cluster: configuration, keys, database, spool, logs
and pids lie below ROOT; all ports are on loopback. Four nodes: c1 with CPUs only, g1 and g2 with
two pretended GPUs each, g3 with one. Partitions: cpu, gpu, and urgent, whose jobs preempt those of
gpu.
"""

import argparse
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from doubles.places import quick_environment
from slurm.processes import (
    all_pids,
    environment,
    is_alive,
    kill_trees,
    started,
    wait_until,
)
from slurm.settings import ACCOUNT, N_PORTS, NODES, write_settings

PROGRAMS: Final = (
    *("munged", "mariadbd", "mariadb-install-db", "slurmdbd", "slurmctld", "slurmd"),
    *("sbatch", "sacct"),
)
COMMANDS: Final = (
    *("sbatch", "srun", "salloc", "squeue", "scancel", "sinfo", "scontrol", "sacct", "sacctmgr"),
    *("sstat", "sprio", "sdiag", "sshare", "sreport"),
)
NODE_VARIABLE: Final = "LOOPBACK_NODE"  # names the node of a slurmstepd
FOLDERS: Final = ("bin", "etc", "run", "log", "state", "spool", "tmp", "database", "dev")
SYSTEM_PATH: Final = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


def why_not() -> str | None:
    """Return why no cluster can be started here, None if one can."""
    if os.geteuid() != 0:
        return "not root: slurmd could not start jobs"
    absent = [program for program in PROGRAMS if not shutil.which(program, path=SYSTEM_PATH)]
    return f"no {', '.join(absent)}: run tests/slurm/install.sh" if absent else None


class SlurmError(RuntimeError):
    """A SLURM command failed."""


class Cluster:
    """One cluster; its state is what lies below its root."""

    def __init__(
        self, root: Path, *, base_port: int | None = None, n_cpus: int = 8, memory_mb: int = 100_000
    ) -> None:
        """Describe a cluster; every node pretends to have so many CPUs and so much memory."""
        self.root = root.resolve()
        self._host = socket.gethostname().split(".")[0]
        self._base_port = base_port
        self._n_cpus, self._memory_mb = n_cpus, memory_mb
        self._config = self.root / "etc" / "slurm.conf"
        self._own = {**os.environ, "PATH": SYSTEM_PATH, "SLURM_CONF": str(self._config)}

    # --- start and stop --------------------------------------------------------------------------

    def start(self) -> None:
        """Start it, and wait until all nodes are idle.

        Raises:
            TimeoutError: If a part does not come up.
        """
        self.start_daemons()
        wait_until(self.is_ready, what="all nodes to be idle")

    def start_daemons(self) -> None:
        """Start whatever of it does not run; what it knew before it was stopped stays."""
        for name in FOLDERS:
            (self.root / name).mkdir(parents=True, exist_ok=True)
        self.root.chmod(0o755)
        if not self._config.exists():
            write_settings(
                self.root,
                host=self._host,
                base_port=self._base_port or free_ports(N_PORTS),
                n_cpus=self._n_cpus,
                memory_mb=self._memory_mb,
            )
        self._write_wrappers()
        self._start_munge()
        self.start_database()
        self._open_account()
        self.start_controller()
        for node in NODES:
            self.boot_node(node)

    def stop(self) -> None:
        """End every process of the cluster and of its jobs."""
        with suppress(SlurmError, subprocess.TimeoutExpired):
            self.cancel_all()
        for node in NODES:
            self._end(f"slurmd.{node}")
        kill_trees(self._steps())
        for name in ("slurmctld", "slurmdbd", "mariadbd", "munged"):
            self._end(name)

    def wipe(self) -> None:
        """Stop it and remove all it knew."""
        self.stop()
        shutil.rmtree(self.root, ignore_errors=True)

    # --- use -------------------------------------------------------------------------------------

    @property
    def bin(self) -> Path:
        """Folder of SLURM commands that know this cluster.

        The plugin takes SLURM_CONF out of the environment before it calls srun in a job, so a
        variable does not do.
        """
        return self.root / "bin"

    def environment(self, *more_paths: Path) -> dict[str, str]:
        """Variables of a process that uses this cluster; given folders go first in its PATH."""
        paths = ":".join(map(str, (*more_paths, self.bin)))
        return quick_environment() | {"PATH": f"{paths}:{os.environ['PATH']}"}

    def command(self, name: str, *arguments: str, within_s: float = 120.0) -> str:
        """Run a SLURM command.

        Raises:
            SlurmError: If it fails; with its message.
        """
        done = subprocess.run(
            [str(self.bin / name), *arguments],
            capture_output=True,
            text=True,
            timeout=within_s,
            check=False,
        )
        if done.returncode != 0:
            raise SlurmError(f"{name} {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def queue(self) -> dict[str, str]:
        """List what is in the queue: state by job id."""
        lines = self.command("squeue", "--noheader", "--format=%i %T").splitlines()
        return dict(line.split() for line in lines)

    def running(self, *, comment: str) -> dict[str, str]:
        """List running jobs whose comment holds a text: node by job id."""
        listed = self.command(
            "squeue", "--noheader", "--states=RUNNING", "--format=%i|%N|%k"
        ).splitlines()
        jobs = (line.split("|") for line in listed)
        return {job: node for job, node, noted in jobs if comment in noted}

    def accounting(self, *fields: str, jobs: Sequence[str] = ()) -> list[dict[str, str]]:
        """Read the database's rows of allocations, requeued ones included."""
        which = [f"--jobs={','.join(jobs)}"] if jobs else ["--starttime=now-1day"]
        options = ["--allocations", "--duplicates", "--parsable2", "--noheader"]
        text = self.command("sacct", *options, *which, f"--format={','.join(fields)}")
        return [dict(zip(fields, line.split("|"), strict=True)) for line in text.splitlines()]

    def hurry(self) -> None:
        """Let requeued jobs start now; SLURM has them wait for two minutes."""
        with suppress(SlurmError):
            listed = self.command("squeue", "--noheader", "--states=PENDING", "--format=%i %r")
            for line in listed.splitlines():
                job, reason = line.split(maxsplit=1)
                if reason == "BeginTime":
                    self.command("scontrol", "update", f"JobId={job}", "StartTime=now")

    # --- faults ----------------------------------------------------------------------------------

    def crash_node(self, node: str) -> None:
        """Cut the power of a node: its slurmd and all its jobs are gone at once."""
        self._kill(f"slurmd.{node}")
        kill_trees(self._steps(node))

    def hang_node(self, node: str) -> None:
        """Cut a node off: nobody hears of it any more, and its jobs compute on."""
        self._kill(f"slurmd.{node}")

    def boot_node(self, node: str) -> None:
        """Start the slurmd of a node."""
        (self.root / "spool" / node).mkdir(exist_ok=True)
        command = ["slurmd", "-D", "-N", node, "-f", str(self._config)]
        self._spawn(f"slurmd.{node}", command, **{NODE_VARIABLE: node})

    def drain(self, node: str) -> None:
        """Take a node out of service; its jobs go on."""
        self.command("scontrol", "update", f"NodeName={node}", "State=DRAIN", "Reason=test")

    def resume(self, node: str) -> None:
        """Put a node back into service."""
        with suppress(SlurmError):  # nothing to resume
            self.command("scontrol", "update", f"NodeName={node}", "State=RESUME")

    def kill_controller(self) -> None:
        """Kill slurmctld. It forgets jobs that were submitted in the last seconds before."""
        self._kill("slurmctld")

    def start_controller(self) -> None:
        """Start slurmctld."""
        self._spawn("slurmctld", ["slurmctld", "-D", "-f", str(self._config)])
        wait_until(lambda: self._answers("scontrol", "ping"), what="slurmctld")

    def kill_database(self) -> None:
        """Kill slurmdbd."""
        self._kill("slurmdbd")

    def start_database(self) -> None:
        """Start the database server and slurmdbd."""
        defaults = f"--defaults-file={self.root}/etc/my.cnf"
        if not (self.root / "database" / "mysql").exists():
            install = ["mariadb-install-db", defaults, "--skip-test-db"]
            self._run(*install, "--auth-root-authentication-method=socket")
        self._spawn("mariadbd", ["mariadbd", defaults])
        client = ["mariadb", f"--socket={self.root}/run/mariadb.socket", "--execute"]
        grant = (
            "create database if not exists slurm_acct_db;"
            "create user if not exists slurm@'127.0.0.1' identified by 'slurm';"
            "grant all on slurm_acct_db.* to slurm@'127.0.0.1';"
        )
        wait_until(lambda: self._run(*client, grant, check=False), what="mariadbd")
        self._spawn("slurmdbd", ["slurmdbd", "-D"])
        wait_until(lambda: self._answers("sacctmgr", "show", "cluster"), what="slurmdbd")

    def preempt(self, node: str, *, n_gpus: int, seconds: int = 5) -> str:
        """Submit a job of more importance that needs these GPUs of a node; return its id."""
        return self.command(
            "sbatch",
            *("--parsable", "--partition=urgent", f"--account={ACCOUNT}", f"--nodelist={node}"),
            *(f"--gres=gpu:{n_gpus}", "--output=/dev/null", f"--wrap=sleep {seconds}"),
        ).strip()

    def forget_jobs(self) -> None:
        """Have the controller lose all it knew of jobs, as after a loss of its state folder."""
        last = max((int(row["JobIDRaw"]) for row in self.accounting("JobIDRaw")), default=0)
        self.kill_controller()
        for path in (self.root / "state").glob("job_state*"):
            path.unlink()
        # It would count from 1 again, and meet the jobs of before in the database.
        lines = self._config.read_text().splitlines()
        kept = [line for line in lines if not line.startswith("FirstJobId=")]
        self._config.write_text("\n".join([*kept, f"FirstJobId={last + 100}"]) + "\n")
        self.start_controller()

    def hold(self, job: str, *, by_user: bool = True) -> None:
        """Have a waiting job wait until it is released."""
        self.command("scontrol", "uhold" if by_user else "hold", job)

    def release(self, job: str) -> None:
        """Let a held job start."""
        self.command("scontrol", "release", job)

    def cancel(self, job: str) -> None:
        """Cancel a job."""
        self.command("scancel", job)

    def cancel_all(self) -> None:
        """Cancel every job and wait until none is left."""
        for job in self.queue():
            with suppress(SlurmError):
                self.command("scancel", job)
        wait_until(lambda: not self.queue(), what="cancelled jobs to end", within_s=120)

    def set_time_limit(self, job: str, *, minutes: int) -> None:
        """Change the time limit of a job; SLURM counts in minutes."""
        self.command("scontrol", "update", f"JobId={job}", f"TimeLimit={minutes}")

    # --- parts -----------------------------------------------------------------------------------

    def _write_wrappers(self) -> None:
        for name in COMMANDS:
            path = self.bin / name
            real = shutil.which(name, path=SYSTEM_PATH)
            path.write_text(f'#!/bin/sh\nSLURM_CONF={self._config} exec {real} "$@"\n')
            path.chmod(0o755)

    def _start_munge(self) -> None:
        key, run = self.root / "etc" / "munge.key", self.root / "run"
        if not key.exists():
            key.write_bytes(random.SystemRandom().randbytes(128))
            key.chmod(0o600)
        self._spawn(
            "munged",
            [
                *("munged", "--foreground", "--force", f"--key-file={key}"),
                *(f"--socket={run}/munge.socket", f"--pid-file={run}/own.munged.pid"),
                *(f"--log-file={self.root}/log/munged.log", "--num-threads=4"),
                f"--seed-file={self.root}/state/munged.seed",
            ],
        )
        test = ["munge", f"--socket={run}/munge.socket", "--no-input"]
        wait_until(lambda: self._run(*test, check=False), what="munged")

    def _open_account(self) -> None:
        if ACCOUNT in self.command("sacctmgr", "-nP", "show", "account", "format=account"):
            return
        self.command("sacctmgr", "-i", "add", "cluster", "loopback")
        self.command("sacctmgr", "-i", "add", "account", ACCOUNT, "cluster=loopback")
        user = ["user", "root", f"account={ACCOUNT}", f"defaultaccount={ACCOUNT}"]
        self.command("sacctmgr", "-i", "add", *user, "cluster=loopback")

    def is_ready(self) -> bool:
        lines = self.command("sinfo", "--noheader", "--Node", "--format=%N %t").splitlines()
        states = dict(line.split() for line in lines)
        return all(states.get(node) in ("idle", "mix", "alloc") for node in NODES)

    def _answers(self, name: str, *arguments: str) -> bool:
        try:
            return "DOWN" not in self.command(name, *arguments)
        except (SlurmError, subprocess.TimeoutExpired):
            return False

    def _run(self, *command: str, check: bool = True) -> bool:
        with (self.root / "log" / "commands.log").open("a") as log:
            done = subprocess.run(
                command,
                env=self._own,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                check=check,
            )
        return done.returncode == 0

    def _steps(self, node: str | None = None) -> list[int]:
        """Find the processes through which nodes of this cluster run jobs."""
        found = []
        for pid in all_pids():
            with suppress(OSError):
                if "slurmstepd" not in Path(f"/proc/{pid}/comm").read_text():
                    continue
                variables = environment(pid)
                ours = variables.get("SLURM_CONF") == str(self._config)
                if ours and node in (None, variables.get(NODE_VARIABLE)):
                    found.append(pid)
        return found

    # --- daemons ---------------------------------------------------------------------------------

    def _spawn(self, name: str, command: Sequence[str], **variables: str) -> None:
        if self._pid(name) is not None:
            return
        with (self.root / "log" / f"{name}.out").open("a") as log:
            process = subprocess.Popen(
                command,
                env={**self._own, **variables},
                cwd=self.root / "log",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        process.returncode = 0  # it may outlive us: its pid file knows it, not this object
        self._pid_file(name).write_text(json.dumps([process.pid, started(process.pid)]))

    def _pid_file(self, name: str) -> Path:
        return self.root / "run" / f"{name}.pid"

    def _pid(self, name: str) -> int | None:
        """Find a daemon that was started here and runs."""
        try:
            pid, start = json.loads(self._pid_file(name).read_text())
        except (OSError, ValueError):
            return None
        return pid if is_alive(pid) and started(pid) == start else None

    def _kill(self, name: str) -> None:
        pid = self._pid(name)
        if pid is None:
            raise RuntimeError(f"{name} does not run")
        os.kill(pid, signal.SIGKILL)
        self._reap(name, pid)

    def _end(self, name: str, *, within_s: float = 10.0) -> None:
        pid = self._pid(name)
        if pid is None:
            return
        os.kill(pid, signal.SIGTERM)
        end_s = time.monotonic() + within_s
        while is_alive(pid) and time.monotonic() < end_s:
            time.sleep(0.05)
        if is_alive(pid):
            os.kill(pid, signal.SIGKILL)
        self._reap(name, pid)

    def _reap(self, name: str, pid: int) -> None:
        wait_until(lambda: not is_alive(pid), what=f"{name} to end")
        with suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        self._pid_file(name).unlink(missing_ok=True)


def free_ports(n_ports: int) -> int:
    """Find a run of free ports on loopback, at random, so that two clusters can be side by side."""
    for _ in range(200):
        base = random.SystemRandom().randrange(20_000, 32_000)
        if all(_is_free(base + k) for k in range(n_ports)):
            return base
    raise RuntimeError("no free ports")


def _is_free(port: int) -> bool:
    with socket.socket() as listener:
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def main() -> None:
    """Start or stop a cluster by hand."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=["start", "stop"])
    parser.add_argument("root", type=Path)
    parser.add_argument("--wipe", action="store_true")
    given = parser.parse_args()
    cluster = Cluster(given.root)
    if given.what == "start":
        cluster.start()
        print(f"export PATH={cluster.bin}:$PATH")
    else:
        cluster.wipe() if given.wipe else cluster.stop()


if __name__ == "__main__":
    main()

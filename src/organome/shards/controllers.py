"""Who may run the workflow on a run folder: one controller at a time, from whatever host.

The lease says who. What it cannot say is whether a Snakemake of a dead controller, its jobs on this
machine, or one that somebody started by hand still works in the folder. On this machine that is
looked up; of other machines only Snakemake's lock speaks, which is opened where a dead controller
explains it.
"""

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import psutil

from organome.domain.errors import Interrupted, SetupError
from organome.io.files.atomic import write_text_atomic
from organome.shards.lease import LEASE, Lease, Watch, find_holder
from organome.shards.lease_records import Record, this_process

_logger = logging.getLogger(__name__)

CONTROLLER: Final = Path("work/controller")  # of a run folder, with the lease
_TO_STOP_S: Final = 30.0  # a job on this machine drops its scan in flight and exits
_OF_A_JOB: Final = ("--target-jobs", "--mode")  # flags of the Snakemakes that a Snakemake starts


class TakenOver(Interrupted):
    """Another controller holds the run folder now."""


class Controller:
    """The hold on a run folder.

    Attributes:
        started: A file that is as old as this hold.
        may_unlock: Whether a lock is what a dead controller left, since its lease lay there too.
    """

    def __init__(self, folder: Path, lease: Lease) -> None:
        self._folder = folder
        self._lease = lease
        self._child = folder / "snakemake.json"
        self.started = folder / "started"
        self.may_unlock = lease.taken_from is not None
        write_text_atomic(self.started, "")

    def check(self) -> None:
        """Stop if another controller has taken over.

        Raises:
            TakenOver: If so.
        """
        if self._lease.is_held():
            return
        try:
            holder = find_holder(self._folder)
        except OSError:
            return  # the disk is away, for everybody; it is asked again at the next look
        who = f"{holder.process.host}, pid {holder.process.pid}" if holder else "somebody"
        raise TakenOver(f"{self._folder}: another controller has taken over ({who})")

    def note_child(self, pid: int, started_at: float) -> None:
        """Note which Snakemake is ours, so that the next controller can end what is left of it."""
        note = {"machine": _machine(), "pid": pid, "at": started_at}
        write_text_atomic(self._child, json.dumps(note))

    def end_orphans(self) -> int:
        """End what a dead controller's Snakemake left on this machine: its jobs.

        Snakemake itself dies with its controller.

        Returns:
            How many processes were ended.
        """
        orphans = _session(self._child)
        for process in orphans:
            with suppress(psutil.Error):
                process.terminate()
        _, stubborn = psutil.wait_procs(orphans, timeout=_TO_STOP_S)
        for process in stubborn:
            with suppress(psutil.Error):
                process.kill()
        return len(orphans)


@contextmanager
def sole_controller(folder: Path) -> Iterator[Controller]:
    """Hold a run folder for the block.

    Raises:
        SetupError: Another controller, or a Snakemake started by hand, works in it.
    """
    folder = folder.resolve()
    place = folder / CONTROLLER
    watch = Watch(place / LEASE)

    def refuse_if_alive() -> None:
        sight = watch.look()
        if sight is None:
            return
        process = sight.record.process
        if sight.record.is_alive or watch.has_moved:
            raise SetupError(
                f"{folder}: organome run works here already"
                f" ({process.host or 'another host'}, pid {process.pid})"
            )

    with Lease.take(place, on_wait=_log_wait, stop_waiting=refuse_if_alive) as lease:
        controller = Controller(place, lease)
        n_orphans = controller.end_orphans()
        if n_orphans:
            _logger.warning("event=orphans_ended n_processes=%d", n_orphans)
        _refuse_bare_snakemake(folder)
        yield controller


def _log_wait(holder: Record) -> None:
    if not holder.is_alive:
        process = holder.process
        _logger.info("event=controller_watched host=%s pid=%d", process.host, process.pid)


def _machine() -> str:
    """Name this machine as it runs since its last start, and where its process numbers count."""
    here = this_process()
    return f"{here.boot} {here.namespace}"


def _session(note: Path) -> list[psutil.Process]:
    """Find the processes of a noted Snakemake's session that live on this machine."""
    try:
        noted = json.loads(note.read_text(encoding="utf-8"))
        here = noted["machine"] == _machine()
        pid, started_at = int(noted["pid"]), float(noted["at"])
    except (OSError, ValueError, KeyError, TypeError):
        return []
    if not here:
        return []
    with suppress(psutil.NoSuchProcess):
        # The kernel gives a number away again only when nobody is left in its session.
        if psutil.Process(pid).create_time() != started_at:
            return []
    found = []
    for process in psutil.process_iter():
        with suppress(OSError, psutil.Error):
            if os.getsid(process.pid) == pid and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def _refuse_bare_snakemake(folder: Path) -> None:
    for process in psutil.process_iter():
        with suppress(OSError, psutil.Error):
            words = process.cmdline()
            is_snakemake = any(Path(word).name == "snakemake" for word in words[:3])
            if not is_snakemake or any(flag in words for flag in _OF_A_JOB):
                continue
            if Path(process.cwd()) == folder:
                raise SetupError(
                    f"{folder}: a Snakemake without organome run works here (pid {process.pid})"
                )

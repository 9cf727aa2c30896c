"""Cuts an attempt off before every single change of a file: cut_shard.py FOLDER BEGINNING.

For each number of changes there is a folder in FOLDER with what a second attempt made of it. An
attempt is a fork of this program, so that nothing needs to be imported again.
"""

import itertools
import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import pandas  # noqa: F401 pyarrow imports it with its first table, and so would every fork

from organome.domain.errors import ScanError
from organome.domain.outcomes import Reason
from organome.io.tables.ledgers import LEDGER, read_ledger
from organome.shards.packing import Packing
from organome.shards.run import run_shard
from organome.shards.work_folder import read_outcomes

sys.path.insert(0, str(Path(__file__).parents[1]))
from doubles.steps import CopyStep, make_scans

CHANGES = ("link", "mkdir", "rename", "replace", "rmdir", "unlink", "write")
BAD = ScanError(Reason.FILE_BROKEN, "broken on purpose")

LOOSE, PACKED = Packing("files.zip", wanted=False), Packing("files.zip", wanted=True)
CHANGED = {"0000-0001": "delivered again"}


@dataclass(frozen=True)
class Beginning:
    """What stands there before the attempt that is cut off, and what it finds changed.

    Attributes:
        published: Whether the shard was published before.
        packing: How the files are wanted.
        packing_before: How they were published.
        changes: Identities of scans that were delivered again.
    """

    published: bool
    packing: Packing | None = None
    packing_before: Packing | None = None
    changes: Mapping[str, str] = field(default_factory=dict)


BEGINNINGS = {
    "fresh": Beginning(published=False),
    "published": Beginning(published=True),
    "changed": Beginning(published=True, changes=CHANGED),
    "fresh_packed": Beginning(published=False, packing=PACKED),
    "changed_packed": Beginning(True, PACKED, PACKED, CHANGED),
    "to_packed": Beginning(published=True, packing=PACKED, packing_before=LOOSE),
    "to_loose": Beginning(published=True, packing=LOOSE, packing_before=PACKED),
}


def attempt(folder: Path, identities: Mapping[str, str], packing: Packing | None) -> list[str]:
    step = CopyStep(faults={"0000-0002": BAD}, identities=identities)
    run_shard(
        step,
        scans=make_scans(3),
        upstream=None,
        output=folder / "output",
        work=folder / "work",
        packing=packing,
    )
    return step.called


def cut_off_after(n_changes: int) -> None:
    """Let this process die at the next change of a file after so many."""
    counter = itertools.count(1)

    def counted(change: Callable[..., Any]) -> Callable[..., Any]:
        def change_or_die(*given: Any, **named: Any) -> Any:
            if next(counter) > n_changes:
                os._exit(9)
            return change(*given, **named)

        return change_or_die

    for name in CHANGES:
        setattr(os, name, counted(getattr(os, name)))


def in_fork(work: Callable[[], None]) -> int:
    pid = os.fork()
    if not pid:
        run_and_exit(work)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def run_and_exit(work: Callable[[], None]) -> NoReturn:
    try:
        work()
    except BaseException:
        sys.excepthook(*sys.exc_info())
        os._exit(1)
    os._exit(0)


def cut_once(folder: Path, beginning: str, n_changes: int) -> bool:
    """Cut an attempt off and bring the shard to its end; say whether it was cut at all."""
    start = BEGINNINGS[beginning]
    work, output = folder / "work", folder / "output"
    if start.published:
        assert in_fork(lambda: print(attempt(folder, {}, start.packing_before))) == 0
    before = read_outcomes(work, output)

    def first() -> None:
        cut_off_after(n_changes)
        attempt(folder, start.changes, start.packing)

    code = in_fork(first)
    assert code in (0, 9)
    known = [*before.values(), *read_outcomes(work, output).values()]

    def second() -> None:
        called = attempt(folder, start.changes, start.packing)
        at_last = read_ledger(output / LEDGER)
        finished = {one.scan for one, _ in known if one == at_last[one.scan]}
        seen = {"finished": sorted(finished), "called": called}
        (folder / "seen.json").write_text(json.dumps(seen))

    assert in_fork(second) == 0
    return code == 9


if __name__ == "__main__":
    for n_changes in itertools.count():
        folder = Path(sys.argv[1]) / f"{n_changes:04d}"
        folder.mkdir(parents=True)
        if not cut_once(folder, sys.argv[2], n_changes):
            break

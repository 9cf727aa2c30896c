"""What must hold of a run when it is through, whatever happened to it."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from campaigns.cohorts import ListedCohort
from campaigns.runs import CampaignRun

_N_STARTS: Final = 5
_WITHIN_S: Final = 900.0  # two leases may have to stand still for two minutes each
# Where a participant may stand by name, besides the sample sheet and the tables.
_SILENT: Final = ("logs", "work", ".snakemake")


def come_to_an_end(run: CampaignRun) -> list[int]:
    """Start a run, as often as somebody would, until it ends well.

    Returns:
        Exit codes.

    Raises:
        TimeoutError: It does not end.
    """
    codes: list[int] = []
    while len(codes) < _N_STARTS and codes[-1:] != [0]:
        if run.exit_code() is not None:
            run.start()
        codes.append(run.wait(within_s=_WITHIN_S))
    return codes


def broken_promises(run: CampaignRun, cohort: ListedCohort, *, redone: bool) -> list[str]:
    """Compare a run that is through with what was promised.

    Args:
        run: The run.
        cohort: The cohort that it began with.
        redone: Whether finished scans may have been done again, since files were damaged.
    """
    broken = []
    if differing := _differences(run.tables(), cohort.tables):
        broken.append(f"tables differ: {', '.join(differing)}")
    if not redone and (twice := run.done_twice()):
        broken.append(f"finished twice: {', '.join(twice)}")
    if left := run.left_running():
        broken.append(f"left running: {left[0][:200]}")
    if named := naming(run.folder, cohort.participants):
        broken.append(f"participants named in {', '.join(named)}")
    return broken


def naming(folder: Path, participants: Iterable[str]) -> list[str]:
    """Return the files of logs and work that name a participant, in their content or their name."""
    words = [participant.encode() for participant in participants]
    found = []
    for path in sorted(path for top in _SILENT for path in (folder / top).rglob("*")):
        content = path.read_bytes() if path.is_file() else b""
        name = str(path.relative_to(folder))
        if any(word in content or word in name.encode() for word in words):
            found.append(name)
    return found


def _differences(tables: Mapping[str, bytes], expected: Mapping[str, bytes]) -> list[str]:
    names = sorted(tables.keys() | expected.keys())
    return [name for name in names if tables.get(name) != expected.get(name)]

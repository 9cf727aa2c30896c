"""retry: have scans done again that failed, or of which somebody wants to see it once more.

Their outcomes are taken out of the journals, and the ledgers of their shards removed, so that
the workflow asks for these shards again. All other scans in them are kept as they are.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from organome.domain.errors import SetupError
from organome.domain.outcomes import Outcome, Reason, Status
from organome.domain.scans import Scan
from organome.domain.wording import counted
from organome.io.runs import Run, open_run
from organome.io.tables.scan_lists import listed_shards, read_shard
from organome.shards.work_folder import forget_outcomes, read_outcomes
from organome.steps.upkeep.alone import alone

Step = Literal[
    "prepare_images", "segment_organs", "measure_volumes", "measure_radiomics", "draw_pictures"
]
_STEPS: Final[tuple[Step, ...]] = (
    *("prepare_images", "segment_organs", "measure_volumes"),
    *("measure_radiomics", "draw_pictures"),
)
_AFTER: Final = "evaluate_labels"


@dataclass(frozen=True, slots=True)
class RetrySummary:
    """What will be done again.

    Attributes:
        n_shards: Shards that the workflow is going to ask for again.
        n_by: Scans by the step that does them again, and the reason they had; None: were done.
    """

    n_shards: int
    n_by: Mapping[tuple[str, Reason | None], int]

    def __str__(self) -> str:
        """Write it as plain text, a line for each step and reason."""
        n_scans = sum(self.n_by.values())
        lines = [
            f"{counted(n_scans, 'scan')} in {counted(self.n_shards, 'shard')} will be done again by"
            " the next `organome run`"
        ]
        lines += [f"{step}: {n} {reason or 'done'}" for (step, reason), n in self.n_by.items()]
        return "\n".join(lines)


def run(
    run_folder: Path,
    /,
    *,
    reason: Sequence[Reason] = (),
    participant: Sequence[str] = (),
    scan: Sequence[str] = (),
    step: Step | None = None,
) -> RetrySummary:
    """Have scans done again by the next run: those that all flags together choose.

    A scan that failed is done again from the step on in which it failed, one that was done from the
    first. Steps after it are done again where another result comes out.

    Args:
        run_folder: Run folder.
        reason: Scans that failed for one of these reasons.
        participant: Scans of these participants, failed or done.
        scan: Scans with these keys, failed or done.
        step: Only what was decided in this step; of scans that were done, from this step on.

    Raises:
        SetupError: Nothing is chosen, somebody named is not listed, or something works on the run.
    """
    if not (reason or participant or scan):
        raise SetupError("name what is to be done again: --reason, --participant or --scan")
    place = open_run(run_folder)
    with alone(place):
        shards = {path.stem: read_shard(path) for _, path in listed_shards(place.scans)}
        _check_listed([one for listed in shards.values() for one in listed], participant, scan)
        n_by: Counter[tuple[str, Reason | None]] = Counter()
        n_shards = 0
        for shard, listed in shards.items():
            chosen = [
                one
                for one in listed
                if (not participant or one.participant in participant)
                and (not scan or one.scan in scan)
            ]
            found = list(_found(place, shard, chosen, reason, step)) if chosen else []
            if found:
                n_shards += 1
                n_by.update((begin, why) for begin, _, why in found)
                _forget(place, shard, found)
        return RetrySummary(n_shards, dict(sorted(n_by.items(), key=lambda one: -one[1])))


def _check_listed(
    listed: Sequence[Scan], participants: Sequence[str], scans: Sequence[str]
) -> None:
    for flag, named, known in (
        ("--participant", participants, {one.participant for one in listed}),
        ("--scan", scans, {one.scan for one in listed}),
    ):
        if n := len(set(named) - known):
            raise SetupError(f"{flag}: {n} of {len(set(named))} not listed; leading zeros count")


def _found(
    place: Run, shard: str, chosen: Sequence[Scan], reasons: Collection[Reason], step: Step | None
) -> Iterator[tuple[str, str, Reason | None]]:
    """Yield step, key and reason of what is to be done again in a shard."""
    decided = {one: _outcomes(place, one, shard) for one in _STEPS}
    for scan in chosen:
        outcomes = [of_step[scan.scan] for of_step in decided.values() if scan.scan in of_step]
        failed = next((one for one in outcomes if one.status is Status.FAILED), None)
        if failed is not None:
            if (not reasons or failed.reason in reasons) and step in (None, failed.step):
                yield failed.step, scan.scan, failed.reason
        elif outcomes and not reasons:
            yield step or _STEPS[0], scan.scan, None


def _outcomes(place: Run, step: str, shard: str) -> dict[str, Outcome]:
    found = read_outcomes(place.work / step / shard, place.results / step / shard)
    return {scan: outcome for scan, (outcome, _) in found.items()}


def _forget(place: Run, shard: str, found: Sequence[tuple[str, str, Reason | None]]) -> None:
    """Forget outcomes of a shard, the first step first, and what hangs on them.

    Of later steps the ledgers go, too: Snakemake does not miss what lies between. What was done is
    forgotten in each step.
    """
    for place_of, step in enumerate((*_STEPS, _AFTER)):
        before = (*_STEPS, _AFTER)[: place_of + 1]
        theirs = {
            key for begin, key, why in found if begin == step or (why is None and begin in before)
        }
        if any(begin in before for begin, _, _ in found):
            forget_outcomes(place.work / step / shard, place.results / step / shard, theirs)

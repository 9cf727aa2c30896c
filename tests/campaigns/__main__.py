"""Kill and damage whole runs of small cohorts, with a model, and compare what comes of them.

    python -m campaigns --kills 300 --damages 60 --seed 1      (from tests/)

A cohort of kills is killed fifteen times; one of damages is cut off six times, and three files are
damaged each time, one of each way. Then it must come to its end with the tables of an undisturbed
run. The seed of a cohort decides what is done to it, though not at which instruction:
`--seed S --kills 15 --damages 0` does what was done to the cohort of kills with the seed S.
"""

import argparse
import json
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from campaigns.cohorts import ListedCohort, make_listed
from campaigns.damage import DAMAGES, damage_one
from campaigns.kills import Killer
from campaigns.promises import broken_promises, come_to_an_end
from campaigns.runs import CampaignRun

KILLS_A_COHORT: Final = 15
CUTS_A_COHORT: Final = 6
_ONE_IN: Final = 4  # so many cohorts is one of phantoms
_SCANS_BEFORE_CUT: Final = (1, 9)  # of the 36 to 40 scans of all steps
_PAUSE_S: Final = 1.0  # at most, from the last of these scans to the cut
_LEG_S: Final = 600.0  # nothing takes so long


@dataclass
class Result:
    """What was done to one cohort, and what came of it.

    Attributes:
        what: ``kills`` or ``damages``.
        kind: The kind of cohort.
        seed: Decides what was done.
        done: Kills or damages by kind.
        exit_codes: How controllers ended.
        broken: Promises that did not hold.
        notes: What was done in order, for whoever looks into it.
        wall_s: Seconds it took.
    """

    what: str
    kind: str
    seed: int
    done: Counter[str] = field(default_factory=Counter)
    exit_codes: Counter[int] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    wall_s: float = 0.0

    @property
    def again(self) -> str:
        """The command that does it again."""
        n_kills, n_damages = (KILLS_A_COHORT, 0) if self.what == "kills" else (0, CUTS_A_COHORT)
        return f"python -m campaigns --seed {self.seed} --kills {n_kills} --damages {n_damages}"


def kill_cohort(run: CampaignRun, cohort: ListedCohort, result: Result) -> None:
    """Kill a run again and again, then have it come to its end."""
    killer = Killer(run, seed=result.seed)
    result.done, result.exit_codes = killer.kills, killer.exit_codes
    if killer.kill(KILLS_A_COHORT):
        _end(run, result)
    result.broken += broken_promises(run, cohort, redone=False)


def damage_cohort(run: CampaignRun, cohort: ListedCohort, result: Result) -> None:
    """Cut a run off and damage files, again and again; after the end take the tables away, too."""
    chance = random.Random(result.seed)
    for _ in range(CUTS_A_COHORT):
        run.start()
        # By scans, not by time: damage is to meet all stages, however slow the machine is.
        n_wanted = run.n_done() + chance.randint(*_SCANS_BEFORE_CUT)
        end_s = time.monotonic() + _LEG_S
        while run.exit_code() is None and run.n_done() < n_wanted:
            if time.monotonic() > end_s:
                raise TimeoutError(f"no {n_wanted} scans after {_LEG_S:.0f} s")
            time.sleep(0.05)
        time.sleep(chance.uniform(0, _PAUSE_S))
        code = run.exit_code()
        if code is not None:
            result.exit_codes[code] += 1
        run.end_all()
        for damage in chance.sample(sorted(DAMAGES), len(DAMAGES)):
            planted = damage_one(run.folder, damage=damage, chance=chance)
            if planted is not None:
                kind, path = planted
                result.done[f"{damage} of {kind}"] += 1
                result.notes.append(f"{damage} of {path}{' at the end' if code == 0 else ''}")
        if code == 0:  # otherwise nobody would read them again
            _forget_tables(run.folder)
    run.start()
    _end(run, result)
    result.broken += broken_promises(run, cohort, redone=True)


def _forget_tables(folder: Path) -> None:
    (folder / "results" / "tables" / "dictionary.json").unlink(missing_ok=True)


def _end(run: CampaignRun, result: Result) -> None:
    codes = come_to_an_end(run)
    result.exit_codes.update(codes)
    if codes[-1] != 0:
        last = run.output.strip().splitlines()[-1:]
        result.broken.append(f"does not come to its end: exit codes {codes}; {''.join(last)[:300]}")


DO: Final[Mapping[str, Callable[[CampaignRun, ListedCohort, Result], None]]] = {
    "kills": kill_cohort,
    "damages": damage_cohort,
}


class Campaign:
    """Cohorts one after the other, until the numbers are reached or the time is over."""

    def __init__(self, folder: Path, *, seed: int, until_s: float, keep: bool) -> None:
        self.results: list[Result] = []
        self._folder = folder
        self._seed = seed
        self._until_s = until_s
        self._keep = keep
        self._listed: dict[str, ListedCohort] = {}
        self._making = threading.Lock()
        self._n_started: Counter[str] = Counter()
        self._lock = threading.Lock()

    def work(self, wanted: Mapping[str, int]) -> None:
        """Do cohorts as long as there is something to do; several threads may do so.

        Args:
            wanted: Kills and damages.
        """
        while (result := self._next(wanted)) is not None:
            self._do(result)
            with self._lock:
                self.results.append(result)
                _print_result(result)

    def n_done(self, what: str) -> int:
        """Count the kills or damages so far."""
        return sum(one.done.total() for one in self.results if one.what == what)

    def _next(self, wanted: Mapping[str, int]) -> Result | None:
        with self._lock:
            if time.monotonic() > self._until_s:
                return None
            open_ = [what for what, n in wanted.items() if self.n_done(what) < n]
            if not open_:
                return None
            # In turns, so that a campaign that is cut short has done some of each.
            what = min(open_, key=lambda one: self.n_done(one) / wanted[one])
            seed = self._seed + self._n_started[what]
            self._n_started[what] += 1
            return Result(what, "phantom" if seed % _ONE_IN == 0 else "tiny", seed)

    def _cohort(self, kind: str) -> ListedCohort:
        """Make a kind of cohort, and run it undisturbed, when it is first needed."""
        with self._making:
            if kind not in self._listed:
                self._listed[kind] = make_listed(kind, self._folder / kind)
            return self._listed[kind]

    def _do(self, result: Result) -> None:
        cohort = self._cohort(result.kind)
        began_s = time.monotonic()
        place = self._folder / f"{result.what}_{result.seed}"
        run = cohort.copy(place)
        try:
            DO[result.what](run, cohort, result)
        except TimeoutError as stuck:
            result.broken.append(f"stuck: {stuck}")
        finally:
            run.end_all()
        result.wall_s = time.monotonic() - began_s
        if not (self._keep and result.broken):
            run.remove()


def _print_result(result: Result) -> None:
    state = "; ".join(result.broken) or "sound"
    name = f"{result.what} of {result.kind}, seed {result.seed}"
    print(f"{name:<32} {result.done.total():3} in {result.wall_s:4.0f} s  {state}", flush=True)
    if result.broken:
        for note in result.notes:
            print(f"    {note}")
        print(f"    again: {result.again}", flush=True)


def _print_table(results: Sequence[Result], what: str) -> None:
    chosen = [one for one in results if one.what == what]
    done = sum((one.done for one in chosen), Counter[str]())
    print(f"\n{what:<28}{'n':>5}")
    for name, n in sorted(done.items()):
        print(f"  {name:<26}{n:>5}")
    print(f"  {'all':<26}{done.total():>5}  in {len(chosen)} cohorts")


def main() -> None:
    """Run a campaign."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--damages", type=int, default=60, help="of each kind: flip, cut, blank")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=90, help="no cohort begins after that")
    parser.add_argument("--side-by-side", type=int, default=2, help="cohorts at the same time")
    parser.add_argument("--keep", type=Path, help="new folder for cohorts with a broken promise")
    given = parser.parse_args()
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as text:
        folder = (given.keep or Path(text)).resolve()
        campaign = Campaign(
            folder,
            seed=given.seed,
            until_s=began_s + 60 * given.minutes,
            keep=given.keep is not None,
        )
        wanted = {"kills": given.kills, "damages": len(DAMAGES) * given.damages}
        with ThreadPoolExecutor(given.side_by_side) as threads:
            working = [threads.submit(campaign.work, wanted) for _ in range(given.side_by_side)]
        for thread in working:
            thread.result()
    for what in wanted:
        _print_table(campaign.results, what)
    broken = [result for result in campaign.results if result.broken]
    for one in broken:
        print(f"BROKEN: {one.what} of {one.kind}, seed {one.seed}: {'; '.join(one.broken)}")
    exit_codes = sum((one.exit_codes for one in campaign.results), Counter[int]())
    short = {what: campaign.n_done(what) for what in wanted if campaign.n_done(what) < wanted[what]}
    figures = {
        "seed": given.seed,
        "wall_s": round(time.monotonic() - began_s),
        "n_cohorts": len(campaign.results),
        "n_kills": campaign.n_done("kills"),
        "n_damages": campaign.n_done("damages"),
        "controllers_by_exit_code": {str(code): n for code, n in sorted(exit_codes.items())},
        "n_cohorts_broken": len(broken),
        "cut_short": short,
    }
    print(json.dumps(figures))
    sys.exit(3 if broken or short else 0)


if __name__ == "__main__":
    main()

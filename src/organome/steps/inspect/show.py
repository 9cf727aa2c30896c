"""show: the history of one scan, by its key; names no participant and no path of the delivery."""

import json as json_format
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from organome.domain.errors import SetupError
from organome.domain.job_requests import SIDE_STEPS
from organome.domain.outcomes import Attempt, Outcome
from organome.domain.scans import Scan
from organome.domain.tables import ORGAN_ROWS, SCANS
from organome.io.runs import Run, open_run
from organome.io.tables.scan_lists import read_shard, shard_path
from organome.shards.work_folder import read_outcomes
from organome.steps.inspect.decisions import SCAN_STEPS

_KEY: Final = re.compile(r"(\d{4,})-(\d{4,})")
_STEPS: Final = (*SCAN_STEPS, *SIDE_STEPS, "evaluate_labels")
_IN_TABLES: Final = ("status", "reason", "failed_step", "fact", "flags", "model_name", "quality")
_MAX_LINES: Final = 40


@dataclass(frozen=True, slots=True)
class StepHistory:
    """What a step decided of the scan.

    Attributes:
        step: The step.
        outcome: What it decided; a failure of a step before is passed on.
        attempt: How that came about.
    """

    step: str
    outcome: Outcome
    attempt: Attempt


@dataclass(frozen=True, slots=True)
class ScanHistory:
    """All that a run knows of one scan.

    Attributes:
        scan: Its key.
        listed: What it is, as listed, and how many files it has of each contrast.
        steps: What each step decided.
        log: What jobs logged of it: step and line, the latest attempt of each step.
        table: Its row in the table of scans, what says how it fared; None: it has none.
        organs: How many organs have a volume, and how many lack one by reason.
    """

    scan: str
    listed: Mapping[str, str | int | None]
    steps: tuple[StepHistory, ...]
    log: tuple[tuple[str, str], ...]
    table: Mapping[str, Any] | None
    organs: Mapping[str, int]

    def __str__(self) -> str:
        """Write it as plain text."""
        return "\n".join(_lines(self))


def run(scan: str, run_folder: Path = Path(), /, *, json: bool = False) -> ScanHistory | str:
    """Show the history of a scan: how it was listed, what each step decided, when, where, how long.

    Args:
        scan: Its key, as logs and tables have it: 0003-0017.
        run_folder: Run folder; where you stand, if not named.
        json: Print it as JSON, with all facts.

    Raises:
        SetupError: It is not a run folder, or no such scan is listed.
    """
    place = open_run(run_folder)
    listed = listed_scan(place, scan)
    shard = scan.partition("-")[0]
    history = ScanHistory(
        scan=scan,
        listed=_described(listed),
        steps=tuple(_decided(place, shard, scan)),
        log=tuple(_logged(place, shard, scan))[-_MAX_LINES:],
        table=_table_row(place, scan),
        organs=_organs(place, scan),
    )
    return json_format.dumps(asdict(history), indent=1, default=dict) if json else history


def listed_scan(place: Run, scan: str) -> Scan:
    """Find a scan in the list of its shard.

    Raises:
        SetupError: It is not the key of a scan that is listed.
    """
    found = _KEY.fullmatch(scan)
    path = shard_path(place.scans, int(found[1])) if found else place.scans
    if found is None or not path.is_file():
        hint = "a key is shard and place: 0003-0017" if found is None else "no such shard is listed"
        raise SetupError(f"that is not the key of a scan of {place.folder}: {hint}")
    for one in read_shard(path):
        if one.scan == scan:
            return one
    raise SetupError(f"{scan}: not in the list of its shard; withdrawn scans are not, either")


def _described(scan: Scan) -> dict[str, str | int | None]:
    by_contrast: dict[str, str | int | None] = {}
    for source in scan.sources:
        name = f"files: {source.contrast or 'by their headers'}"
        by_contrast[name] = int(by_contrast.get(name) or 0) + 1
    return {
        "cohort": scan.cohort,
        "protocol": scan.protocol,
        "instance": scan.instance,
        "array": scan.array,
        "station": scan.station,
        "labelmap": None if scan.labelmap is None else "given",
        "flags": ";".join(scan.flags) or None,
        **by_contrast,
    }


def _decided(place: Run, shard: str, scan: str) -> Iterator[StepHistory]:
    for step in _STEPS:
        found = read_outcomes(place.work / step / shard, place.results / step / shard)
        if scan in found:
            yield StepHistory(step, *found[scan])


def _logged(place: Run, shard: str, scan: str) -> Iterator[tuple[str, str]]:
    wanted = re.compile(rf"\b{scan}\b")
    for step in _STEPS:
        path = place.folder / "logs" / step / f"{shard}.log"
        if path.is_file():
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
                if wanted.search(line):
                    yield step, line


def _table_row(place: Run, scan: str) -> dict[str, Any] | None:
    rows = _rows(place, SCANS.name, scan)
    return {name: rows[0][name] for name in _IN_TABLES if name in rows[0]} if rows else None


def _organs(place: Run, scan: str) -> dict[str, int]:
    counts: dict[str, int] = {}
    for row in _rows(place, ORGAN_ROWS.name, scan):
        what = row["na_reason"] or "with a volume"
        counts[what] = counts.get(what, 0) + 1
    return dict(sorted(counts.items(), key=lambda one: -one[1]))


def _rows(place: Run, table: str, scan: str) -> list[dict[str, Any]]:
    folder = place.tables / table
    if not any(folder.glob("*.parquet")):
        return []
    import pyarrow.dataset as ds  # here: pandas comes with it

    found: list[dict[str, Any]] = (
        ds.dataset(folder, format="parquet").to_table(filter=ds.field("scan") == scan).to_pylist()
    )
    return found


def _lines(history: ScanHistory) -> Iterator[str]:
    yield f"scan {history.scan}"
    named = (f"{name} {value}" for name, value in history.listed.items() if value is not None)
    yield f"listed: {', '.join(named)}"
    for one in history.steps:
        outcome, attempt = one.outcome, one.attempt
        is_before = outcome.step != one.step
        where = f" (in {outcome.step})" if is_before else ""
        yield f"{one.step}: {outcome.status}{where}" + (
            f", {outcome.reason}: {outcome.fact}" if outcome.reason else ""
        )
        if attempt.finished_at:
            lean = ", alone and with the least memory" if attempt.lean else ""
            yield f"  {attempt.finished_at} on {attempt.host}, {attempt.elapsed_s:.1f} s{lean}"
        yield from (f"  {name}, {n_bytes} bytes" for name, n_bytes in attempt.files.items())
        yield f"  fingerprint {outcome.fingerprint[:16]}"
    if not history.steps:
        yield "no step has decided it yet"
    if history.table is not None:
        named = (f"{name} {value}" for name, value in history.table.items() if value is not None)
        yield f"in the tables: {', '.join(named)}"
        yield f"organs: {', '.join(f'{n} {what}' for what, n in history.organs.items())}"
    for step, line in history.log:
        yield f"log of {step}: {line}"

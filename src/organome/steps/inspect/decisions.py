"""What the steps of a run have decided: ledgers of published shards, journals of the others."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from organome.domain.errors import SetupError
from organome.domain.job_requests import SIDE_STEPS, wanted_side_steps
from organome.domain.outcomes import Reason, Status
from organome.io.runs import Run
from organome.io.tables.ledgers import LEDGER, read_columns
from organome.io.tables.parquet import count_rows
from organome.shards.work_folder import read_outcomes

_logger = logging.getLogger(__name__)

SCAN_STEPS: Final = ("prepare_images", "segment_organs", "measure_volumes")
_COLUMNS: Final = ("scan", "step", "status", "reason", "elapsed_s", "finished_at")


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of one scan in a step.

    Attributes:
        step: The step that decided; one before, if the scan had failed there.
        status: Done or failed.
        reason: Why it failed.
        elapsed_s: Seconds that it took.
        finished_at: When, ISO 8601 in UTC; empty if that is not known.
        scan: Key of the scan.
    """

    step: str
    status: Status
    reason: Reason | None
    elapsed_s: float
    finished_at: str
    scan: str = ""


def _decided(row: Mapping[str, Any]) -> Decision:
    return Decision(
        step=row["step"],
        status=Status(row["status"]),
        reason=None if row["reason"] is None else Reason(row["reason"]),
        elapsed_s=row["elapsed_s"],
        finished_at=row["finished_at"] or "",
        scan=row["scan"],
    )


def listed_scans(run: Run) -> dict[str, int]:
    """Count the scans of each listed shard.

    Raises:
        SetupError: A list is damaged.
    """
    return {path.stem: count_rows(path) for path in sorted(run.scans.glob("[0-9]*.parquet"))}


def side_steps(run: Run) -> list[str]:
    """List the steps beside the pipeline that a run wants.

    Where its configuration cannot be read, or lies elsewhere: those that it has begun.
    """
    with suppress(SetupError):
        return wanted_side_steps(run.config())
    places = (run.results, run.work)
    return [step for step in SIDE_STEPS if any((place / step).exists() for place in places)]


def decisions(run: Run, step: str, shard: str) -> Iterator[Decision]:
    """Read what a step decided in one shard: the ledger once published, else journals."""
    output, work = run.results / step / shard, run.work / step / shard
    if (output / LEDGER).is_file():
        try:
            ledger = read_columns(output / LEDGER, _COLUMNS)
        except SetupError as error:
            _logger.warning("%s; its scans are counted by the journals", error)
        else:
            yield from map(_decided, ledger.to_pylist())
            return
    for outcome, attempt in read_outcomes(work, output).values():
        yield Decision(
            step=outcome.step,
            status=outcome.status,
            reason=outcome.reason,
            elapsed_s=attempt.elapsed_s,
            finished_at=attempt.finished_at,
            scan=outcome.scan,
        )

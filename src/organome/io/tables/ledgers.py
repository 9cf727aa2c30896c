"""The ledger of a shard: one Parquet row per scan, done or failed with a reason."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from organome.domain.errors import MachineFault, SetupError
from organome.domain.fingerprints import canonical_json
from organome.domain.outcomes import Attempt, Outcome, Reason, Status
from organome.io.files import published
from organome.io.files.atomic import atomic_path
from organome.io.tables.parquet import parse_table

LEDGER: Final = published.LEDGER
_SETTINGS: Final = b"organome.settings"
_SETTINGS_BEFORE: Final = b"organome.settings_before"

# Equal in every run of the same scans with the same settings.
REPRODUCIBLE_COLUMNS: Final = (
    "scan",
    "step",
    "status",
    "reason",
    "fact",
    "fingerprint",
    "facts",
    "files",
)

SCHEMA: Final = pa.schema(
    [
        pa.field("scan", pa.string(), nullable=False),
        pa.field("step", pa.string(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("reason", pa.string()),
        pa.field("fact", pa.string()),
        pa.field("fingerprint", pa.string(), nullable=False),
        pa.field("facts", pa.string(), nullable=False),
        pa.field("files", pa.list_(pa.string()), nullable=False),
        pa.field("elapsed_s", pa.float64(), nullable=False),
        pa.field("host", pa.string(), nullable=False),
        pa.field("attempt", pa.string(), nullable=False),
        pa.field("finished_at", pa.string(), nullable=False),
        pa.field("lean", pa.bool_(), nullable=False),
    ]
)


def write_ledger(
    path: Path,
    outcomes: Sequence[Outcome],
    attempts: Mapping[str, Attempt] | None = None,
    *,
    settings: str = "",
    settings_before: Mapping[str, str] | None = None,
) -> None:
    """Write the ledger of a shard, whole or not at all.

    Args:
        path: Where, usually ``ledger.parquet`` in the step's folder.
        outcomes: One per scan, in the order of the shard's list.
        attempts: How each came about, by scan key; absent ones get empty columns.
        settings: Digest of all that the step was asked for, kept in the metadata of the file.
        settings_before: The same of the steps whose results it read, by step; their own ledgers may
            be rewritten while this one stays as it is.
    """
    metadata = {_SETTINGS: settings}
    if settings_before:
        metadata[_SETTINGS_BEFORE] = canonical_json(dict(settings_before))
    rows = [_row(outcome, (attempts or {}).get(outcome.scan, Attempt())) for outcome in outcomes]
    with atomic_path(path) as temporary:
        pq.write_table(
            pa.Table.from_pylist(rows, schema=SCHEMA.with_metadata(metadata)),
            temporary,
            compression="zstd",
            write_page_checksum=True,
        )


def read_ledger(path: Path) -> dict[str, Outcome]:
    """Read the outcomes of a shard by scan key, in the order of the shard's list.

    A ledger that is cut short or damaged is removed, so that the workflow asks for it again; its
    step then writes it from the journal that lies beside it.

    Raises:
        MachineFault: If the ledger is missing or damaged: the step before has to do this shard.
    """
    if not path.is_file():
        raise MachineFault(
            f"{path}: no ledger, the step before has not been through this shard", is_local=False
        )
    try:
        table = parse_table(path, columns=REPRODUCIBLE_COLUMNS[:-1])
        return {row["scan"]: _outcome(row) for row in table.to_pylist()}
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise published.ask_again(path) from error


def read_columns(path: Path, columns: Sequence[str]) -> pa.Table:
    """Read some columns of a ledger, and leave it in its place whatever it is like.

    Raises:
        SetupError: It is damaged.
    """
    try:
        return parse_table(path, columns=columns)
    except (OSError, pa.ArrowInvalid) as error:
        if isinstance(error, OSError) and error.errno is not None:  # of the machine
            raise
        raise SetupError(
            f"{path}: cannot be read ({error}); remove it, and the next run makes it again from the"
            " journal beside it"
        ) from error


def settings_of(ledger: pa.Table | pa.Schema) -> str:
    """Return the digest of the settings by which the step made a ledger; empty where not stated."""
    return _metadata(ledger).get(_SETTINGS, b"").decode()


def settings_before(ledger: pa.Table | pa.Schema) -> dict[str, str]:
    """Return the digests of the settings of the steps before, as the step found them, by step."""
    noted: dict[str, str] = json.loads(_metadata(ledger).get(_SETTINGS_BEFORE, b"{}"))
    return noted


def _metadata(ledger: pa.Table | pa.Schema) -> dict[bytes, bytes]:
    schema = ledger if isinstance(ledger, pa.Schema) else ledger.schema
    return schema.metadata or {}


def _row(outcome: Outcome, attempt: Attempt) -> dict[str, object]:
    return {
        **{name: getattr(outcome, name) for name in REPRODUCIBLE_COLUMNS[:-2]},
        **asdict(attempt),
        "facts": canonical_json(dict(outcome.facts)),
        "files": list(attempt.files),
    }


def _outcome(row: Mapping[str, str]) -> Outcome:
    parts = {
        "status": Status(row["status"]),
        "reason": None if row["reason"] is None else Reason(row["reason"]),
        "facts": json.loads(row["facts"]),
    }
    return Outcome(**{**row, **parts})

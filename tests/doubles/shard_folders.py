"""A shard whose scans are done in worker processes, and what it publishes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from doubles.steps import CopyStep
from organome.domain.outcomes import Outcome
from organome.domain.scans import Scan
from organome.io.tables.ledgers import LEDGER, REPRODUCIBLE_COLUMNS
from organome.shards.run import run_shard
from organome.shards.work_folder import read_outcomes


class Shard:
    """Folders of one shard, whose scans are done in processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.output = folder / "results" / "0000"
        self.work = folder / "work" / "0000"

    def run(
        self, step: CopyStep, scans: Sequence[Scan], *, n: int = 2, **more: Any
    ) -> tuple[Outcome, ...]:
        given = {"upstream": None, "output": self.output, "work": self.work, **more}
        return run_shard(step, scans=scans, workers=[step] * n, **given)

    def journaled(self) -> set[str]:
        return set(read_outcomes(self.work, self.output))

    def column(self, name: str) -> list[Any]:
        return list(pq.read_table(self.output / LEDGER)[name].to_pylist())

    def contents(self) -> dict[str, bytes]:
        """All that was published, but for what tells attempts apart."""
        files = {path.name: path.read_bytes() for path in self.output.iterdir()}
        ledger = pq.read_table(self.output / LEDGER, columns=list(REPRODUCIBLE_COLUMNS))
        files[LEDGER] = str(ledger.to_pylist()).encode()
        del files["journal.jsonl"]
        return files

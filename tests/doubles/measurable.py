"""A shard of small scans, as the steps before measuring would have left it."""

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from organome.domain.outcomes import Outcome, Status
from organome.domain.scans import Scan
from organome.io.tables.ledgers import LEDGER, write_ledger
from organome.io.tables.scan_lists import write_shard


class MeasurableShard:
    """Its list and its outcomes; who derives from it writes images and labelmaps."""

    def __init__(
        self, folder: Path, facts: Mapping[str, Mapping[str, Any]], *, n_scans: int
    ) -> None:
        self.folder = folder
        self._facts = facts  # by step
        self.scans = [
            Scan(
                scan=f"0000-{place:04d}",
                cohort="demo",
                participant=f"00{place}",
                instance="2",
                array="0",
                protocol="dixon",
                sources=(),
            )
            for place in range(n_scans)
        ]
        write_shard(self.listing, self.scans)
        self.prepared = {scan.scan: self.outcome(scan, "prepare_images") for scan in self.scans}
        self.labelled = {scan.scan: self.outcome(scan, "segment_organs") for scan in self.scans}

    @property
    def listing(self) -> Path:
        return self.folder / "scans" / "0000.parquet"

    @property
    def images(self) -> Path:
        return self.folder / "results" / "prepare_images" / "0000"

    @property
    def labelmaps(self) -> Path:
        return self.folder / "results" / "segment_organs" / "0000"

    def outcome(self, scan: Scan, step: str) -> Outcome:
        facts = deepcopy(self._facts[step])  # tests change them
        return Outcome(scan.scan, step, Status.DONE, f"{step} 1", facts=facts)

    def write_ledgers(self) -> None:
        write_ledger(self.images / LEDGER, [*self.prepared.values()])
        write_ledger(self.labelmaps / LEDGER, [*self.labelled.values()])

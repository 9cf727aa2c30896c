"""Measured shards without images: what measure_volumes publishes, from made-up outcomes."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from organome.compute.labelmaps.volumes import OrganMeasure
from organome.domain.outcomes import Outcome, Reason, Status
from organome.domain.scans import Scan, scan_key
from organome.domain.tables import ORGAN_ROWS, SCANS
from organome.io.tables.ledgers import LEDGER, write_ledger
from organome.io.tables.parquet import rows_to_arrow, write_table
from organome.steps.measure.table_rows import organ_facts, organ_rows, scan_row


def scan_of(participant: str, instance: str = "2", **values: Any) -> Scan:
    return replace(
        Scan(
            scan="",
            cohort="demo",
            participant=participant,
            instance=instance,
            array="0",
            protocol="dixon",
            sources=(),
        ),
        **values,
    )


def outcome_of(scan: Scan) -> Outcome:
    """Fail the participants whose pseudonym ends in 9, give the others a liver of their own."""
    if scan.participant.endswith("9"):
        return Outcome(
            scan=scan.scan,
            step="prepare_images",
            status=Status.FAILED,
            fingerprint="f",
            reason=Reason.STATION_MISSING,
            fact="5 of 6 stations",
        )
    liver = OrganMeasure(
        n_voxels=int(scan.participant) + 1,
        volume_observed_ml=float(scan.participant) + int(scan.instance) / 10 + 0.5,
        touches=(),
        centroid_xyz_mm=(0.0, 0.0, 0.0),
        n_pieces=1,
        largest_piece_share=1.0,
    )
    facts = json.loads(json.dumps({"organs": organ_facts({5: liver})}))
    return Outcome(
        scan=scan.scan, step="measure_volumes", status=Status.DONE, fingerprint="d", facts=facts
    )


def write_measured(folder: Path, scans: Sequence[Scan]) -> None:
    """Write the folder that measure_volumes publishes for a shard."""
    told = []
    for place, unnamed in enumerate(scans):
        scan = replace(unnamed, scan=scan_key(int(folder.name), place))
        labelled = Outcome(
            scan=scan.scan,
            step="segment_organs",
            status=Status.DONE,
            fingerprint="l",
            facts={"contrast": "water", "source": "model", "scheme": "mrsegmentator"},
        )
        told.append((scan, outcome_of(scan), (labelled,)))
    write_ledger(folder / LEDGER, [outcome for _, outcome, _ in told])
    write_table(folder / "scans.parquet", rows_to_arrow(SCANS, [scan_row(*one) for one in told]))
    rows = [row for one in told for row in organ_rows(*one)]
    write_table(folder / "organs.parquet", rows_to_arrow(ORGAN_ROWS, rows))


def cohort(folder: Path, shards: Sequence[Sequence[Scan]]) -> Path:
    """Write the shards of a cohort and the file that lists them."""
    for place, scans in enumerate(shards):
        write_measured(folder / f"{place:04d}", scans)
    listed = folder / "measured.txt"
    listed.write_text("".join(f"{folder / f'{place:04d}'}\n" for place in range(len(shards))))
    return listed

"""Measured shards without images: what measure_volumes publishes, from made-up outcomes."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from organome.compute.labelmaps.volumes import OrganMeasure
from organome.domain.outcomes import Outcome, Reason, Status
from organome.domain.rows import organ_rows, scan_row
from organome.domain.scans import Scan, scan_key
from organome.domain.tables import ORGAN_ROWS, SCANS
from organome.io.tables.ledgers import LEDGER, write_ledger
from organome.io.tables.parquet import rows_to_arrow, write_table
from organome.io.tables.scan_lists import write_shard
from organome.steps.measure.measure_volumes import organ_facts


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
    """Fail the participants whose pseudonym ends in 9, each other has a liver of its own size."""
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
        volume_observed_ml=1000 + float(scan.participant) + int(scan.instance) / 10 + 0.5,
        touches=(),
        face_distance_mm=40.0,
        centroid_xyz_mm=(0.0, 0.0, 0.0),
        n_pieces=1,
        largest_piece_share=1.0,
        heights_mm=(-50.0, 60.0),
    )
    facts = json.loads(json.dumps({"organs": organ_facts({5: liver})}))
    return Outcome(
        scan=scan.scan, step="measure_volumes", status=Status.DONE, fingerprint="d", facts=facts
    )


def write_measured(results: Path, scans: Sequence[Scan]) -> None:
    """Write what the steps publish for a shard, from its listed scans."""
    shard = scans[0].scan.split("-")[0]
    measured = []
    for scan in scans:
        labelled = Outcome(
            scan=scan.scan,
            step="segment_organs",
            status=Status.DONE,
            fingerprint="l",
            facts={"contrast": "water", "source": "model", "scheme": "mrsegmentator"},
        )
        outcome = outcome_of(scan)
        measured.append((scan, outcome, (labelled,)))
    for step in ("prepare_images", "segment_organs", "measure_volumes"):
        outcomes = [
            outcome
            if outcome.status is Status.FAILED or step == "measure_volumes"
            else replace(labelled, step=step)
            if step == "segment_organs"
            else replace(labelled, step=step, facts={"contrasts": ["water"], "height_m": 1.8})
            for _, outcome, (labelled,) in measured
        ]
        write_ledger(results / step / shard / LEDGER, outcomes)
    folder = results / "measure_volumes" / shard
    scan_rows = [scan_row(*one) for one in measured]
    write_table(folder / "scans.parquet", rows_to_arrow(SCANS, scan_rows))
    rows = [row for one in measured for row in organ_rows(*one)]
    write_table(folder / "organs.parquet", rows_to_arrow(ORGAN_ROWS, rows))


def cohort(folder: Path, shards: Sequence[Sequence[Scan]]) -> dict[str, Path]:
    """Write the lists and results of a cohort; return what collect-tables takes."""
    for number, unnamed in enumerate(shards):
        named = [replace(scan, scan=scan_key(number, place)) for place, scan in enumerate(unnamed)]
        write_shard(folder / "scans" / f"{number:04d}.parquet", named)
        write_measured(folder / "results", named)
    return {"scans": folder / "scans", "results": folder / "results"}

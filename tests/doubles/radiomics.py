"""Cohort tables with radiomics, from made-up numbers: one feature repeats, the other does not."""

from itertools import groupby
from pathlib import Path
from typing import Any, Final

import numpy as np

from organome.domain.outcomes import Outcome, Status
from organome.domain.radiomics_tables import radiomics_table
from organome.domain.rows import scan_key_values, scan_row
from organome.domain.scans import Scan
from organome.domain.tables import SCAN_KEY, SCANS
from organome.io.tables.ledgers import LEDGER, read_ledger, write_ledger
from organome.io.tables.parquet import read_table, rows_to_arrow, write_pieces, write_table

STEADY: Final = "original_firstorder_Mean"
NOISY: Final = "original_glcm_Contrast"


def radiomics_row(
    scan: Scan, *, steady: float, noisy: float | None, truncated: bool = False, **more: Any
) -> dict[str, Any]:
    """Make the row of one liver."""
    return {
        **scan_key_values(scan),
        "contrast": "water",
        "label": 5,
        "organ": "liver",
        "status": "done",
        "truncated": truncated,
        "n_voxels": 100,
        "engine": "native",
        "settings_digest": "0",
        STEADY: steady,
        NOISY: noisy,
        **more,
    }


def write_cohort(
    folder: Path, n_participants: int, *, n_visits: int = 2, n_truncated: int = 0
) -> None:
    """Write ``tables/`` of a cohort whose scanners take turns; the first liver lacks a feature."""
    chance = np.random.default_rng(2)
    scans: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    for person in range(n_participants):
        level = float(chance.normal(100, 20))
        for instance in ("2", "3")[:n_visits]:
            key = f"0000-{len(scans):04d}"
            scan = Scan(key, "demo", f"p{person}", instance, "0", "dixon", ())
            facts = {"manufacturer": "M", "scanner_model": "AB"[person % 2], "height_m": 1.7}
            done = Outcome(key, "prepare_images", Status.DONE, "f", facts=facts)
            scans.append(scan_row(scan, done, (done,)))
            rows.append(
                radiomics_row(
                    scan,
                    steady=level + float(chance.normal(0, 1)),
                    noisy=None if person == 0 else float(chance.normal(0, 1)),
                    truncated=person < n_truncated,
                )
            )
    write_table(folder / "tables" / "scans" / "part-0000.parquet", rows_to_arrow(SCANS, scans))
    table = rows_to_arrow(radiomics_table((STEADY, NOISY)), rows)
    write_table(folder / "tables" / "radiomics" / "part-0000.parquet", table)


def write_radiomics_shards(
    results: Path, *, contrasts: tuple[str, ...] = ("fat_fraction", "water")
) -> None:
    """Write what measure_radiomics publishes for shards that measure_volumes has published."""
    table = radiomics_table((STEADY, NOISY))
    for folder in sorted((results / "measure_volumes").iterdir()):
        organs = read_table(folder / "organs.parquet").to_pylist()
        of_scans = [list(rows) for _, rows in groupby(organs, key=lambda organ: str(organ["scan"]))]
        rows = [
            _row_beside(organ, contrast)
            for of_scan in of_scans
            for contrast in contrasts
            for organ in of_scan
        ]
        shard = results / "measure_radiomics" / folder.name
        outcomes = read_ledger(folder / LEDGER)
        write_ledger(shard / LEDGER, list(outcomes.values()))
        write_pieces(shard / "radiomics.parquet", table, [rows_to_arrow(table, rows)])


def _row_beside(organ: dict[str, Any], contrast: str) -> dict[str, Any]:
    names = [column.name for column in SCAN_KEY]
    return {
        **{name: organ[name] for name in (*names, "label", "organ", "status", "na_reason")},
        "contrast": contrast,
        "engine": "native",
        "settings_digest": contrast,
        "n_grey_levels": organ["volume_ml"] and (5 if contrast == "water" else 50),
        STEADY: organ["volume_ml"],
    }

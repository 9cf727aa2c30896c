"""The lists that belong to each format, and the tables of what is true of a phantom cohort."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from organome.domain.columns import Column, ColumnType, Table
from organome.domain.organs import ORGANS
from organome.io.files.atomic import write_text_atomic
from organome.io.tables.parquet import rows_to_arrow, write_table
from organome.phantoms.delivery.cohort import (
    DeliveredScan,
    VisitRecord,
    labelmap_name,
)
from organome.phantoms.delivery.defects import DEFECTS, Format

_TEXT, _NUMBER = ColumnType.STRING, ColumnType.FLOAT64
_VISIT_KEY: Final = (
    Column("participant", _TEXT, "Pseudonym.", nullable=False),
    Column("instance", _TEXT, "Visit, as the biobank counts it.", nullable=False),
)
_SCAN_KEY: Final = (
    Column("cohort", _TEXT, "Cohort in which it is delivered: phantom_ukb, ...", nullable=False),
    *_VISIT_KEY,
    Column("array", _TEXT, "Repeat within the visit.", nullable=False),
    Column("protocol", _TEXT, "What was acquired: dixon, ct, t1, t2.", nullable=False),
)
_SCAN_KEY_NAMES: Final = tuple(column.name for column in _SCAN_KEY)

TRUE_SCANS: Final = Table(
    name="scans",
    row="one scan as delivered",
    key=_SCAN_KEY_NAMES,
    columns=(
        *_SCAN_KEY,
        Column("delivered", _TEXT, "Files or folders, relative to the output, joined by ';'."),
        Column(
            "labelmap",
            _TEXT,
            "True labelmap, relative to the truth folder, on the grid of the undamaged scan.",
            nullable=False,
        ),
        Column("defect", _TEXT, "What was planted in this scan; null: nothing."),
    ),
)
TRUE_VOLUMES: Final = Table(
    name="volumes",
    row="one organ of one participant at one instance; absent organs have no row",
    key=("participant", "instance", "organ"),
    columns=(
        *_VISIT_KEY,
        Column(
            "organ",
            _TEXT,
            "Organ by name.",
            nullable=False,
            levels=tuple(organ.name for organ in ORGANS),
        ),
        Column("volume_ml", _NUMBER, "Volume of the whole organ, in view or not.", "mL", False),
    ),
)
TRUE_COVARIATES: Final = Table(
    name="covariates",
    row="one participant at one instance",
    key=("participant", "instance"),
    columns=(
        *_VISIT_KEY,
        Column("sex", _TEXT, "Sex.", nullable=False, levels=("female", "male")),
        Column("age_years", _NUMBER, "Age on the day of the visit.", "years", False),
        Column("height_m", _NUMBER, "Height.", "m", False),
        Column("weight_kg", _NUMBER, "Weight.", "kg", False),
    ),
)
TRUE_DEFECTS: Final = Table(
    name="defects",
    row="one scan with a defect",
    key=_SCAN_KEY_NAMES,
    columns=(
        *_SCAN_KEY,
        Column("defect", _TEXT, "What was planted.", nullable=False),
        Column("expected", _TEXT, "Reason with which the scan shall fail; null: it goes through."),
        Column("promise", _TEXT, "What the pipeline shall do.", nullable=False),
    ),
)


TSV_COLUMNS: Final = ("participant", "instance", "protocol", "contrast", "image", "labelmap")
BIDS_DESCRIPTION: Final = {
    "Name": "Organome phantoms",
    "BIDSVersion": "1.10.0",
    "DatasetType": "raw",
    "License": "CC0",
    "GeneratedBy": [{"Name": "organome make-phantoms"}],
}
BIDS_IGNORED: Final = "*_vibe.nii.gz\n**/ct/\n"  # what the standard has no word for


def write_listings(records: Sequence[VisitRecord], output: Path) -> None:
    """Write ``ct/scans.tsv``, ``nifti/scans.tsv`` and the BIDS tables, where there are scans."""
    for one in (Format.CT, Format.NIFTI):
        rows = _tsv_rows(records, one)
        if rows:
            _write_tsv(output / one / "scans.tsv", TSV_COLUMNS, rows)
    with_bids = [
        record for record in records if any(scan.format is Format.BIDS for scan in record.scans)
    ]
    if with_bids:
        _write_bids_tables(with_bids, output / Format.BIDS)


def write_truth(records: Sequence[VisitRecord], truth: Path) -> None:
    """Write the tables of what is true: scans, volumes, covariates, defects."""
    scans = [(record, scan) for record in records for scan in record.scans]
    _write_table(truth, TRUE_SCANS, [_scan_row(*one) for one in scans])
    _write_table(truth, TRUE_DEFECTS, [_defect_row(*one) for one in scans if one[1].defect])
    _write_table(
        truth,
        TRUE_COVARIATES,
        [{**_visit_key(record), **asdict(record.covariates)} for record in records],
    )
    _write_table(
        truth,
        TRUE_VOLUMES,
        (
            {**_visit_key(record), "organ": organ, "volume_ml": volume_ml}
            for record in records
            for organ, volume_ml in record.volumes_ml.items()
        ),
    )


def _tsv_rows(records: Iterable[VisitRecord], one: Format) -> list[tuple[str, ...]]:
    return [
        (
            record.visit.participant,
            record.visit.instance,
            scan.protocol,
            image.contrast or "",
            Path(image.path).relative_to(one).as_posix(),
            Path(image.labelmap).relative_to(one).as_posix() if image.labelmap else "",
        )
        for record in records
        for scan in record.scans
        if scan.format is one
        for image in scan.images
    ]


def _write_bids_tables(records: Sequence[VisitRecord], folder: Path) -> None:
    description = json.dumps(BIDS_DESCRIPTION, indent=2) + "\n"
    write_text_atomic(folder / "dataset_description.json", description)
    write_text_atomic(folder / ".bidsignore", BIDS_IGNORED)
    first = {record.visit.participant: record for record in reversed(records)}
    _write_tsv(
        folder / "participants.tsv",
        ("participant_id", "sex", "age", "height", "weight"),
        [
            (
                f"sub-{participant}",
                record.covariates.sex,
                f"{record.covariates.age_years:.1f}",
                f"{record.covariates.height_m:.3f}",
                f"{record.covariates.weight_kg:.1f}",
            )
            for participant, record in sorted(first.items())
        ],
    )


def _write_tsv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    write_text_atomic(path, "".join("\t".join(row) + "\n" for row in (columns, *rows)))


def _write_table(truth: Path, table: Table, rows: Iterable[Mapping[str, Any]]) -> None:
    write_table(truth / f"{table.name}.parquet", rows_to_arrow(table, list(rows)))


def _scan_row(record: VisitRecord, scan: DeliveredScan) -> dict[str, Any]:
    return {
        **_scan_key(record, scan),
        "delivered": ";".join(image.path for image in scan.images),
        "labelmap": f"labelmaps/{labelmap_name(record.visit, scan.protocol)}",
        "defect": scan.defect,
    }


def _defect_row(record: VisitRecord, scan: DeliveredScan) -> dict[str, Any]:
    assert scan.defect is not None
    planting = DEFECTS[scan.defect]
    return {
        **_scan_key(record, scan),
        "defect": scan.defect,
        "expected": planting.expected,
        "promise": planting.promise,
    }


def _visit_key(record: VisitRecord) -> dict[str, str]:
    return {"participant": record.visit.participant, "instance": record.visit.instance}


def _scan_key(record: VisitRecord, scan: DeliveredScan) -> dict[str, str]:
    return {
        "cohort": scan.format.cohort,
        **_visit_key(record),
        "array": scan.format.array,
        "protocol": scan.protocol,
    }

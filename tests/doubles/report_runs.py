"""A run folder of made-up people, as collect_tables and check_quality leave it."""

from pathlib import Path
from typing import Any, Final

import numpy as np

from organome.domain.columns import Table
from organome.domain.organs import ORGANS
from organome.domain.tables import ORGAN_ROWS, SCANS, VISITS
from organome.io.files.assets import asset
from organome.io.tables.parquet import rows_to_arrow, write_table
from organome.steps.quality import check_quality

N_WOMEN: Final = 215  # enough for norms
N_MEN: Final = 25
N_AGAIN: Final = 12  # who came twice
N_OTHER: Final = 12  # who were imaged by a second protocol, of another contrast, too
THRESHOLDS: Final = asset("config/quality/default.yaml")
_BROKEN, _SWAPPED, _HUGE, _ODD_PAIR = 3, 5, 7, 9  # places of scans with something odd


def participant(person: int) -> str:
    """Return a pseudonym that no number on a page is."""
    return f"P{7_000_001 + 13 * person}X"


def scan_of(person: int, *, again: bool = False, other: bool = False) -> str:
    """Return the key of a scan: of the first visit, the second, or by the other protocol."""
    return f"{7350 + again + 2 * other}-{4000 + person}"


def write_run(folder: Path) -> Path:
    """Write tables, quality and a file of participants; return the run folder."""
    (folder / "scans").mkdir(parents=True)
    chance = np.random.default_rng(5)
    scans: list[dict[str, Any]] = []
    organs: list[dict[str, Any]] = []
    visits: list[dict[str, Any]] = []
    people = ["participant\tinstance\tsex\tage_years\theight_m\tweight_kg\tcentre"]
    for person in range(N_WOMEN + N_MEN):
        sex = "female" if person < N_WOMEN else "male"
        age, height = 45 + 30 * chance.random(), 1.5 + 0.35 * chance.random()
        body = (sex, f"{age:.1f}", f"{height:.3f}", "71", f"C{person % 3}")
        factor = np.exp(0.1 * chance.normal(size=len(ORGANS)))
        twice = [{"again": True}] * (person < N_AGAIN) + [{"other": True}] * (person < N_OTHER)
        for which in [{}, *twice]:
            key = {
                **{"cohort": "made_up", "participant": participant(person), "array": "0"},
                "instance": "3" if "again" in which else "2",
                "protocol": "flash" if "other" in which else "dixon",
                "scan": scan_of(person, **which),
            }
            if "other" not in which:
                people.append("\t".join((key["participant"], key["instance"], *body)))
            volumes = 100 * (1 + np.arange(40) % 7) * factor * np.exp(0.01 * chance.normal(size=40))
            _add(key, person, volumes, scans, organs, visits)
    for table, rows in ((SCANS, scans), (ORGAN_ROWS, organs), (VISITS, visits)):
        _write(folder / "results" / "tables", table, rows)
    (folder / "people.tsv").write_text("\n".join(people) + "\n")
    judge(folder)
    return folder


def _add(
    key: dict[str, Any],
    person: int,
    volumes: Any,
    scans: list[dict[str, Any]],
    organs: list[dict[str, Any]],
    visits: list[dict[str, Any]],
) -> None:
    is_broken = person == _BROKEN
    if person == _HUGE:
        volumes[4] *= 9
    if person == _ODD_PAIR:
        volumes[1] *= 4
    status = {"status": "failed" if is_broken else "done"}
    contrast = "t1" if key["protocol"] == "flash" else "water"
    scans.append(
        key
        | status
        | {"fat_water": "swapped" if person == _SWAPPED else "sound", "n_stations": 6}
        | {"reason": "archive_broken" if is_broken else None, "organome_version": "0"}
        | {"contrast": None if is_broken else contrast, "acq_month": "2017-09"}
    )
    reasons = ["truncated" if organ.label == 40 else None for organ in ORGANS]
    if is_broken:
        reasons = ["archive_broken"] * len(ORGANS)
    numbers = [None if reason else float(v) for v, reason in zip(volumes, reasons, strict=True)]
    for organ, volume, reason in zip(ORGANS, numbers, reasons, strict=True):
        organs.append(
            key
            | status
            | {"label": organ.label, "organ": organ.name, "side": organ.side}
            | {"region": organ.region, "contrast": scans[-1]["contrast"], "na_reason": reason}
            | {"volume_ml": volume, "volume_observed_ml": volume, "intensity_median": 100.0}
        )
    visits.append(
        key
        | {"n_scans": 1, "n_scans_done": int(not is_broken), "array_choice": "only"}
        | {"contrast": scans[-1]["contrast"]}
        | {f"{o.name}_volume_ml": v for o, v in zip(ORGANS, numbers, strict=True)}
        | {f"{o.name}_na_reason": r for o, r in zip(ORGANS, reasons, strict=True)}
    )


def _write(folder: Path, table: Table, rows: list[dict[str, Any]]) -> None:
    by = {"organs": ("participant", "instance", "label")}.get(table.name)
    ordered = sorted(rows, key=lambda row: [row[n] for n in by or ("participant", "instance")])
    write_table(folder / table.name / "part-0000.parquet", rows_to_arrow(table, ordered))


def judge(folder: Path) -> None:
    """Check quality with the ratings there are."""
    check_quality.run(
        tables=folder / "results" / "tables",
        output=folder / "results" / "quality",
        thresholds=THRESHOLDS,
        participants=folder / "people.tsv",
        ratings=sorted((folder / "ratings").glob("*.tsv")),
    )

"""Cohort tables of made-up people: their livers and spleens, with what is odd about some."""

from pathlib import Path
from typing import Any, Final

from organome.domain.organs import ORGAN_BY_NAME, ORGANS
from organome.domain.radiomics_tables import radiomics_table
from organome.domain.tables import ORGAN_ROWS, SCANS, VISITS
from organome.io.tables.parquet import rows_to_arrow, write_table

FEATURE: Final = "original_firstorder_Mean"
N_PEOPLE: Final = 60


def liver_ml(person: int) -> float | None:
    """Every tenth liver is cut."""
    return None if person % 10 == 0 else 1000.0 + person / 3


def write_cohort_tables(folder: Path) -> None:
    """Write ``scans``, ``organs``, ``visits`` and ``radiomics``; person 7 has a second visit."""
    scans: list[dict[str, Any]] = []
    organs: list[dict[str, Any]] = []
    visits: list[dict[str, Any]] = []
    features: list[dict[str, Any]] = []
    for person, instance in [*((person, "2") for person in range(N_PEOPLE)), (7, "3")]:
        key: dict[str, Any] = {
            "cohort": "demo",
            "participant": f"{person:03d}",
            "instance": instance,
            "array": "0",
            "protocol": "dixon",
            "scan": f"000{instance}-{person:04d}",
        }
        scans.append(
            key
            | {"status": "done", "flags": "header_odd" if person == 3 else "", "n_stations": 6}
            | {"sex": _sex(person), "site": "Site 1", "contrast_agent": None if person else True}
        )
        liver = liver_ml(person)
        visits.append(
            {name: key[name] for name in ("cohort", "participant", "instance", "protocol", "array")}
            | {"n_scans": 1, "n_scans_done": 1, "array_choice": "only", "scan": key["scan"]}
            | {
                "contrast": "water",
                "sex": _sex(person),
                "site": "Site 1",
                "age_years": 45.0 + person / 2,
            }
            | {f"{organ.name}_na_reason": "not_found" for organ in ORGANS}
            | {"liver_volume_ml": liver, "liver_na_reason": None if liver else "truncated"}
        )
        organ = key | {"status": "done", "organ": "liver", "side": "none", "region": "abdomen"}
        organ |= {"label": ORGAN_BY_NAME["liver"].label}
        organs.append(
            organ
            | {"volume_ml": liver, "volume_observed_ml": liver or 700.0, "truncated": not liver}
            | {"na_reason": None if liver else "truncated", "fat_fraction_mean": person / 100}
        )
        shared = {name: organ[name] for name in (*key, "status", "organ", "label")}
        features.append(
            shared
            | {"contrast": "water", "engine": "native", "settings_digest": "0"}
            | {"n_voxels": 100, FEATURE: 3.5 * person}
        )
    _write(folder, "scans", rows_to_arrow(SCANS, scans))
    _write(folder, "organs", rows_to_arrow(ORGAN_ROWS, organs))
    _write(folder, "visits", rows_to_arrow(VISITS, visits))
    _write(folder, "radiomics", rows_to_arrow(radiomics_table((FEATURE,)), features))


def _sex(person: int) -> str | None:
    if person == 59:
        return None
    return "female" if person < 52 else "male"


def _write(folder: Path, name: str, rows: Any) -> None:
    write_table(folder / name / "part-0000.parquet", rows)

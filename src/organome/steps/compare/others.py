"""Volumes that others measured: fields of UK Biobank, TotalSegmentator, BOA, any table.

What is read is a frame with ``participant``, ``instance`` (None where the source does not say it),
``organ`` and ``volume_ml``, null where there is no number.
"""

import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from organome.domain.errors import SetupError
from organome.domain.names import one_spelling
from organome.domain.organs import ORGAN_BY_NAME, ORGANS
from organome.domain.schemes import LOBES, LabelScheme, scheme_by_name

# Source: UK Biobank's Showcase, by the names of the fields in public code; their units are not
# verified, so the order of magnitude is checked against ours.
UKB_FIELDS: Final[Mapping[int, str]] = {
    21080: "liver",
    21081: "left_kidney",
    21082: "right_kidney",
    21083: "spleen",
    21087: "pancreas",
}
UNITS_ML: Final[Mapping[str, float]] = {"ml": 1.0, "l": 1000.0, "mm3": 0.001}
_UKB: Final = re.compile(r"(?:f\.|p|x)?(?P<field>21\d{3})[-._](?:i)?(?P<instance>\d+)(?:[._].*)?")
_ID: Final = ("eid", "f.eid", "participant", "participant_id")
_WIDE: Final = "_volume_ml"
_NAME: Final = re.compile(r"(?P<participant>.+)_i?(?P<instance>\d+)")
_STATISTICS: Final = "statistics.json"
# Source: compute/measurements.py and compute/inference.py of UMEssen/Body-and-Organ-Analysis.
_BOA: Final = "total-measurements.json"
_LUNGS: Final = frozenset(LOBES.values())
_COLUMNS: Final = ["participant", "instance", "organ", "volume_ml"]


def read_others(
    path: Path,
    *,
    participants: Collection[str] = (),
    unit: str = "ml",
    scheme: str = "totalsegmentator_ct",
) -> pd.DataFrame:
    """Read volumes that somebody else measured; what the file is, its content says.

    Args:
        path: A table (CSV, TSV, Parquet) with returned fields of UK Biobank (``eid``,
            ``21080-2.0`` or ``p21080_i2``), with the columns participant, organ and volume_ml, or
            with columns ``<organ>_volume_ml``; or TotalSegmentator's ``statistics.json`` or BOA's
            ``total-measurements.json``, as ``<participant>[_<instance>].json`` in a folder or in a
            folder of that name.
        participants: Those of the run: a file ``01_2.json`` is of ``01_2`` if there is such a one,
            else of visit 2 of ``01``.
        unit: Of the numbers in a table: ``ml``, ``l`` or ``mm3``.
        scheme: Label scheme of the class names of TotalSegmentator, which are BOA's, too.

    Raises:
        SetupError: It is none of these, or cannot be read.
    """
    if unit not in UNITS_ML:
        raise SetupError(f"unit {unit!r} is unknown: one of {', '.join(UNITS_ML)}")
    if not path.exists():
        raise SetupError(f"{path}: not there")
    if path.is_dir() or path.suffix == ".json":
        return _statistics(path, scheme_by_name(scheme), frozenset(participants))
    table = _table(path)
    found = _ukb(table) or _long(table) or _wide(table)
    if found is None:
        raise SetupError(
            f"{path}: neither fields of UK Biobank ({', '.join(map(str, UKB_FIELDS))}) beside eid,"
            " nor columns participant, organ and volume_ml, nor columns like liver_volume_ml"
        )
    frame = pd.concat(found, ignore_index=True)
    volumes = pd.to_numeric(frame["volume_ml"], errors="coerce") * UNITS_ML[unit]
    frame["volume_ml"] = volumes.where(volumes > 0)  # 0 says that nothing was found
    if frame.duplicated(_COLUMNS[:3]).any():
        raise SetupError(f"{path}: some visits stand in it twice")
    return frame


def _table(path: Path) -> pd.DataFrame:
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path).astype(object)
        separator = None if path.suffix == ".csv" else "\t"
        return pd.read_csv(path, sep=separator, dtype=str, engine="python", encoding="utf-8-sig")
    except (OSError, ValueError, pd.errors.ParserError) as error:
        raise SetupError(f"{path}: cannot be read as a table ({type(error).__name__})") from None


def _id_column(table: pd.DataFrame) -> str | None:
    return next((name for name in table.columns if str(name).lower() in _ID), None)


def _ukb(table: pd.DataFrame) -> list[pd.DataFrame] | None:
    matches = {name: _UKB.fullmatch(str(name)) for name in table.columns}
    fields = {
        name: (UKB_FIELDS[int(match["field"])], match["instance"])
        for name, match in matches.items()
        if match is not None and int(match["field"]) in UKB_FIELDS
    }
    key = _id_column(table)
    if key is None or not fields:
        return None
    return [_part(table, key, name, organ, at) for name, (organ, at) in fields.items()]


def _long(table: pd.DataFrame) -> list[pd.DataFrame] | None:
    key = _id_column(table)
    if key is None or not {"organ", "volume_ml"} <= set(table.columns):
        return None
    known = table[table["organ"].isin(list(ORGAN_BY_NAME))]
    return [
        pd.DataFrame(
            {
                "participant": known[key].map(_spelled),
                "instance": _visits(known),
                "organ": known["organ"],
                "volume_ml": known["volume_ml"],
            }
        )
    ]


def _wide(table: pd.DataFrame) -> list[pd.DataFrame] | None:
    names = [one.name for one in ORGANS if one.name + _WIDE in table.columns]
    key = _id_column(table)
    if key is None or not names:
        return None
    at = _visits(table)
    return [_part(table, key, name + _WIDE, name, at) for name in names]


def _part(table: pd.DataFrame, key: str, column: str, organ: str, instance: Any) -> pd.DataFrame:
    participants = table[key].map(_spelled)
    columns = {"participant": participants, "instance": instance, "organ": organ}
    return pd.DataFrame(columns | {"volume_ml": table[column]})


def _visits(table: pd.DataFrame) -> "pd.Series[Any] | None":
    return table["instance"].map(_spelled, na_action="ignore") if "instance" in table else None


def _spelled(value: Any) -> str:
    return one_spelling(str(value).strip())


def _statistics(path: Path, scheme: LabelScheme, known: Collection[str]) -> pd.DataFrame:
    files = [path] if path.is_file() else _statistics_files(path)
    rows = [
        (*_visit(file, number, known), organ, ml)
        for number, file in enumerate(files, 1)
        for organ, ml in _of_file(file, number, scheme)
    ]
    if not rows:
        raise SetupError(f"{path}: no statistics of TotalSegmentator or BOA in it")
    frame = pd.DataFrame(rows, columns=_COLUMNS)
    frame["instance"] = frame["instance"].astype(object).where(frame["instance"].notna(), None)
    if frame.duplicated(_COLUMNS[:3]).any():
        raise SetupError(f"{path}: two files are of one visit")
    return frame


def _statistics_files(folder: Path) -> list[Path]:
    """Find statistics; BOA writes other JSON files beside its own (tissues, vertebrae)."""
    found = sorted(folder.rglob("*.json"))
    of_boa = {one.parent for one in found if one.name == _BOA}
    return [one for one in found if one.name == _BOA or one.parent not in of_boa]


def _visit(file: Path, number: int, known: Collection[str]) -> tuple[str, str | None]:
    """Return participant and visit by the name of a file.

    Raises:
        SetupError: The name is that of a participant, and of a visit of another one.
    """
    name = one_spelling(
        file.absolute().parent.name if file.name in (_STATISTICS, _BOA) else file.stem
    )
    match = _NAME.fullmatch(name)
    if match is None:
        return name, None
    if name in known and match["participant"] in known:
        raise SetupError(
            f"statistics file {number} in order of names: a participant, or a visit of another one?"
            " A table with columns participant and instance says which"
        )
    return (name, None) if name in known else (match["participant"], match["instance"])


def _of_file(file: Path, number: int, scheme: LabelScheme) -> list[tuple[str, float]]:
    """Read one file; an error names its number, because its name may be a participant's."""
    try:
        volumes = _volumes_ml(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        raise SetupError(f"statistics file {number} in order of names: not readable") from None
    classes: dict[str, list[str]] = {}
    for source, label in scheme.organ_labels.items():
        classes.setdefault(ORGANS[label - 1].name, []).append(scheme.classes[source])
    return [
        (organ, _sum_ml(organ, [volumes.get(one, 0.0) for one in names]))
        for organ, names in classes.items()
        if not volumes.keys().isdisjoint(names)
    ]


def _sum_ml(organ: str, parts_ml: Collection[float]) -> float:
    """Sum the classes of an organ; NaN where none was found, or a lung lacks a lobe.

    0.0 is written for what was cut off, absent, or failed: no number.
    """
    found = [ml > 0 for ml in parts_ml]
    is_known = all(found) if organ in _LUNGS else any(found)
    return sum(parts_ml) if is_known else np.nan


def _volumes_ml(content: Any) -> dict[str, float]:
    """Return volumes by class, 0 where nothing was found.

    TotalSegmentator's are in mm3. BOA's are in mL, by task; of what it did not find it says so.
    """
    if "segmentations" not in content:
        return {str(key): float(one["volume"]) / 1000 for key, one in content.items()}
    of_total = content["segmentations"]["total"]
    return {
        str(key): float(one["volume_ml"]) if one["present"] else 0.0
        for key, one in of_total.items()
    }

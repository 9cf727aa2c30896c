"""Parts of rows that several tables share."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from organome.domain.scans import Scan
from organome.domain.tables import HEADER_COLUMNS

Row: TypeAlias = dict[str, Any]

_AXES: Final = ("x", "y", "z")
_JOINT: Final = ";"


def scan_key_values(scan: Scan) -> Row:
    """Make the part of a row that tells the scan from all others."""
    return {
        "cohort": scan.cohort,
        "participant": scan.participant,
        "instance": scan.instance,
        "array": scan.array,
        "protocol": scan.protocol,
        "station": scan.station,
        "scan": scan.scan,
    }


def header_values(facts: Mapping[str, Any]) -> Row:
    """Pick the header columns out of the facts of prepare_images; null where it did not say."""
    size_xyz = facts.get("size_xyz") or (None,) * 3
    spacing_xyz_mm = facts.get("spacing_xyz_mm") or (None,) * 3
    values = {
        **{f"size_{axis}": size for axis, size in zip(_AXES, size_xyz, strict=True)},
        **{
            f"spacing_{axis}_mm": spacing
            for axis, spacing in zip(_AXES, spacing_xyz_mm, strict=True)
        },
        **{name: joined(facts.get(name)) for name in ("contrasts", "flags")},
        "scanner_model": facts.get("scanner_model"),
        "swapped_spans_mm": joined(
            [f"{low_mm:g}:{high_mm:g}" for low_mm, high_mm in facts.get("swapped_spans_mm", ())]
        )
        or None,
    }
    return {
        column.name: values.get(column.name, facts.get(column.name)) for column in HEADER_COLUMNS
    }


def joined(words: Sequence[str] | None) -> str | None:
    """Join words by semicolons; None stays None."""
    return None if words is None else _JOINT.join(words)

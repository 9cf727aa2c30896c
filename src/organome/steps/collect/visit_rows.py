"""Scans of a visit -> one row with the organs side by side."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from organome.domain.organs import ORGANS, Organ
from organome.domain.outcomes import OrganReason, Status
from organome.domain.tables import VISITS

Row = Mapping[str, Any]
OrganValue = tuple[float | None, str | None]


def visit_rows(
    scans: Sequence[Row],
    organ_values: Mapping[str, Sequence[OrganValue]],
    structures: Sequence[Organ] = ORGANS,
) -> Iterator[dict[str, Any]]:
    """Make one row per participant and instance.

    Args:
        scans: Rows of the scan table, sorted by visit; all scans of a visit are among them.
        organ_values: Volume in mL and reason of each organ, in order of label, by scan key.
        structures: The organs of the run.
    """
    for key, of_visit in groupby(scans, lambda scan: tuple(scan[name] for name in VISITS.key)):
        listed = list(of_visit)
        used = _used_scans(listed)
        first = next((scan for scan in used if _is_done(scan)), used[0])
        row = {
            **dict(zip(VISITS.key, key, strict=True)),
            "n_scans": len(listed),
            "n_scans_done": sum(_is_done(scan) for scan in listed),
            "protocol": first["protocol"],
            "array": first["array"],
            "scan": first["scan"] if len(used) == 1 else None,
            "contrast": first["contrast"],
        }
        for place, organ in enumerate(structures):
            volume_ml, reason = _organ_of_visit(
                [(organ_values[scan["scan"]][place], _is_done(scan)) for scan in used]
            )
            row[f"{organ.name}_volume_ml"] = volume_ml
            row[f"{organ.name}_na_reason"] = reason
        yield row


def _used_scans(listed: Sequence[Row]) -> list[Row]:
    """Take the scans, one per station, of the first protocol and array that has a measured one."""
    ordered = sorted(
        listed, key=lambda scan: (scan["protocol"], scan["array"], scan["station"] or 0)
    )
    groups = [
        list(of_one)
        for _, of_one in groupby(ordered, lambda scan: (scan["protocol"], scan["array"]))
    ]
    return next((group for group in groups if any(map(_is_done, group))), groups[0])


def _organ_of_visit(of_stations: Sequence[tuple[OrganValue, bool]]) -> OrganValue:
    """Choose the first station that holds the organ whole, else the reason that says most.

    An organ that some station holds in part is truncated. One that no station shows may still lie
    in a station that failed, so that station's reason goes before ``not_found``.
    """
    values = [value for value, _ in of_stations]
    whole = [value for value in values if value[0] is not None]
    cut = [value for value in values if value[1] == OrganReason.TRUNCATED]
    lost = [value for value, is_done in of_stations if not is_done]
    return (whole or cut or lost or values)[0]


def _is_done(scan: Row) -> bool:
    return bool(scan["status"] == Status.DONE)

"""What is other in a release than in the one before; counts only, nobody is named."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from organome.domain.tables import ORGAN_ROWS, SCANS
from organome.domain.wording import counted

_IDENTITY: Final = ("cohort", "participant", "instance", "array", "protocol", "station")
_VOLUME: Final = "volume_ml"


def changes_text(folder: Path, earlier: Path | None) -> str:
    """Say what changed since the release before, as a page of Markdown.

    Args:
        folder: The new release.
        earlier: The one before; None for the first.
    """
    if earlier is None:
        return "# Changes\n\nThis is the first release.\n"
    lines = [f"- {line}" for line in _lines(folder / "tables", earlier / "tables")]
    return "\n".join([f"# Changes since {earlier.name}", "", *(lines or ["- none"])]) + "\n"


def _lines(now: Path, before: Path) -> Iterator[str]:
    yield from _on_dictionaries(now, before)
    columns = [*_IDENTITY, "scan", "status", "reason", "model_digest", "organome_version"]
    scans, earlier = (_read(one, SCANS.name, columns) for one in (now, before))
    both = _joined(scans, earlier, _IDENTITY)
    n_new, n_gone = scans.num_rows - both.num_rows, earlier.num_rows - both.num_rows
    if n_new:
        yield f"{counted(n_new, 'scan')} came"
    if n_gone:
        yield f"{counted(n_gone, 'scan')} went (withdrawn, or taken out of the list)"
    for name in ("status", "reason", "model_digest", "organome_version"):
        if n := _n_different(both, name):
            yield f"{counted(n, 'scan')} with another {name}"
    yield from _on_volumes(now, before)


def _on_dictionaries(now: Path, before: Path) -> Iterator[str]:
    read = [
        json.loads((one / "dictionary.json").read_text(encoding="utf-8")) for one in (now, before)
    ]
    for name in sorted({key for one in read for key in one} - {"tables"}):
        new, old = (one.get(name) for one in read)
        if new != old:
            yield f"{name}: {old} -> {new}"
    for table in sorted({name for one in read for name in one["tables"]}):
        new, old = (
            {one["name"] for one in each["tables"].get(table, {"columns": []})["columns"]}
            for each in read
        )
        if new - old:
            yield f"{table}: new columns {', '.join(sorted(new - old))}"
        if old - new:
            yield f"{table}: columns that went {', '.join(sorted(old - new))}"


def _on_volumes(now: Path, before: Path) -> Iterator[str]:
    """Count volumes that are other for scans that are in both, organ by organ."""
    columns = ["scan", "organ", _VOLUME]
    tables = [_read(one, ORGAN_ROWS.name, columns) for one in (now, before)]
    both = _joined(tables[0], tables[1], columns[:2])
    new, old = both[_VOLUME], both[f"{_VOLUME}_before"]
    other = both.filter(_different(new, old))
    if not other.num_rows:
        return
    n_organs = len(pc.unique(other["organ"]))
    yield (
        f"{other.num_rows} of {both.num_rows} organ rows with another volume"
        f" ({counted(n_organs, 'organ')}):"
    )
    share = pc.divide(
        pc.subtract(other[_VOLUME], other[f"{_VOLUME}_before"]), other[f"{_VOLUME}_before"]
    )
    by_organ = pa.table({"organ": other["organ"], "share": share}).group_by("organ")
    summed = by_organ.aggregate([("share", "mean"), ("share", "count"), ([], "count_all")])
    for row in sorted(summed.to_pylist(), key=lambda one: (-one["count_all"], one["organ"])):
        mean = "" if row["share_mean"] is None else f", on average {100 * row['share_mean']:+.2f} %"
        yield f"  {row['organ']}: {row['count_all']} rows{mean}"


def _read(tables: Path, name: str, columns: list[str]) -> pa.Table:
    import pyarrow.dataset as ds  # here: pandas comes with it

    return ds.dataset(tables / name, format="parquet").to_table(columns=columns)


def _joined(now: pa.Table, before: pa.Table, keys: Any) -> pa.Table:
    """Join what is in both; null, of a scan without a station, is a value like any other."""
    tables = [
        one.set_column(
            one.column_names.index("station"), "station", pc.fill_null(one["station"], 0)
        )
        if "station" in keys
        else one
        for one in (now, before)
    ]
    return tables[0].join(
        tables[1], list(keys), join_type="inner", right_suffix="_before", use_threads=False
    )


def _n_different(both: pa.Table, name: str) -> int:
    found = pc.sum(_different(both[name], both[f"{name}_before"])).as_py()
    return int(found or 0)


def _different(new: Any, old: Any) -> Any:
    """Return where two columns differ; null is another value than any number."""
    same = pc.or_(
        pc.fill_null(pc.equal(new, old), False), pc.and_(pc.is_null(new), pc.is_null(old))
    )
    return pc.invert(same)

"""The files of the cohort tables: rows of some scans, in order, and a row for each visit."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from organome import __version__
from organome.domain.columns import Table
from organome.domain.contrasts import ArrayChoice
from organome.domain.fingerprints import digest_of
from organome.domain.organs import ORGANS, Organ
from organome.domain.outcomes import JsonValue, OrganReason, Status
from organome.domain.rows import Row, missing_organ_rows, missing_radiomics_rows, scan_row
from organome.domain.tables import (
    COHORT_TABLES,
    COVARIATE_COLUMNS,
    SCHEMA_VERSION,
    VISITS,
    with_structures,
)
from organome.domain.volume_bounds import MAIN_PIECE_SHARE, implausible_size
from organome.io.files.atomic import link_or_copy
from organome.io.tables.parquet import (
    ROW_GROUP_ROWS,
    count_rows,
    fact_of_file,
    rows_to_arrow,
    write_pieces,
    write_table,
)
from organome.steps.collect.placed import has_rows, place_scans, waits_for
from organome.steps.collect.shards import (
    FEATURES,
    VOLUMES,
    Gap,
    Measured,
    Published,
    Radiomics,
    Unmeasured,
    read_rows,
    unmeasured_scans,
)


class OrganValue(NamedTuple):
    """What a scan says of the volume of an organ.

    Attributes:
        volume_ml: Its volume, None where there is none.
        reason: Why there is none.
        observed_ml: What is in view of it.
        owned_ml: What of it a station owns.
        owned_truncated: Whether that reaches an end of what all stations saw.
        crosses_seam: Whether it goes on where another station owns.
    """

    volume_ml: float | None
    reason: str | None
    observed_ml: float | None = None
    owned_ml: float | None = None
    owned_truncated: bool | None = None
    crosses_seam: bool | None = None


ORGAN_COLUMNS: Final = (
    *("volume_ml", "na_reason", "volume_observed_ml"),
    *("owned_volume_ml", "owned_truncated", "crosses_seam"),
)
PHANTOM_MODEL: Final = "phantom_model"
_INPUTS: Final = "inputs"  # in the metadata of a file
_ODD: Final = (OrganReason.IMPLAUSIBLY_SMALL, OrganReason.IMPLAUSIBLY_LARGE)


@dataclass(frozen=True, slots=True)
class Part:
    """One file of each table.

    Attributes:
        name: Name of the files.
        scans: Their scans, in order, as ``place_scans`` places them.
        facts: What the metadata of the files says of these scans.
        inputs: By measuring step, digest of all that the rows are made of. A step is missing where
            some of them wait for it: these rows are made anew each time.
    """

    name: str
    scans: pa.Table
    facts: tuple[tuple[str, bool | int | str], ...] = ()
    inputs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Collection:
    """What the tables of a cohort are made of.

    Attributes:
        published: Where lists and results are.
        steps: The measuring steps that are asked for.
        structures: The organs of the run.
        radiomics: What the radiomics rows are of; None: no such table.
        gaps: By step and shard, why rows that should be there are not.
        output: Folder of the tables.
        earlier: Folder of the tables as they were collected before; there may be none.
        of_phantoms: Whether a model that was trained on phantoms had a part in any labels.
    """

    published: Published
    steps: tuple[str, ...]
    structures: tuple[Organ, ...]
    radiomics: Radiomics | None
    gaps: Mapping[tuple[str, str], Gap]
    output: Path
    earlier: Path
    of_phantoms: bool = False

    @property
    def tables(self) -> tuple[Table, ...]:
        """The tables of scans, organs, visits and, where there are any, radiomics."""
        tables = [with_structures(table, self.structures) for table in COHORT_TABLES]
        if self.radiomics is not None:
            tables.append(self.radiomics.table)
        return tuple(tables)

    def place(self, shard: str, measured: Sequence[Measured]) -> pa.Table:
        """List the scans of a shard, with the steps that have rows of them or are waited for."""
        listed = self.published.keys(shard)
        found = {one.step: one.missing for one in measured}
        missing, waiting = {}, {}
        for step in self.steps:
            missing[step] = found.get(step, frozenset(listed.column("scan").to_pylist()))
            waiting[step] = {
                scan.scan
                for scan, outcome, _ in self._unmeasured(shard, step, missing[step])
                if outcome.status is Status.NOT_MEASURED
            }
        return place_scans(listed, shard, missing, waiting)

    def part(self, name: str, scans: pa.Table, measured: Sequence[Measured]) -> Part:
        """Note what a file of the tables is made of.

        Args:
            name: Name of the file.
            scans: Its scans, in order.
            measured: What the measuring steps have published of the shards of these scans.
        """
        facts = facts_of(scans, measured, self.steps)
        if self.of_phantoms:
            facts[PHANTOM_MODEL] = True
        release: list[JsonValue] = [__version__, SCHEMA_VERSION]
        release += [[one.name, one.region] for one in self.structures]
        placed = [scans.column(column).to_pylist() for column in ("scan", "shard")]
        inputs = {
            step: digest_of(
                [
                    release,
                    facts,
                    placed,
                    [[one.shard, one.identity] for one in measured if one.step == step],
                    repr(self.radiomics) if step == FEATURES else None,
                ]
            )
            for step in self.steps
            if pc.all(scans.column(has_rows(step))).as_py()
        }
        return Part(name, scans, tuple(facts.items()), inputs)

    def write_part(self, part: Part) -> int:
        """Write one file of each table but radiomics; return the number of visits."""
        tables = self._tables_of(part, VOLUMES)[: len(COHORT_TABLES)]
        if self._take_over(part, VOLUMES, tables):
            return count_rows(self.output / VISITS.name / part.name)
        scans_table, organs_table, visits_table = tables
        scans = read_rows(scans_table, self.published, VOLUMES, part.scans, self._scan_rows)
        organs = read_rows(organs_table, self.published, VOLUMES, part.scans, self._organ_rows)
        columns = (organs.column(name) for name in ORGAN_COLUMNS)
        values = list(map(OrganValue, *(column.to_pylist() for column in columns)))
        n_organs = len(self.structures)
        organ_values = {
            scan: values[place * n_organs : (place + 1) * n_organs]
            for place, scan in enumerate(part.scans.column("scan").to_pylist())
        }
        visits = list(visit_rows(scans.to_pylist(), organ_values, self.structures))
        rows = (scans, organs, rows_to_arrow(visits_table, visits))
        for table, content in zip(tables, rows, strict=True):
            write_table(self.output / table.name / part.name, content, sorted_by=table.sorted_by)
        return len(visits)

    def write_radiomics(self, part: Part) -> int:
        """Write one file of the radiomics table, few rows at a time; return how many."""
        table = self._tables_of(part, FEATURES)[-1]
        path = self.output / table.name / part.name
        n_rows_per_scan = len(self.images) * len(self.structures)
        n_scans = max(1, ROW_GROUP_ROWS // n_rows_per_scan)
        if not self._take_over(part, FEATURES, [table]):
            pieces = (
                read_rows(table, self.published, FEATURES, scans, self._features)
                for at in range(0, len(part.scans), n_scans)
                for scans in [part.scans.slice(at, n_scans)]
            )
            write_pieces(path, table, pieces, sorted_by=table.sorted_by)
        return len(part.scans) * n_rows_per_scan

    def _tables_of(self, part: Part, step: str) -> list[Table]:
        facts = {name: str(value).lower() for name, value in part.facts}
        if step in part.inputs:
            facts[_INPUTS] = part.inputs[step]
        return [replace(table, facts=tuple(facts.items())) for table in self.tables]

    def _take_over(self, part: Part, step: str, tables: Sequence[Table]) -> bool:
        """Link the files of an earlier collection, if they are made of the very same.

        Returns:
            Whether they are.
        """
        if step not in part.inputs:
            return False
        earlier = [self.earlier / table.name / part.name for table in tables]
        if any(fact_of_file(path, _INPUTS) != part.inputs[step] for path in earlier):
            return False
        for path in earlier:
            copy = self.output / path.parent.name / path.name
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.unlink(missing_ok=True)
            link_or_copy(path, copy)
        return True

    @property
    def images(self) -> tuple[tuple[str, str, str], ...]:
        """Contrast, engine and digest of the settings of each image that features are of."""
        return () if self.radiomics is None else self.radiomics.images

    def _unmeasured(self, shard: str, step: str, scans: AbstractSet[str]) -> Iterator[Unmeasured]:
        gap = self.gaps.get((step, shard))
        return unmeasured_scans(self.published, shard, step, gap, scans) if scans else iter(())

    def _scan_rows(self, shard: str, scans: AbstractSet[str]) -> Iterator[Row]:
        for found in self._unmeasured(shard, VOLUMES, scans):
            yield scan_row(*found)

    def _organ_rows(self, shard: str, scans: AbstractSet[str]) -> Iterator[Row]:
        for found in self._unmeasured(shard, VOLUMES, scans):
            yield from missing_organ_rows(*found, self.structures)

    def _features(self, shard: str, scans: AbstractSet[str]) -> Iterator[Row]:
        for scan, outcome, _ in self._unmeasured(shard, FEATURES, scans):
            assert outcome.reason is not None
            yield from missing_radiomics_rows(
                scan, self.images, self.structures, outcome.reason, outcome.status
            )


def facts_of(
    scans: pa.Table, measured: Iterable[Measured], steps: Sequence[str]
) -> dict[str, bool | int | str]:
    """Return what is to be said of the tables of some scans."""
    n_waiting = {step: pc.sum(scans.column(waits_for(step))).as_py() or 0 for step in steps}
    facts: dict[str, bool | int | str] = {
        "complete": not any(n_waiting.values()),
        "n_not_measured": n_waiting[VOLUMES],
    }
    if FEATURES in steps:
        facts["n_radiomics_not_measured"] = n_waiting[FEATURES]
    found = list(measured)
    if models := sorted({model for one in found for model in one.models}):
        facts["models"] = ";".join(models)
    settings = sorted({pair for one in found for pair in one.settings if pair[1]})
    for step, of_step in groupby(settings, lambda pair: pair[0]):
        facts[f"settings.{step}"] = ";".join(digest for _, digest in of_step)
    return facts


def visit_rows(
    scans: Sequence[Mapping[str, Any]],
    organ_values: Mapping[str, Sequence[OrganValue]],
    structures: Sequence[Organ] = ORGANS,
) -> Iterator[dict[str, Any]]:
    """Make one row per participant, instance and protocol.

    Args:
        scans: Rows of the scan table, sorted by visit; all scans of a visit are among them.
        organ_values: Values of each organ, in order of label, by scan key.
        structures: The organs of the run.
    """
    by_protocol = sorted(scans, key=_visit_key)  # stable, and nearly in order
    for key, of_visit in groupby(by_protocol, _visit_key):
        listed = list(of_visit)
        used = _used_scans(listed)
        first = next((scan for scan in used if _is_done(scan)), used[0])
        row = {
            **dict(zip(VISITS.key, key, strict=True)),
            "n_scans": len(listed),
            "n_scans_done": sum(_is_done(scan) for scan in listed),
            "array": first["array"],
            "array_choice": _array_choice(used, listed),
            "scan": first["scan"] if len(used) == 1 else None,
            "contrast": first["contrast"],
            **{column.name: first.get(column.name) for column in COVARIATE_COLUMNS},
        }
        are_fused, age_years = _are_fused(used), first.get("age_years")
        for place, organ in enumerate(structures):
            if len(used) == 1 and not are_fused:
                value = organ_values[first["scan"]][place]
            else:
                found = [(organ_values[scan["scan"]][place], _is_done(scan)) for scan in used]
                value = (
                    _fused_organ(organ.name, found, age_years)
                    if are_fused
                    else _organ_of_visit(found)
                )
            row[f"{organ.name}_volume_ml"] = value.volume_ml
            row[f"{organ.name}_na_reason"] = value.reason
        yield row


def _used_scans(listed: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Take the scans, one per station, of the latest repeat that was measured.

    As among repeats of a station: something was wrong with those before it.
    """
    repeats = [
        sorted(of_one, key=lambda scan: scan["station"] or 0)
        for _, of_one in groupby(sorted(listed, key=_repeat, reverse=True), key=_repeat)
    ]
    return next((group for group in repeats if any(map(_is_done, group))), repeats[0])


def _visit_key(scan: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(scan[name] for name in VISITS.key)


def _repeat(scan: Mapping[str, Any]) -> tuple[tuple[int, ...], str]:
    """Order repeats by their numbers: 10 comes after 2."""
    return tuple(map(int, re.findall(r"[0-9]+", scan["array"]))), scan["array"]


def _array_choice(used: Sequence[Mapping[str, Any]], listed: Sequence[Mapping[str, Any]]) -> str:
    repeats = set(map(_repeat, listed))
    if len(repeats) == 1:
        return ArrayChoice.ONLY
    return ArrayChoice.LATEST if _repeat(used[0]) == max(repeats) else ArrayChoice.LATEST_MEASURED


def _are_fused(used: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether the parts that measured stations own add up: each knew of all others."""
    done = [scan for scan in used if _is_done(scan)]
    stations = ";".join(sorted(str(scan["station"]) for scan in done))
    return bool(done) and all(scan.get("fused_stations") == stations for scan in done)


def _fused_organ(
    name: str, of_stations: Sequence[tuple[OrganValue, bool]], age_years: float | None
) -> OrganValue:
    """Add up what the stations own of an organ.

    It is cut where the part of one station is, unless that part is a stray that nothing joins to
    the rest.
    """
    parts = [value for value, _ in of_stations if value.owned_ml]
    if not parts:
        lost = [value for value, is_done in of_stations if not is_done]
        # What a station shows in the space of another, which has no such organ there, is none.
        absent = [value for value, _ in of_stations if value.observed_ml is None]
        # What is out of view in one station may be in view in the next.
        absent.sort(key=lambda value: value.reason == OrganReason.OUTSIDE_VIEW)
        absent.sort(key=lambda value: value.reason != OrganReason.REMOVED_OR_MISSED)
        return (lost or absent or [OrganValue(None, OrganReason.NOT_FOUND)])[0]
    sizes_ml = [part.owned_ml or 0.0 for part in parts]
    volume_ml, least_stray_ml = sum(sizes_ml), MAIN_PIECE_SHARE * max(sizes_ml)
    is_cut = any(
        part.owned_truncated and (part.crosses_seam or size_ml >= least_stray_ml)
        for part, size_ml in zip(parts, sizes_ml, strict=True)
    )
    reason = (
        OrganReason.TRUNCATED if is_cut else implausible_size(name, volume_ml, age_years=age_years)
    )
    return OrganValue(volume_ml if reason is None else None, reason)


def _organ_of_visit(of_stations: Sequence[tuple[OrganValue, bool]]) -> OrganValue:
    """Choose the largest whole organ, else the reason that says most.

    It is whole only where no station shows more of it: beside 1.5 L of liver that are cut, 0.6 L in
    the next station are a part of it, though no face cuts them. An organ that no station shows may
    still lie in a station that failed, so that station's reason goes before those of the others.
    """
    values = [value for value, _ in of_stations]
    cut = [value for value in values if value.reason == OrganReason.TRUNCATED]
    lost = [value for value, is_done in of_stations if not is_done]
    odd = [value for value in values if value.reason in _ODD]
    whole = [value for value in values if value.volume_ml is not None]
    largest = max(whole, key=lambda value: value.volume_ml or 0.0, default=None)
    if largest is not None and all(
        (value.observed_ml or 0.0) <= (largest.volume_ml or 0.0) for value in cut + odd
    ):
        return largest
    return (cut or lost or odd or values)[0]


def _is_done(scan: Mapping[str, Any]) -> bool:
    return bool(scan["status"] == Status.DONE)

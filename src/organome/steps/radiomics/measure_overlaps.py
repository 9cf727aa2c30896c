"""measure_overlaps: neighbouring stations -> radiomics of the tissue that both show, twice.

For a run whose unit is the station. Both images were taken within minutes, so whatever differs is
due to scanner, position in the coil, segmentation and voxels: the least that any feature varies by.
An image is looked at as a whole (normalising, filters), only labels outside of the overlap are left
out.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import SimpleITK as sitk

from organome.compute.labelmaps.volumes import organ_ends
from organome.compute.stitching.seams import labels_in_view_of
from organome.domain.errors import SetupError
from organome.domain.outcomes import JsonValue, Outcome, Status
from organome.domain.radiomics_settings import Engine
from organome.domain.rows import Row, shows_other_tissue
from organome.domain.scans import Scan
from organome.domain.stability_tables import overlaps_table
from organome.io.labelled import LabelledShard
from organome.io.tables.parquet import write_pieces
from organome.io.tables.scan_lists import listed_shards, read_shard
from organome.shards.packing import Packing
from organome.shards.run import run_shard
from organome.shards.work_folder import CollectedFiles
from organome.steps.radiomics.plans import (
    Plan,
    PlannedStep,
    joint_feature_names,
    measurable,
    measure,
    read_for,
    read_plans,
    reader_of,
)
from organome.steps.radiomics.region_rows import region_values

OVERLAPS_FILE: Final = "overlaps.parquet"
PACK: Final = "overlaps.zip"
_MIN_VOXELS: Final = 100  # of an organ in the overlap, in both stations


def run(
    *,
    scans: Path,
    results: Path,
    output: Path,
    work: Path,
    settings: Sequence[str],
    engine: Engine = Engine.NATIVE,
    n_shards: int = 10,
    n_processes: int = 1,
    on_outcome: Callable[[Outcome], None] | None = None,
) -> str:
    """Measure what neighbouring stations both show, for radiomics-stability.

    Args:
        scans: Folder of the sample sheet; the unit is the station.
        results: Folder of published results, with the prepared images.
        output: Folder to publish, a folder per shard.
        work: Folder for what is under way.
        settings: For each image to measure, ``<contrast>=<parameter file>``.
        engine: What computes.
        n_shards: Shards to look at, from the first on; some hundred participants are enough.
        n_processes: Scans that are measured at the same time.
        on_outcome: Called after each scan.

    Raises:
        SetupError: If no shard holds stations, or one of them was not segmented.
    """
    plans = read_plans(settings, engine)
    n_rows = n_stations = 0
    for _, path in list(listed_shards(scans))[:n_shards]:
        listed = read_shard(path)
        n_stations += sum(scan.station is not None for scan in listed)
        images, labelmaps = (
            results / step / path.stem for step in ("prepare_images", "segment_organs")
        )
        published = LabelledShard.open(images, labelmaps, listed)
        collected = CollectedFiles(work / path.stem, output / path.stem, PACK)
        step = MeasureOverlaps(plans, listed, published, collected)
        outcomes = run_shard(
            step,
            scans=listed,
            upstream=published.labelled,
            output=collected.output,
            work=collected.work,
            workers=[step] * n_processes,
            packing=Packing(PACK, wanted=True),
            on_outcome=on_outcome,
        )
        n_rows += sum(outcome.facts.get("n_rows", 0) for outcome in outcomes)
    if not n_stations:
        raise SetupError(f"{scans}: no stations are listed; overlaps need `stations: separate`")
    return f"{n_rows // 2} parts of organs were measured twice"


class MeasureOverlaps(PlannedStep):
    """Measuring a station and the next one where they overlap."""

    name = "measure_overlaps"
    table_file = OVERLAPS_FILE

    def __init__(
        self,
        plans: Sequence[Plan],
        scans: Sequence[Scan],
        published: LabelledShard,
        collected: CollectedFiles,
    ) -> None:
        super().__init__(overlaps_table(joint_feature_names(plans)), plans, published, collected)
        by_place = {_place(scan): scan for scan in scans}
        below = {scan.scan: by_place.get(_place(scan, 1)) for scan in scans}
        self._below = {
            key: other
            for key, other in below.items()
            if other is not None and published.labelled[other.scan].status is Status.DONE
        }

    def input_identity(
        self,
        scan: Scan,
        upstream: Outcome | None,  # noqa: ARG002 those of both are looked up
    ) -> JsonValue:
        """The outcomes before of both stations, and their labelmaps."""
        both = [scan, *([self._below[scan.scan]] if scan.scan in self._below else [])]
        return [self._published.identity(one) for one in both]

    def run_scan(
        self,
        scan: Scan,
        upstream: Outcome | None,  # noqa: ARG002 its facts are not needed
        place: Callable[[str], Path],
    ) -> Mapping[str, JsonValue]:
        """Measure what a station and the one below both show; often nothing.

        Raises:
            ScanError: If an image does not lie on the grid of its labelmap, or a file is broken.
        """
        rows: list[Row] = []
        if scan.scan in self._below:
            pair = scan, self._below[scan.scan]
            labelmaps = [self._published.read_labelmap(one) for one in pair]
            for plan in self._plans:
                rows += self._rows(pair, labelmaps, plan)
        return self._write(rows, place) if rows else {"n_rows": 0}

    def finish(self, outcomes: Sequence[Outcome], folder: Path) -> None:
        """Put the shard's table together."""
        pieces = (
            self._written(one.scan)
            for one in outcomes
            if one.facts.get("n_rows") and one.step == self.name
        )
        write_pieces(folder / OVERLAPS_FILE, self._table, pieces)

    def _rows(
        self, pair: tuple[Scan, Scan], labelmaps: Sequence[sitk.Image], plan: Plan
    ) -> Iterator[Row]:
        if not all(plan.contrast in measurable(self._published, scan) for scan in pair):
            return
        found = []
        for scan, labelmap, other in zip(pair, labelmaps, reversed(labelmaps), strict=True):
            pictures = read_for(plan, reader_of(self._published, scan), labelmap)
            shared = labels_in_view_of(pictures.labels, other)
            if shared is None:
                return
            found.append(measure(plan, replace(pictures, labels=shared)))
        features = joint_feature_names(self._plans)
        published = self._published
        ends = [
            organ_ends(labelmap, published.seen_xyz(scan), published.round_xyz(scan))
            for scan, labelmap in zip(pair, labelmaps, strict=True)
        ]
        for organ in self._published.scheme.structures:
            if not all(organ.label in of_one for of_one in found):
                continue
            regions = [of_one[organ.label] for of_one in found]
            shares = [beside.get("share_with_signal", 1) for _, beside in regions]
            n_used = [
                share * of_one.n_voxels for share, (of_one, _) in zip(shares, regions, strict=True)
            ]
            if min(n_used) < _MIN_VOXELS:
                continue
            if any(
                shows_other_tissue(
                    plan.contrast,
                    of_scan[organ.label].heights_mm,
                    self._published.prepared[scan.scan].facts,
                )
                for scan, of_scan in zip(pair, ends, strict=True)
            ):
                continue
            for scan, (region, beside), of_scan in zip(pair, regions, ends, strict=True):
                yield {
                    **plan.row_key(scan, organ),
                    "seam": pair[0].station,
                    "status": Status.DONE.value,
                    "truncated": bool(of_scan[organ.label].touches),
                    **beside,
                    **region_values(region, plan.feature_names, features),
                }


def _place(scan: Scan, further: int = 0) -> tuple[object, ...]:
    station = None if scan.station is None else scan.station + further
    # A stitched scan has no station below: its key is never that of another.
    alone = scan.scan + "+" * further if station is None else None
    key = (scan.cohort, scan.participant, scan.instance, scan.array, scan.protocol)
    return (*key, station, alone)

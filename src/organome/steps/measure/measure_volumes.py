"""measure_volumes: image + labelmap -> volumes, intensities, completeness, a row per organ."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import SimpleITK as sitk

from organome import __version__
from organome.compute.dixon.fat_fraction import FAT_FRACTION_FLOOR, FAT_FRACTION_RANGE_PERCENTILE
from organome.compute.dixon.slice_measures import SliceMaps, measure_on_slices
from organome.compute.geometry.grids import Grid, share_grid
from organome.compute.labelmaps.ownership import Ownership
from organome.compute.labelmaps.volumes import OrganMeasure, measure_organs
from organome.domain.contrasts import PDFF_MAPS, PDFF_VIEWS, pdff_map_name
from organome.domain.errors import ScanError
from organome.domain.organs import ORGANS, Organ
from organome.domain.outcomes import JsonValue, Outcome, Status
from organome.domain.rows import organ_rows, scan_row
from organome.domain.scans import Contrast, Scan
from organome.domain.tables import ORGAN_ROWS, SCANS, with_structures
from organome.io.labelled import LabelledShard
from organome.io.tables.parquet import rows_to_arrow, write_table
from organome.io.tables.scan_lists import read_shard
from organome.shards.run import run_shard


def run(
    *,
    shard: Path,
    images: Path,
    labelmaps: Path,
    output: Path,
    work: Path,
    n_processes: int = 1,
    max_same_reason_share: float = 0.5,
    on_outcome: Callable[[Outcome], None] | None = None,
) -> tuple[Outcome, ...]:
    """Measure all scans of a shard.

    Args:
        shard: List of the shard's scans.
        images: Folder of the shard that prepare_images published.
        labelmaps: Folder of the shard that segment_organs published.
        output: Folder to publish: the ledger, ``scans.parquet`` and ``organs.parquet``.
        work: Folder for what is under way.
        n_processes: Scans that are done at the same time.
        max_same_reason_share: Above this share of scans failing for one reason, the job stops.
        on_outcome: Called after each scan.

    Returns:
        One outcome per scan, in order.

    Raises:
        SetupError: If a step before has not been through, or a file that it published is gone.
    """
    scans = read_shard(shard)
    published = LabelledShard.open(images, labelmaps, scans)
    step = MeasureVolumes(scans, published)
    return run_shard(
        step,
        scans=scans,
        upstream=published.labelled,
        output=output,
        work=work,
        workers=[step] * n_processes,
        max_same_reason_share=max_same_reason_share,
        settings_before=published.settings,
        on_outcome=on_outcome,
    )


class MeasureVolumes:
    """Measuring, a scan at a time."""

    name = "measure_volumes"
    version = 6

    def __init__(self, scans: Sequence[Scan], published: LabelledShard) -> None:
        self._scans = {scan.scan: scan for scan in scans}
        self._published = published
        of_visit: dict[tuple[object, ...], list[Scan]] = {}
        for scan in sorted(scans, key=lambda one: one.station or 0):
            labelled = published.labelled.get(scan.scan)
            if scan.station is not None and labelled and labelled.status is Status.DONE:
                of_visit.setdefault(scan.identity[:-1], []).append(scan)
        self._beside = {
            scan.scan: [one for one in stations if one is not scan]
            for stations in of_visit.values()
            for scan in stations
        }
        self._grids: dict[str, Grid] = {}

    def settings(self) -> Mapping[str, JsonValue]:
        """All settings that change results."""
        return {
            "fat_fraction_floor": FAT_FRACTION_FLOOR,
            "fat_fraction_range_percentile": FAT_FRACTION_RANGE_PERCENTILE,
        }

    def input_identity(self, scan: Scan, upstream: Outcome | None) -> JsonValue:  # noqa: ARG002
        """The outcomes before and the labelmap; of the other stations, which there are."""
        identity = self._published.identity(scan)
        beside = [
            [one.station, self._published.labelled[one.scan].fingerprint]
            for one in self._beside.get(scan.scan, ())
        ]
        return [identity, beside] if beside else identity

    def run_scan(
        self,
        scan: Scan,
        upstream: Outcome | None,
        place: Callable[[str], Path],  # noqa: ARG002 all results are facts
    ) -> Mapping[str, JsonValue]:
        """Measure one scan.

        Raises:
            ScanError: If the labelmap does not fit the image.
        """
        assert upstream is not None
        published = self._published
        labelmap = published.read_labelmap(scan)
        contrast = Contrast(upstream.facts["contrast"])
        both = (Contrast.FAT, Contrast.WATER) if published.has_fat_fraction(scan) else ()
        by_contrast = {
            wanted: published.read_image(scan, wanted) for wanted in sorted({contrast, *both})
        }
        ownership = self._ownership(scan, labelmap)
        measures = measure_organs(
            labelmap,
            by_contrast[contrast],
            **_on_grid_of(labelmap, by_contrast),
            seen_xyz=published.seen_xyz(scan),
            round_xyz=published.round_xyz(scan),
            ownership=ownership,
            n_labels=len(published.scheme.structures),
        )
        facts: dict[str, JsonValue] = {
            "organs": organ_facts(measures, published.scheme.structures),
            "organome_version": __version__,
            **self._slice_facts(scan, labelmap, measures),
        }
        if ownership is not None:
            fused = [scan, *self._beside[scan.scan]]
            facts["fused_stations"] = sorted(str(one.station) for one in fused)
        return facts

    def _ownership(self, scan: Scan, labelmap: sitk.Image) -> Ownership | None:
        """Find out what a station owns.

        Returns:
            None where stations are one image, where one lies askew, or cannot be read.
        """
        if scan.scan not in self._beside:
            return None
        self._grids[scan.scan] = Grid.of(labelmap)
        stations = [scan, *self._beside[scan.scan]]
        for one in stations:
            if one.scan not in self._grids:
                try:
                    self._grids[one.scan] = Grid.of(self._published.read_labelmap(one))
                except ScanError:  # its own row will say so
                    return None
        here, *others = ((self._grids[one.scan], self._published.seen_xyz(one)) for one in stations)
        return Ownership.of(here, others, self._published.round_xyz(scan))

    def _slice_facts(
        self, scan: Scan, labelmap: sitk.Image, measures: Mapping[int, OrganMeasure]
    ) -> dict[str, JsonValue]:
        """Measure organs on the slices of several echoes that go with the scan; {} if none do."""
        published, structures = self._published, self._published.scheme.structures
        facts: dict[str, JsonValue] = {}
        for view in PDFF_VIEWS:
            n_slices = published.prepared[scan.scan].facts.get(f"pdff_{view}_n_slices") or 0
            slices = [
                SliceMaps(
                    *(
                        published.read_slice(scan, pdff_map_name(view, number, which))
                        for which in PDFF_MAPS
                    )
                )
                for number in range(1, n_slices + 1)
            ]
            if slices:
                found = measure_on_slices(labelmap, slices, list(measures))
                facts[view] = {
                    organ.name: asdict(found[organ.label])
                    for organ in structures
                    if organ.label in found
                }
        return {"slices": facts} if facts else {}

    def finish(self, outcomes: Sequence[Outcome], folder: Path) -> None:
        """Write the shard's scan rows and organ rows."""
        prepared, labelled = self._published.prepared, self._published.labelled
        scheme = self._published.scheme
        measured = [
            (self._scans[one.scan], one, (prepared[one.scan], labelled[one.scan]))
            for one in outcomes
        ]
        scan_rows = [scan_row(*of_scan) for of_scan in measured]
        all_organ_rows = [row for of_scan in measured for row in organ_rows(*of_scan, scheme)]
        organ_table = with_structures(ORGAN_ROWS, scheme.structures)
        write_table(folder / SCANS.file_name, rows_to_arrow(SCANS, scan_rows))
        write_table(folder / ORGAN_ROWS.file_name, rows_to_arrow(organ_table, all_organ_rows))


def organ_facts(
    measures: Mapping[int, OrganMeasure], structures: Sequence[Organ] = ORGANS
) -> dict[str, JsonValue]:
    """Return measures as JSON-able facts by organ name; organs that were not found are left out."""
    return {
        organ.name: asdict(measures[organ.label]) for organ in structures if organ.label in measures
    }


def _on_grid_of(
    labelmap: sitk.Image, by_contrast: Mapping[Contrast, sitk.Image]
) -> dict[str, sitk.Image]:
    """Pick fat and water; none unless both share the labelmap's grid (given images may not)."""
    found = {
        contrast.value: by_contrast[contrast]
        for contrast in (Contrast.FAT, Contrast.WATER)
        if contrast in by_contrast and share_grid(labelmap, by_contrast[contrast])
    }
    return found if len(found) == 2 else {}

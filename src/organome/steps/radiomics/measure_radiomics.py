"""measure_radiomics: images + labelmap -> radiomics features, a row per scan, image and organ.

A process holds one scan at a time: the labelmap, one image and its copies, and the two images that
were read last, see ``peak_bytes``. Its rows become a small file, from which the shard's table is
put together in the end, some scans at a time.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa

from organome.compute.labelmaps.volumes import organ_ends
from organome.compute.radiomics.extraction import Shapes
from organome.domain.errors import ScanError
from organome.domain.outcomes import FeatureReason, JsonValue, OrganReason, Outcome, Reason, Status
from organome.domain.radiomics_settings import Engine
from organome.domain.radiomics_tables import radiomics_table
from organome.domain.rows import Row, is_resampled, missing_radiomics_rows, shows_other_tissue
from organome.domain.scans import Scan
from organome.io.labelled import LabelledShard
from organome.io.tables.parquet import rows_to_arrow, without_meanings, write_pieces
from organome.io.tables.scan_lists import read_shard
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
from organome.steps.radiomics.region_rows import region_values, without_intensities

RADIOMICS_FILE: Final = "radiomics.parquet"
PACK: Final = "radiomics.zip"
_ROWS_PER_PIECE: Final = 1000
# Measured, rounded up: 19 bytes a voxel for integers as they are, 44 for floats, 42 for a
# normalised image, most of a body being labelled; 8 for two images at hand, if they are floats.
# Filters take a copy of the image more.
_FIXED_BYTES: Final = 500_000_000
_BYTES_PER_VOXEL: Final = 55


def run(
    *,
    shard: Path,
    images: Path,
    labelmaps: Path,
    output: Path,
    work: Path,
    settings: Sequence[str],
    engine: Engine = Engine.NATIVE,
    n_processes: int = 1,
    max_same_reason_share: float = 0.5,
    on_outcome: Callable[[Outcome], None] | None = None,
) -> tuple[Outcome, ...]:
    """Measure the radiomics features of all scans of a shard.

    Args:
        shard: List of the shard's scans.
        images: Folder of the shard that prepare_images published.
        labelmaps: Folder of the shard that segment_organs published.
        output: Folder to publish: the ledger, ``radiomics.parquet``, and in one archive a table
            per scan, from which a later run puts it together.
        work: Folder for what is under way.
        settings: For each image to measure, ``<contrast>=<parameter file>``, such as
            ``ct=config/radiomics/ct.yaml``; ``fat_fraction`` is a contrast, too, in percent.
        engine: What computes; ``pyradiomics`` does what the native engine does not.
        n_processes: Scans that are measured at the same time.
        max_same_reason_share: Above this share of scans failing for one reason, the job stops.
        on_outcome: Called after each scan.

    Returns:
        One outcome per scan, in order.

    Raises:
        SetupError: If the settings cannot be done, or a step before has not been through.
    """
    plans = read_plans(settings, engine)
    scans = read_shard(shard)
    published = LabelledShard.open(images, labelmaps, scans)
    step = MeasureRadiomics(plans, scans, published, CollectedFiles(work, output, PACK))
    return run_shard(
        step,
        scans=scans,
        upstream=published.labelled,
        output=output,
        work=work,
        workers=[step] * n_processes,
        max_same_reason_share=max_same_reason_share,
        packing=Packing(PACK, wanted=True),
        settings_before=published.settings,
        on_outcome=on_outcome,
    )


def peak_bytes(n_voxels: int) -> int:
    """Bound the memory of a process without filters.

    Args:
        n_voxels: Of the image, or of the finer grid that it is resampled to.
    """
    return _FIXED_BYTES + _BYTES_PER_VOXEL * n_voxels


class MeasureRadiomics(PlannedStep):
    """Measuring features, a scan at a time."""

    name = "measure_radiomics"
    table_file = RADIOMICS_FILE

    def __init__(
        self,
        plans: Sequence[Plan],
        scans: Sequence[Scan],
        published: LabelledShard,
        collected: CollectedFiles,
    ) -> None:
        super().__init__(radiomics_table(joint_feature_names(plans)), plans, published, collected)
        self._scans = {scan.scan: scan for scan in scans}

    def input_identity(self, scan: Scan, upstream: Outcome | None) -> JsonValue:  # noqa: ARG002
        """The outcomes before and the labelmap."""
        return self._published.identity(scan)

    def run_scan(
        self,
        scan: Scan,
        upstream: Outcome | None,  # noqa: ARG002 its facts are not needed
        place: Callable[[str], Path],
    ) -> Mapping[str, JsonValue]:
        """Measure one scan.

        Raises:
            ScanError: If none of the wanted images was prepared, or the labelmap does not fit.
        """
        wanted = [plan.contrast for plan in self._plans]
        if not set(wanted) & set(measurable(self._published, scan)):
            raise ScanError(Reason.CONTRAST_MISSING, f"has none of {', '.join(wanted)}")
        return self._write(list(measured_rows(scan, self._published, self._plans)), place)

    def finish(self, outcomes: Sequence[Outcome], folder: Path) -> None:
        """Put the shard's table together."""
        write_pieces(folder / RADIOMICS_FILE, self._table, self._pieces(outcomes))

    def _pieces(self, outcomes: Sequence[Outcome]) -> Iterator[pa.Table]:
        waiting: list[pa.Table] = []
        for outcome in outcomes:
            waiting.append(self._rows_of(outcome))
            if sum(rows.num_rows for rows in waiting) >= _ROWS_PER_PIECE:
                yield pa.concat_tables(waiting)
                waiting = []
        if waiting:
            yield pa.concat_tables(waiting)

    def _rows_of(self, outcome: Outcome) -> pa.Table:
        if outcome.status is Status.DONE:
            rows = self._written(outcome.scan)
        else:
            assert outcome.reason is not None
            scan, organs = self._scans[outcome.scan], self._published.scheme.structures
            images = [plan.image for plan in self._plans]
            missing = missing_radiomics_rows(scan, images, organs, outcome.reason, outcome.status)
            rows = rows_to_arrow(self._table, list(missing))
        return without_meanings(rows)


def measured_rows(scan: Scan, published: LabelledShard, plans: Sequence[Plan]) -> Iterator[Row]:
    """Measure a scan: a row per planned contrast and organ.

    Raises:
        ScanError: If an image does not lie on the grid of the labelmap, or a file is broken.
    """
    scheme = published.scheme
    labelmap = published.read_labelmap(scan)
    ends = organ_ends(labelmap, published.seen_xyz(scan), published.round_xyz(scan))
    features = joint_feature_names(plans)
    read = reader_of(published, scan)
    shapes: Shapes = {}
    for plan in plans:
        if plan.contrast not in measurable(published, scan):
            yield from missing_radiomics_rows(
                scan, [plan.image], scheme.structures, Reason.CONTRAST_MISSING, Status.DONE
            )
            continue
        facts = published.prepared[scan.scan].facts
        found = measure(plan, read_for(plan, read, labelmap), shapes)
        for organ in scheme.structures:
            row = {**plan.row_key(scan, organ), "status": Status.DONE.value}
            if organ.label in found:
                region, beside = found[organ.label]
                heights_mm = ends[organ.label].heights_mm
                if shows_other_tissue(plan.contrast, heights_mm, facts):
                    region = without_intensities(region, FeatureReason.FAT_WATER_SWAPPED)
                yield {
                    **row,
                    "truncated": bool(ends[organ.label].touches),
                    "resampled": is_resampled(heights_mm, facts),
                    **beside,
                    **region_values(region, plan.feature_names, features),
                }
            elif scheme.covers(organ):
                yield {**row, "n_voxels": 0, "na_reason": OrganReason.NOT_FOUND.value}
            else:
                yield {**row, "na_reason": OrganReason.NOT_IN_SCHEME.value}

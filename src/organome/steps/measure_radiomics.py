"""measure_radiomics: images + labelmap -> radiomics features, a row per scan, organ and image."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from organome.domain.errors import ScanError, SetupError
from organome.domain.outcomes import JsonValue, Outcome, Reason, Status
from organome.domain.radiomics_settings import Engine
from organome.domain.radiomics_tables import FAT_FRACTION, radiomics_table
from organome.domain.scans import Contrast, Scan
from organome.io.identity import input_identity
from organome.io.ledgers import LEDGER, read_ledger
from organome.io.scan_lists import read_shard
from organome.io.tables import read_table, rows_to_arrow, write_table
from organome.steps.radiomics_plans import Plan, joint_feature_names, read_plans
from organome.steps.radiomics_scans import ScanJob, measured_rows, missing_rows
from organome.steps.scans_ahead import ScansAhead
from organome.steps.shards import run_shard

RADIOMICS_FILE: Final = "radiomics.parquet"


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
        output: Folder to publish: the ledger, ``radiomics.parquet`` and a table per scan.
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
    prepared = read_ledger(images / LEDGER)
    labelled = read_ledger(labelmaps / LEDGER)
    for scan in scans:
        if scan.scan not in prepared:
            raise SetupError(f"{images / LEDGER}: {scan.scan} is listed but not in it")
    jobs = {
        scan.scan: ScanJob(
            scan=scan.scan,
            labelmap=labelmaps / f"{scan.scan}_labels.nii.gz",
            images=tuple(_image_files(images, scan, prepared[scan.scan])),
            scheme=labelled[scan.scan].facts["scheme"],
            plans=plans,
        )
        for scan in scans
        if scan.scan in labelled and labelled[scan.scan].status is Status.DONE
    }
    with ScansAhead(measured_rows, jobs, n_processes=n_processes) as ahead:
        return run_shard(
            MeasureRadiomics(plans=plans, jobs=jobs, prepared=prepared, ahead=ahead),
            scans=scans,
            upstream=labelled,
            output=output,
            work=work,
            max_same_reason_share=max_same_reason_share,
            on_outcome=on_outcome,
        )


class MeasureRadiomics:
    """Measuring features, a scan at a time."""

    name = "measure_radiomics"
    version = 1

    def __init__(
        self,
        *,
        plans: Sequence[Plan],
        jobs: Mapping[str, ScanJob],
        prepared: Mapping[str, Outcome],
        ahead: ScansAhead[ScanJob, list[dict[str, Any]]],
    ) -> None:
        self._plans = plans
        self._jobs = jobs
        self._prepared = prepared
        self._ahead = ahead
        self._table = radiomics_table(joint_feature_names(plans))

    def settings(self) -> Mapping[str, JsonValue]:
        """All settings that change results."""
        return {plan.contrast: plan.digest for plan in self._plans}

    def input_identity(self, scan: Scan, upstream: Outcome | None) -> JsonValue:
        """The outcomes before and the labelmap itself: GPUs differ in single voxels."""
        return [
            self._prepared[scan.scan].fingerprint,
            upstream.fingerprint if upstream else None,
            input_identity(self._jobs[scan.scan].labelmap),
        ]

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
        if not set(wanted) & {name for name, _ in self._jobs[scan.scan].images}:
            raise ScanError(Reason.CONTRAST_MISSING, f"has none of {', '.join(wanted)}")
        rows = self._ahead.result(scan.scan)
        write_table(place(RADIOMICS_FILE), rows_to_arrow(self._table, rows))
        return {"n_rows": len(rows)}

    def finish(self, outcomes: Sequence[Outcome], folder: Path) -> None:
        """Write the shard's table."""
        rows: list[dict[str, Any]] = []
        for outcome in outcomes:
            if outcome.status is Status.DONE:
                rows += read_table(folder / f"{outcome.scan}_{RADIOMICS_FILE}").to_pylist()
            else:
                assert outcome.reason is not None
                rows += missing_rows(outcome.scan, self._plans, outcome.reason)
        write_table(folder / RADIOMICS_FILE, rows_to_arrow(self._table, rows))


def _image_files(images: Path, scan: Scan, prepared: Outcome) -> list[tuple[str, tuple[Path, ...]]]:
    """Name the files of each image that can be measured; a fat fraction has two."""
    found = prepared.facts.get("contrasts", ())
    files: list[tuple[str, tuple[Path, ...]]] = [
        (name, (images / f"{scan.scan}_{name}.nii.gz",)) for name in found
    ]
    if {Contrast.FAT, Contrast.WATER} <= set(found):
        both = tuple(
            images / f"{scan.scan}_{name}.nii.gz" for name in (Contrast.FAT, Contrast.WATER)
        )
        files.append((FAT_FRACTION, both))
    return files

"""evaluate_labels: labelmaps of a shard against references -> metrics, a row per scan and organ.

A scan without a reference is passed over and counted. One whose labelling failed is not: its
reference is compared with an empty labelmap, where the profile says that it counts as missed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from math import hypot
from pathlib import Path
from typing import Any, Final

import SimpleITK as sitk

from organome.compute.labelmaps.delivered import merge_to_organs
from organome.compute.metrics.label_metrics import LabelMetrics, compare_labelmaps, resample_nearest
from organome.domain.errors import ScanError, SetupError
from organome.domain.evaluations import (
    EVALUATED_SCANS,
    ORGAN_METRICS,
    Compared,
    FailedScans,
    Profile,
    Reference,
    is_vessel,
    profile_by_name,
    reference_identity,
)
from organome.domain.organs import Organ
from organome.domain.outcomes import JsonValue, Outcome, Reason, Status
from organome.domain.presence import Presence
from organome.domain.rows import Row
from organome.domain.scans import Scan
from organome.domain.schemes import LabelScheme
from organome.io.files.identity import input_identity
from organome.io.images.image_files import read_delivered
from organome.io.images.labelmaps import labelmap_identity, labelmap_path, read_labelmap
from organome.io.tables.ledgers import LEDGER, read_ledger
from organome.io.tables.parquet import rows_to_arrow, write_table
from organome.io.tables.references import read_references
from organome.io.tables.scan_lists import read_shard
from organome.io.tables.schemes import find_scheme, scheme_of_labelmaps
from organome.io.tables.step_settings import write_settings
from organome.shards.run import run_shard

_FAILED: Final = "failed"


def run(
    *,
    shard: Path,
    labelmaps: Path,
    references: Path,
    output: Path,
    work: Path,
    profile: str = "mrsegmentator-paper",
    tolerance_mm: float = 2.0,
    n_processes: int = 1,
    max_same_reason_share: float = 0.5,
    on_outcome: Callable[[Outcome], None] | None = None,
) -> tuple[Outcome, ...]:
    """Compare the labelmaps of a shard with references.

    Args:
        shard: List of the shard's scans.
        labelmaps: Folder of the shard that segment_organs published.
        references: TSV of the references; docs/evaluate.md.
        output: Folder to publish: the ledger, ``organ_metrics.parquet`` and
            ``evaluated_scans.parquet``.
        work: Folder for what is under way.
        profile: How to evaluate: ``mrsegmentator-paper`` or ``mrsegmentator-released``.
        tolerance_mm: How far surfaces may lie apart for the surface Dice.
        n_processes: Scans that are done at the same time.
        max_same_reason_share: Above this share of scans failing for one reason, the job stops.
        on_outcome: Called after each scan.

    Returns:
        One outcome per scan, in order.

    Raises:
        SetupError: If the list of references or a label scheme is wrong; if segment_organs has not
            been through the shard.
    """
    scans = read_shard(shard)
    step = EvaluateLabels(
        scans,
        labelmaps=labelmaps,
        references=read_references(references),
        profile=profile_by_name(profile),
        tolerance_mm=tolerance_mm,
    )
    return run_shard(
        step,
        scans=scans,
        upstream=step.labelled,
        output=output,
        work=work,
        workers=[step] * n_processes,
        max_same_reason_share=max_same_reason_share,
        on_outcome=on_outcome,
    )


class EvaluateLabels:
    """Comparing, a scan at a time.

    Attributes:
        labelled: What became of each scan in segment_organs; failures are facts here, because a
            scan that has a reference is evaluated whatever became of it.
    """

    name = "evaluate_labels"
    version = 2

    def __init__(
        self,
        scans: Sequence[Scan],
        *,
        labelmaps: Path,
        references: Sequence[Reference],
        profile: Profile,
        tolerance_mm: float,
    ) -> None:
        ledger = read_ledger(labelmaps / LEDGER)
        self.labelled = {key: _as_fact(outcome) for key, outcome in ledger.items()}
        self._labelmaps = labelmaps
        self._scheme = scheme_of_labelmaps(labelmaps, ledger)
        self._profile = profile
        self._tolerance_mm = tolerance_mm
        wanted = {reference_identity(scan): scan.scan for scan in scans}
        self._references = {
            wanted[one.identity]: one for one in references if one.identity in wanted
        }
        self._schemes = {
            word: _matching(find_scheme(word), self._scheme)
            for word in sorted({one.scheme for one in self._references.values()})
        }

    def settings(self) -> Mapping[str, JsonValue]:
        """All settings that change results."""
        return {"profile": self._profile.name, "tolerance_mm": self._tolerance_mm}

    def input_identity(self, scan: Scan, upstream: Outcome | None) -> JsonValue:
        """The labelmap, or that there is none; the reference and what its labels mean."""
        assert upstream is not None
        reference = self._references.get(scan.scan)
        if reference is None:
            return None
        labelmap = upstream.facts.get(_FAILED) or labelmap_identity(
            labelmap_path(self._labelmaps, scan.scan)
        )
        scheme = self._schemes[reference.scheme]
        return [
            upstream.fingerprint,
            labelmap,
            self._scheme.name,
            input_identity(Path(reference.labelmap)),
            scheme.name,
        ]

    def run_scan(
        self,
        scan: Scan,
        upstream: Outcome | None,
        place: Callable[[str], Path],  # noqa: ARG002 all results are facts
    ) -> Mapping[str, JsonValue]:
        """Compare one scan with its reference.

        Raises:
            ScanError: The reference cannot be read, has unknown labels or lies on another grid.
        """
        assert upstream is not None
        reference = self._references.get(scan.scan)
        if reference is None:
            return {"compared": Compared.NO_REFERENCE}
        has_failed = _FAILED in upstream.facts
        if has_failed and self._profile.failed_scans is FailedScans.LEFT_OUT:
            return {"compared": Compared.FAILED_LEFT_OUT}
        predicted = None if has_failed else read_labelmap(labelmap_path(self._labelmaps, scan.scan))
        scheme = self._schemes[reference.scheme]
        truth = read_reference(reference, scheme, predicted)
        organs = self._profile.organs(scheme, self._scheme)
        return {
            "compared": Compared.FAILED_COUNTED if has_failed else Compared.COMPARED,
            "organs": self._metrics(
                _empty(truth) if predicted is None else predicted, truth, organs
            ),
        }

    def _metrics(
        self, predicted: sitk.Image, truth: sitk.Image, organs: Sequence[Organ]
    ) -> dict[str, JsonValue]:
        diagonal_mm = hypot(
            *(n * mm for n, mm in zip(truth.GetSize(), truth.GetSpacing(), strict=True))
        )
        if self._profile.spacing_xyz_mm is not None:
            predicted, truth = (
                resample_nearest(one, self._profile.spacing_xyz_mm) for one in (predicted, truth)
            )
        found = compare_labelmaps(
            predicted,
            truth,
            [organ.label for organ in organs],
            tolerance_mm=self._tolerance_mm,
            centreline_labels=[organ.label for organ in organs if is_vessel(organ)],
        )
        return {
            organ.name: _facts(one, diagonal_mm) for organ, one in zip(organs, found, strict=True)
        }

    def finish(self, outcomes: Sequence[Outcome], folder: Path) -> None:
        """Write the shard's rows of organs and scans, and the settings."""
        scans: list[Row] = []
        organs: list[Row] = []
        for one in outcomes:
            labelled = self.labelled[one.scan].facts
            why = {"reason": one.reason and one.reason.value, "fact": one.fact}
            scans.append(
                {
                    "scan": one.scan,
                    "compared": one.facts.get("compared", Compared.NOT_COMPARABLE),
                    **(labelled.get(_FAILED, why) if one.status is Status.DONE else why),
                    "contrast": labelled.get("contrast"),
                }
            )
            organs += [
                {"scan": one.scan, "organ": name, **facts}
                for name, facts in one.facts.get("organs", {}).items()
            ]
        write_table(folder / EVALUATED_SCANS.file_name, rows_to_arrow(EVALUATED_SCANS, scans))
        organs.sort(key=lambda row: (row["scan"], row["label"]))
        write_table(folder / ORGAN_METRICS.file_name, rows_to_arrow(ORGAN_METRICS, organs))
        write_settings(folder, self.settings())


def _as_fact(outcome: Outcome) -> Outcome:
    """Take a failure for a fact: the runner passes failed scans by."""
    if outcome.status is Status.DONE:
        return outcome
    why = {"reason": outcome.reason and outcome.reason.value, "fact": outcome.fact}
    return replace(outcome, status=Status.DONE, reason=None, fact=None, facts={_FAILED: why})


def _matching(scheme: LabelScheme, prediction: LabelScheme) -> LabelScheme:
    if scheme.structures != prediction.structures:
        raise SetupError(
            f"label scheme {scheme.name} of references and {prediction.name} of labelmaps name "
            "different organs: they cannot be compared"
        )
    return scheme


def read_reference(
    reference: Reference, scheme: LabelScheme, predicted: sitk.Image | None
) -> sitk.Image:
    """Read a reference as labels of the organs, on the grid of the prediction if there is one.

    Raises:
        ScanError: What is wrong with the reference.
    """
    try:
        delivered = read_delivered(Path(reference.labelmap), constant=True)
        return merge_to_organs(delivered, scheme, predicted)
    except ScanError as error:
        if error.reason is Reason.FILE_MISSING:
            fact = "the listed reference does not exist"
            raise ScanError(Reason.LABELMAP_MISSING, fact) from error
        raise ScanError(error.reason, f"reference: {error.fact}") from error


def _empty(labelmap: sitk.Image) -> sitk.Image:
    empty = sitk.Image(labelmap.GetSize(), sitk.sitkUInt8)
    empty.CopyInformation(labelmap)
    return empty


def _facts(metrics: LabelMetrics, diagonal_mm: float) -> dict[str, Any]:
    """Return the metrics of an organ as they stand in its row."""
    one_lacks_it = metrics.presence in (Presence.MISSED, Presence.FALSELY_ADDED)
    return {
        **asdict(metrics),
        "presence": metrics.presence.value,
        "hd95_penalised_mm": diagonal_mm if one_lacks_it else metrics.hd95_mm,
    }

"""segment_organs: images -> labelmaps of the 40 organs on the very grid of the image.

The labels come from a model, loaded once per shard, or from labelmaps that exist already.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, assert_never

from organome.compute.faces import share_grid
from organome.compute.labels import remap_labelmap
from organome.domain.errors import ScanError, SetupError
from organome.domain.outcomes import JsonValue, Outcome, Reason
from organome.domain.scans import Contrast, Scan
from organome.domain.schemes import LabelScheme, scheme_by_name
from organome.io.images import write_image
from organome.io.ledgers import LEDGER, read_ledger
from organome.io.scan_lists import read_shard
from organome.steps.cohort_roots import CohortRoot
from organome.steps.labellers import (
    Device,
    Labeller,
    ListedLabelmaps,
    ModelLabeller,
    load_labeller,
)
from organome.steps.measure_volumes import read_published
from organome.steps.pin_model import check_pinned
from organome.steps.shards import run_shard

LABELS_FILE: Final = "labels.nii.gz"
LabelSource = Literal["model", "labelmaps"]


def run(
    *,
    shard: Path,
    images: Path,
    output: Path,
    work: Path,
    root: Path | None = None,
    source: LabelSource = "model",
    model: Path | None = None,
    model_digest: Path | None = None,
    scheme: str = "mrsegmentator",
    contrasts: Sequence[Contrast] = (Contrast.WATER, Contrast.IN_PHASE, Contrast.CT),
    device: Device = "auto",
    tile_step_size: float = 0.5,
    n_threads: int = 1,
    n_processes: int = 1,
    n_gpus: int = 1,
    max_same_reason_share: float = 0.5,
    on_outcome: Callable[[Outcome], None] | None = None,
) -> tuple[Outcome, ...]:
    """Label all scans of a shard.

    Args:
        shard: List of the shard's scans.
        images: Folder of the shard that prepare_images published.
        output: Folder to publish: the ledger and ``<scan>_labels.nii.gz`` (uint8).
        work: Folder for what is under way.
        root: Where the cohort lies, as it was listed; for ``labelmaps``. When it is gone or empty,
            its mount is lost and the job stops; without it, labelmaps on a lost mount count as
            missing.
        source: ``model`` runs a network, ``labelmaps`` takes the labelmap listed for each scan.
        model: Model folder; needed for ``model``.
        model_digest: File with the digest that the model must have, as pin-model wrote it.
        scheme: What the source's labels mean.
        contrasts: Wanted contrasts, best first; the first that a scan has is labelled. A scan with
            none of them but with one image is labelled all the same.
        device: Where the network runs.
        tile_step_size: Step of the sliding window as a share of the patch.
        n_threads: Threads of the network on a CPU, in each process.
        n_processes: Scans that are done at the same time on each GPU, or without a GPU.
        n_gpus: GPUs to use, where the network runs on GPUs.
        max_same_reason_share: Above this share of scans failing for one reason, the job stops.
        on_outcome: Called after each scan.

    Returns:
        One outcome per scan, in order.

    Raises:
        SetupError: No model, another one than was pinned, an unknown scheme, or the step before has
            not been through.
        MachineFault: No GPU where one was asked for or a broken one, the cohort or the model is
            not there, or the machine is at fault in another way.
    """
    for name, number in (("n_processes", n_processes), ("n_gpus", n_gpus)):
        if number < 1:
            raise SetupError(f"{name} is {number}, 1 or more needed")
    meaning = scheme_by_name(scheme)
    labellers: Sequence[Labeller]
    match source:
        case "labelmaps":
            cohort_root = CohortRoot(root)
            cohort_root.check()
            labellers = [ListedLabelmaps(cohort_root)] * n_processes
        case "model":
            labeller = load_labeller(
                model, device=device, tile_step_size=tile_step_size, n_threads=n_threads
            )
            if model_digest is not None:
                check_pinned(str(labeller.facts["model_digest"]), pinned=model_digest)
            labellers = _on_all_gpus(labeller, device=device, n_gpus=n_gpus) * n_processes
        case _:
            assert_never(source)
    steps = [
        SegmentOrgans(images=images, labeller=one, scheme=meaning, contrasts=contrasts)
        for one in labellers
    ]
    return run_shard(
        steps[0],
        scans=read_shard(shard),
        upstream=read_ledger(images / LEDGER),
        output=output,
        work=work,
        workers=steps,
        max_same_reason_share=max_same_reason_share,
        on_outcome=on_outcome,
    )


def _on_all_gpus(labeller: ModelLabeller, *, device: Device, n_gpus: int) -> list[ModelLabeller]:
    """Give a labeller for each GPU, the one labeller where there is one GPU or none.

    Raises:
        MachineFault: There are fewer GPUs than asked for.
    """
    if n_gpus == 1 or device == "cpu":
        return [labeller]

    from organome.compute.segmentation import choose_device

    if choose_device(device, number=n_gpus - 1).type == "cpu":
        return [labeller]
    return [labeller.on_gpu(number) for number in range(n_gpus)]


class SegmentOrgans:
    """Labelling, a scan at a time."""

    name = "segment_organs"
    version = 1

    def __init__(
        self,
        *,
        images: Path,
        labeller: Labeller,
        scheme: LabelScheme,
        contrasts: Sequence[Contrast],
    ) -> None:
        self._images = images
        self._labeller = labeller
        self._scheme = scheme
        self._contrasts = contrasts

    def settings(self) -> Mapping[str, JsonValue]:
        """All settings that change results."""
        return {
            **self._labeller.settings,
            "scheme": self._scheme.name,
            "contrasts": [contrast.value for contrast in self._contrasts],
        }

    def input_identity(self, scan: Scan, upstream: Outcome | None) -> JsonValue:
        """The prepared image, by the fingerprint of its outcome, and the listed labelmap."""
        return [upstream.fingerprint if upstream else None, self._labeller.identity(scan)]

    def run_scan(
        self, scan: Scan, upstream: Outcome | None, place: Callable[[str], Path]
    ) -> Mapping[str, JsonValue]:
        """Label one scan.

        Raises:
            ScanError: It has none of the wanted contrasts, or its labelmap does not fit.
        """
        assert upstream is not None
        contrast = choose_contrast(upstream.facts["contrasts"], self._contrasts)
        image = read_published(self._images / f"{scan.scan}_{contrast}.nii.gz")
        labelmap = remap_labelmap(self._labeller.label(scan, image), self._scheme)
        if not share_grid(image, labelmap):
            raise ScanError(
                Reason.LABELMAP_OFF_GRID,
                f"labelmap of {labelmap.GetSize()} voxels does not lie on the image's grid"
                f" of {image.GetSize()}",
            )
        labelmap.CopyInformation(image)  # the grids may still differ by rounding
        write_image(place(LABELS_FILE), labelmap)
        return {
            **self._labeller.facts,
            "contrast": contrast.value,
            "scheme": self._scheme.name,
        }

    def finish(self, outcomes: Sequence[Outcome], folder: Path) -> None:
        """Write nothing more: the ledger says it all."""


def choose_contrast(available: Sequence[str], wanted: Sequence[Contrast]) -> Contrast:
    """Choose the image of a scan that is labelled.

    Args:
        available: Contrasts of the scan.
        wanted: Contrasts in order of preference.

    Raises:
        ScanError: The scan has none of the wanted contrasts, and more than one other.
    """
    for contrast in wanted:
        if contrast.value in available:
            return contrast
    if len(available) == 1:
        return Contrast(available[0])
    raise ScanError(
        Reason.CONTRAST_MISSING,
        f"has {', '.join(sorted(available)) or 'no image'}, wanted {', '.join(wanted)}",
    )

"""segment_organs: images -> labelmaps of the 40 organs on the very grid of the image.

The labels come from a model, loaded once per shard, or from labelmaps that exist already.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal

from organome.compute.faces import share_grid
from organome.compute.labels import remap_labelmap
from organome.domain.errors import ScanError
from organome.domain.outcomes import JsonValue, Outcome, Reason
from organome.domain.scans import Contrast, Scan
from organome.domain.schemes import LabelScheme, scheme_by_name
from organome.io.images import write_image
from organome.io.ledgers import LEDGER, read_ledger
from organome.io.scan_lists import read_shard
from organome.steps.labellers import Labeller, ListedLabelmaps, load_labeller
from organome.steps.measure_volumes import read_published
from organome.steps.shards import run_shard

LABELS_FILE: Final = "labels.nii.gz"
LabelSource = Literal["model", "labelmaps"]


def run(
    *,
    shard: Path,
    images: Path,
    output: Path,
    work: Path,
    source: LabelSource = "model",
    model: Path | None = None,
    scheme: str = "mrsegmentator",
    contrasts: Sequence[Contrast] = (Contrast.WATER, Contrast.IN_PHASE, Contrast.CT),
    device: Literal["auto", "cpu", "cuda"] = "auto",
    tile_step_size: float = 0.5,
    n_threads: int = 1,
    max_same_reason_share: float = 0.5,
    on_outcome: Callable[[Outcome], None] | None = None,
) -> tuple[Outcome, ...]:
    """Label all scans of a shard.

    Args:
        shard: List of the shard's scans.
        images: Folder of the shard that prepare_images published.
        output: Folder to publish: the ledger and ``<scan>_labels.nii.gz`` (uint8).
        work: Folder for what is under way.
        source: ``model`` runs a network, ``labelmaps`` takes the labelmap listed for each scan.
        model: Model folder; needed for ``model``.
        scheme: What the source's labels mean.
        contrasts: Wanted contrasts, best first; the first that a scan has is labelled. A scan with
            none of them but with one image is labelled all the same.
        device: Where the network runs.
        tile_step_size: Step of the sliding window as a share of the patch.
        n_threads: Threads of the network on a CPU.
        max_same_reason_share: Above this share of scans failing for one reason, the job stops.
        on_outcome: Called after each scan.

    Returns:
        One outcome per scan, in order.

    Raises:
        SetupError: No model, an unknown scheme, no GPU where one was asked for, or the step before
            has not been through.
    """
    meaning = scheme_by_name(scheme)
    labeller: Labeller
    if source == "model":
        labeller = load_labeller(
            model, device=device, tile_step_size=tile_step_size, n_threads=n_threads
        )
    else:
        labeller = ListedLabelmaps()
    prepared = read_ledger(images / LEDGER)
    return run_shard(
        SegmentOrgans(images=images, labeller=labeller, scheme=meaning, contrasts=contrasts),
        scans=read_shard(shard),
        upstream=prepared,
        output=output,
        work=work,
        max_same_reason_share=max_same_reason_share,
        on_outcome=on_outcome,
    )


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

"""Labelling by a model, in the three stages of a pipeline: read, run the network, write."""

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from copy import copy
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from organome.compute.geometry.arrays import Labels
from organome.compute.geometry.grids import share_grid, voxel_ml
from organome.compute.labelmaps.consensus import Agreement, count_votes, majority, measure_agreement
from organome.domain.contrast_choice import ContrastChoice
from organome.domain.contrasts import Combine, LeftOut
from organome.domain.inference import TRANSFORM_BYTES, FoldAverage, MemoryNeed
from organome.domain.organs import Organ
from organome.domain.outcomes import JsonValue, Outcome
from organome.domain.scans import Contrast, Scan
from organome.io.images.image_files import read_published
from organome.steps.segment.labelling import DECIMALS, STEP, VERSION, Labelling
from organome.steps.segment.model_labeller import ModelLabeller

ByLabel = Mapping[int, Agreement]


@dataclass(frozen=True, slots=True)
class LabelledScan:
    """A scan with the images that are labelled.

    Attributes:
        scan: The scan.
        choice: Which of its images are wanted.
        path: Where the first of them was published.
        image: That image; all labels must lie on its grid.
        images: Contrast of those that are prepared or labelled so far, and what the labeller has
            made of each.
        left_out: Wanted images that take no part.
    """

    scan: Scan
    choice: ContrastChoice
    path: Path
    image: sitk.Image
    images: tuple[tuple[Contrast, Any], ...]
    left_out: Mapping[Contrast, LeftOut]


class SegmentOrgans:
    """Label scans with a model.

    Args:
        labelling: Which images are labelled, and how labelmaps are finished.
        labeller: The model.
        fold_agreement: Measure how far the folds of the model agree on each organ.
    """

    name = STEP
    version = VERSION

    def __init__(
        self, labelling: Labelling, labeller: ModelLabeller, *, fold_agreement: bool = False
    ) -> None:
        self._labelling = labelling
        self._labeller = labeller
        self._fold_agreement = fold_agreement
        self._is_lean = False
        self.n_readers = labeller.n_readers

    def start(self) -> None:
        """Load the network."""
        self._labeller.start()

    def alone(self) -> "SegmentOrgans":
        """Return the step that has the memory of its GPU for itself."""
        other = copy(self)
        other._labeller = self._labeller.alone()
        return other

    def lean(self) -> "SegmentOrgans":
        """Return the step with less memory, itself if it needs the least.

        Labelmaps are the same, unless it is lean already and the model has several folds.
        """
        labeller = self._labeller.lean()
        if self._is_lean and labeller is self._labeller:
            return self
        other = copy(self)
        other._labeller = labeller
        other._is_lean = True
        return other

    def memory_need(self, scan: Scan, before: Outcome | None) -> MemoryNeed | None:  # noqa: ARG002
        """Predict what a scan takes from the grid of its images; None where it is not known."""
        facts = before.facts if before is not None else {}
        if not {"size_xyz", "spacing_xyz_mm"} <= facts.keys():
            return None
        need = self._labeller.memory_need(facts["size_xyz"], facts["spacing_xyz_mm"])
        if self._labelling.transforms:
            changing_bytes = TRANSFORM_BYTES * prod(facts["size_xyz"])
            need = replace(need, prepare_bytes=max(need.prepare_bytes, changing_bytes))
        if self._labelling.combine is not Combine.CONSENSUS:
            return need
        # One image is prepared while the network runs on another; labelmaps wait for the vote.
        ahead_bytes = 0 if self._is_lean else need.prepare_bytes
        waiting_bytes = 2 * prod(facts["size_xyz"]) * len(facts["contrasts"])
        return replace(
            need,
            infer_bytes=need.infer_bytes + ahead_bytes,
            restore_bytes=need.restore_bytes + waiting_bytes,
        )

    def device_free_bytes(self) -> int | None:
        """Return how much memory of a GPU a scan may take; None where there is none."""
        return self._labeller.device_free_bytes()

    def settings(self) -> Mapping[str, JsonValue]:
        """Return all settings that change results."""
        return self._labelling.settings(self._labeller.settings)

    def input_identity(self, scan: Scan, upstream: Outcome | None) -> JsonValue:  # noqa: ARG002
        """Return the fingerprint of the prepared images."""
        return [upstream.fingerprint if upstream else None, None]

    def run_scan(
        self, scan: Scan, upstream: Outcome | None, place: Callable[[str], Path]
    ) -> Mapping[str, JsonValue]:
        """Label one scan.

        Raises:
            ScanError: It has none of the wanted contrasts, or cannot be labelled.
        """
        return self.write(self.work(self.read(scan, upstream)), place)

    def read(self, scan: Scan, before: Outcome | None) -> LabelledScan:
        """Choose the images to label, and read and prepare the first of them.

        Raises:
            ScanError: It has none of the wanted contrasts, or the image cannot be prepared.
        """
        assert before is not None
        choice = self._labelling.choose(before)
        path = self._labelling.image_path(scan, choice.contrasts[0])
        image = read_published(path)
        first = (choice.contrasts[0], self._prepare(image, choice.contrasts[0]))
        return LabelledScan(scan, choice, path, image, (first,), choice.left_out)

    def work(self, item: LabelledScan) -> LabelledScan:
        """Run the network on each image, one after the other.

        Raises:
            ScanError: An image is too large for the memory, or the network gives no numbers.
        """

        def prepare(contrast: Contrast) -> Any:
            image = read_published(self._labelling.image_path(item.scan, contrast))
            if not share_grid(item.image, image):
                return None
            return self._prepare(image, contrast)

        done, left_out = [], dict(item.left_out)
        (first,), others = item.images, item.choice.contrasts[1:]
        with closing(_in_turn(first, others, prepare, ahead=not self._is_lean)) as coming:
            for contrast, prepared in coming:
                if prepared is None:
                    left_out[contrast] = LeftOut.OTHER_GRID
                else:
                    done.append((contrast, self._labeller.segmenter.infer(prepared)))
        return replace(item, images=tuple(done), left_out=left_out)

    def write(self, item: LabelledScan, place: Callable[[str], Path]) -> Mapping[str, JsonValue]:
        """Make one labelmap of the labels, check its sides, and write it.

        Raises:
            ScanError: The labels do not lie on the grid of the image, or are unknown.
        """

        def organs(labels: sitk.Image) -> sitk.Image:
            return self._labelling.organs(labels, image=item.image)

        labelmaps, of_folds = [], []
        for _, labels in item.images:
            labelmaps.append(organs(self._labeller.segmenter.restore(labels)))
            if self._fold_agreement:
                folds = self._labeller.segmenter.restore_folds(labels)
                of_folds.append(_agreement([organs(fold) for fold in folds]))
        labelmap, of_contrasts = _elect(labelmaps)
        scheme = self._labelling.scheme
        sides = self._labelling.write(labelmap, image=item.path, place=place)
        return {
            **self._labeller.facts,
            **_fold_facts(item),
            "contrast": item.choice.contrasts[0].value,
            "contrast_choice": item.choice.reason.value,
            **self._vote_facts(item),
            "scheme": scheme.name,
            **_agreement_facts(of_contrasts, of_folds, scheme.structures),
            **sides,
        }

    def _prepare(self, image: sitk.Image, contrast: Contrast) -> Any:
        """Prepare an image for the network, changed before where that is wanted."""
        transform = self._labelling.transforms.get(contrast)
        if transform is not None:
            # Here: scikit-image takes a while to import, and hardly a run needs it.
            from organome.compute.inference.transforms import transform_image

            image = transform_image(image, transform)
        return self._labeller.segmenter.prepare(image)

    def finish(self, outcomes: Sequence[Outcome], folder: Path) -> None:  # noqa: ARG002
        """Write what the labels mean and what made them."""
        self._labelling.finish(folder, self.settings())

    def _vote_facts(self, item: LabelledScan) -> dict[str, JsonValue]:
        if self._labelling.combine is not Combine.CONSENSUS:
            return {}
        return {
            "consensus_contrasts": [contrast.value for contrast, _ in item.images],
            "contrasts_left_out": [
                f"{contrast}:{reason}" for contrast, reason in item.left_out.items()
            ],
        }


def _fold_facts(item: LabelledScan) -> dict[str, JsonValue]:
    """Say how folds were averaged; of several images, how the worst was."""
    found = {labels.fold_average for _, labels in item.images} - {None}
    if not found:
        return {}
    return {"fold_average": max(found, key=list(FoldAverage).index).value}


def _in_turn(
    first: tuple[Contrast, Any],
    others: Sequence[Contrast],
    prepare: Callable[[Contrast], Any],
    *,
    ahead: bool,
) -> Generator[tuple[Contrast, Any]]:
    """Prepare images one after the other, so that no more than two are in memory at a time.

    Args:
        first: One that is prepared already.
        others: What else to prepare.
        prepare: Reads and prepares one; None where it takes no part.
        ahead: Prepare the next one while the last is used.
    """
    if not ahead or not others:
        yield first
        for contrast in others:
            yield contrast, prepare(contrast)
        return
    with ThreadPoolExecutor(max_workers=1) as reader:
        coming = reader.submit(prepare, others[0])
        yield first
        for place, contrast in enumerate(others, start=1):
            prepared = coming.result()
            if place < len(others):
                coming = reader.submit(prepare, others[place])
            yield contrast, prepared


def _elect(labelmaps: Sequence[sitk.Image]) -> tuple[sitk.Image, ByLabel]:
    """Put labelmaps on one grid to the vote.

    Args:
        labelmaps: uint8, of the preferred contrast first: it decides ties.

    Returns:
        The elected labelmap, the very one where there is only one; and how far they agreed.
    """
    first = labelmaps[0]
    if len(labelmaps) == 1:
        return first, {}
    arrays = [sitk.GetArrayViewFromImage(one) for one in labelmaps]
    votes = count_votes(arrays)
    elected = sitk.GetImageFromArray(majority(arrays[0], votes))
    elected.CopyInformation(first)
    return elected, measure_agreement(votes, voxel_ml=voxel_ml(first))


def _agreement(labelmaps: Sequence[sitk.Image]) -> ByLabel:
    """Measure how far the folds of a model agree on one image."""
    if not labelmaps:
        return {}
    arrays: list[Labels] = [sitk.GetArrayViewFromImage(one) for one in labelmaps]
    return measure_agreement(count_votes(arrays), voxel_ml=voxel_ml(labelmaps[0]))


def _agreement_facts(
    of_contrasts: ByLabel, of_folds: Sequence[ByLabel], structures: Iterable[Organ]
) -> dict[str, JsonValue]:
    """Turn agreement into facts by organ; what was not measured is left out.

    Args:
        of_contrasts: Agreement of the contrasts.
        of_folds: Agreement of the folds on each contrast; the mean over contrasts is taken.
        structures: What the labels mean.
    """
    facts: dict[str, JsonValue] = {}
    for organ in structures:
        of_organ: dict[str, JsonValue] = {}
        for prefix, measured in (("contrast", [of_contrasts]), ("fold", of_folds)):
            found = [by_label[organ.label] for by_label in measured if organ.label in by_label]
            if found:
                dice = float(np.mean([one.dice for one in found]))
                volume_sd_ml = float(np.mean([one.volume_sd_ml for one in found]))
                of_organ[f"{prefix}_dice"] = round(dice, DECIMALS)
                of_organ[f"{prefix}_volume_sd_ml"] = round(volume_sd_ml, DECIMALS)
        if of_organ:
            facts[organ.name] = of_organ
    return {"agreement": facts} if facts else {}

"""Labelling one scan: images -> labelmap, in the three stages of a pipeline."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from copy import copy
from dataclasses import replace
from math import prod
from pathlib import Path

import SimpleITK as sitk

from organome.compute.geometry.faces import share_grid
from organome.compute.labelmaps.remapping import remap_labelmap
from organome.domain.contrasts import Combine, FatWater, LeftOut
from organome.domain.errors import ScanError
from organome.domain.inference import MemoryNeed
from organome.domain.outcomes import JsonValue, Outcome, Reason
from organome.domain.scans import Contrast, Scan
from organome.domain.schemes import LabelScheme
from organome.domain.steps import SEGMENT_ORGANS, SEGMENT_ORGANS_VERSION
from organome.io.images.image_files import read_published
from organome.io.images.labelmaps import LABELS_FILE, label_table, write_labelmap
from organome.io.tables.schemes import write_published_scheme
from organome.steps.segment.contrast_choice import choose_contrasts, suitable_contrasts
from organome.steps.segment.images_in_hand import ImageInHand, ScanInHand, in_turn
from organome.steps.segment.labellers import Labeller
from organome.steps.segment.settled_labels import (
    agreement_facts,
    elect,
    fold_agreement,
    settle_sides,
)


class SegmentOrgans:
    """Labelling, a scan at a time, in three stages: read, run the network, write."""

    name = SEGMENT_ORGANS
    version = SEGMENT_ORGANS_VERSION

    def __init__(
        self,
        *,
        images: Path,
        labeller: Labeller,
        scheme: LabelScheme,
        contrasts: Sequence[Contrast],
        combine: Combine = Combine.FIRST,
        fold_agreement: bool = False,
        repair_sides: bool = False,
    ) -> None:
        self._images = images
        self._labeller = labeller
        self._scheme = scheme
        self._contrasts = contrasts
        self._combine = combine
        self._fold_agreement = fold_agreement
        self._repair_sides = repair_sides
        self._is_lean = False
        self.n_readers = labeller.n_readers

    def start(self) -> None:
        """Load the network."""
        self._labeller.start()

    def lean(self) -> "SegmentOrgans":
        """Give the step that makes the same labelmaps with the least memory."""
        other = copy(self)
        other._labeller = self._labeller.lean()
        other._is_lean = True
        return other

    def memory_need(self, scan: Scan, before: Outcome | None) -> MemoryNeed | None:  # noqa: ARG002
        """Predict what a scan takes from the grid of its images."""
        facts = before.facts if before is not None else {}
        if not {"size_xyz", "spacing_xyz_mm"} <= facts.keys():
            return None
        need = self._labeller.memory_need(facts["size_xyz"], facts["spacing_xyz_mm"])
        if need is None or self._combine is not Combine.CONSENSUS:
            return need
        # One image is prepared while the network runs on another; labelmaps wait for the vote.
        ahead_bytes = 0 if self._is_lean else need.prepare_bytes
        waiting_bytes = 2 * prod(facts["size_xyz"]) * len(facts["contrasts"])
        return replace(
            need,
            infer_bytes=need.infer_bytes + ahead_bytes,
            restore_bytes=need.restore_bytes + waiting_bytes,
        )

    def device_room_bytes(self) -> int | None:
        """Say how much memory of a GPU a scan may take; None where there is none."""
        return self._labeller.device_room_bytes()

    def settings(self) -> Mapping[str, JsonValue]:
        """All settings that change results; later ones only where they are not the default."""
        settings: dict[str, JsonValue] = {
            **self._labeller.settings,
            "scheme": self._scheme.name,
            "contrasts": [contrast.value for contrast in self._contrasts],
        }
        if self._combine is not Combine.FIRST:
            settings["combine"] = self._combine.value
        if self._repair_sides:
            settings["repair_sides"] = True
        return settings

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
        return self.write(self.work(self.read(scan, upstream)), place)

    def read(self, scan: Scan, before: Outcome | None) -> ScanInHand:
        """Choose the images to label, and read and prepare the first of them.

        Raises:
            ScanError: It has none of the wanted contrasts, or its listed labelmap cannot be read.
        """
        assert before is not None
        choice = choose_contrasts(
            suitable_contrasts(before.facts["contrasts"], self._scheme),
            [contrast for contrast in self._contrasts if self._scheme.suits(contrast)],
            combine=self._combine,
            is_swapped=before.facts.get("fat_water") == FatWater.SWAPPED,
        )
        path = self._image_path(scan, choice.contrasts[0])
        image = read_published(path)
        first = ImageInHand(choice.contrasts[0], self._labeller.prepare(scan, image))
        return ScanInHand(scan, choice, path, image, (first,), choice.left_out)

    def work(self, item: ScanInHand) -> ScanInHand:
        """Run the network on each image, one after the other.

        Raises:
            ScanError: An image is too large for the memory, or the network gives no numbers.
        """

        def prepare(contrast: Contrast) -> ImageInHand | None:
            image = read_published(self._image_path(item.scan, contrast))
            if not share_grid(item.image, image):
                return None
            return ImageInHand(contrast, self._labeller.prepare(item.scan, image))

        done, left_out = [], dict(item.left_out)
        (first,), others = item.images, item.choice.contrasts[1:]
        with closing(in_turn(first, others, prepare, ahead=not self._is_lean)) as coming:
            for contrast, image in coming:
                if image is None:
                    left_out[contrast] = LeftOut.OTHER_GRID
                else:
                    done.append(replace(image, labels=self._labeller.infer(image.labels)))
        return replace(item, images=tuple(done), left_out=left_out)

    def write(self, item: ScanInHand, place: Callable[[str], Path]) -> Mapping[str, JsonValue]:
        """Make one labelmap of the labels, check its sides, and write it.

        Raises:
            ScanError: The labels do not lie on the grid of the image, or are unknown.
        """
        labelmaps, of_folds = [], []
        for one in item.images:
            labelmaps.append(self._labelmap(item.image, self._labeller.restore(one.labels)))
            if self._fold_agreement:
                folds = self._labeller.restore_folds(one.labels)
                of_folds.append(fold_agreement([self._labelmap(item.image, one) for one in folds]))
        labelmap, of_contrasts = elect(labelmaps)
        structures = self._scheme.structures
        labelmap, sides = settle_sides(labelmap, structures, repair=self._repair_sides)
        write_labelmap(place(LABELS_FILE), labelmap, label_table(self._scheme), grid_of=item.path)
        return {
            **self._labeller.facts,
            "contrast": item.choice.contrasts[0].value,
            "contrast_choice": item.choice.reason.value,
            **self._vote_facts(item),
            "scheme": self._scheme.name,
            **agreement_facts(of_contrasts, of_folds, structures),
            **sides,
        }

    def _image_path(self, scan: Scan, contrast: Contrast) -> Path:
        return self._images / f"{scan.scan}_{contrast}.nii.gz"

    def _vote_facts(self, item: ScanInHand) -> dict[str, JsonValue]:
        if self._combine is not Combine.CONSENSUS:
            return {}
        return {
            "consensus_contrasts": [one.contrast.value for one in item.images],
            "contrasts_left_out": [
                f"{contrast}:{reason}" for contrast, reason in item.left_out.items()
            ],
        }

    def _labelmap(self, image: sitk.Image, labels: sitk.Image) -> sitk.Image:
        """Give the labels of the organs on the very grid of the image."""
        labelmap = remap_labelmap(labels, self._scheme)
        if not share_grid(image, labelmap):
            raise ScanError(
                Reason.LABELMAP_OFF_GRID,
                f"labelmap of {labelmap.GetSize()} voxels does not lie on the image's grid"
                f" of {image.GetSize()}",
            )
        labelmap.CopyInformation(image)  # the grids may still differ by rounding
        return labelmap

    def finish(self, outcomes: Sequence[Outcome], folder: Path) -> None:  # noqa: ARG002
        """Say what the labels mean."""
        write_published_scheme(folder, self._scheme)

"""What both sources of labels share: which image is labelled, and how its labelmap is finished."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import SimpleITK as sitk

from organome.compute.geometry.turning import onto_grid
from organome.compute.labelmaps.remapping import remap_labelmap
from organome.compute.sides.laterality import check_sides, repair_sides
from organome.compute.sides.orientation import orientation_flags
from organome.domain.contrast_choice import (
    ContrastChoice,
    choose_contrasts,
    suitable_contrasts,
)
from organome.domain.contrasts import Combine, FatWater
from organome.domain.flags import Flag
from organome.domain.inference import Transform
from organome.domain.outcomes import JsonValue, Outcome
from organome.domain.scans import Contrast, Scan
from organome.domain.schemes import LabelScheme
from organome.io.images.labelmaps import LABELS_FILE, write_labelmap
from organome.io.tables.schemes import write_published_scheme
from organome.io.tables.step_settings import write_settings

STEP: Final = "segment_organs"
VERSION: Final = 3  # raised when the same input would give another result
DECIMALS: Final = 6  # of fractions and mL: far below what a voxel is worth


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelling:
    """How the scans of a shard are labelled, wherever their labels come from.

    Attributes:
        images: Folder of the shard that prepare_images published.
        scheme: What the labels of the source mean.
        contrasts: Wanted contrasts, best first.
        combine: Whether one contrast is labelled or all of them vote.
        repair_sides: Whether separate pieces on the wrong side of the body go to the partner.
        transforms: What images of a contrast go through before the network.
    """

    images: Path
    scheme: LabelScheme
    contrasts: Sequence[Contrast]
    combine: Combine = Combine.FIRST
    repair_sides: bool = False
    transforms: Mapping[Contrast, Transform] = field(default_factory=dict)

    def settings(self, of_source: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        """Return all settings that change results; later ones only if they are not the default.

        Args:
            of_source: Those of the source of the labels.
        """
        settings: dict[str, JsonValue] = {
            **of_source,
            "scheme": self.scheme.name,
            "contrasts": [contrast.value for contrast in self.contrasts],
        }
        if self.combine is not Combine.FIRST:
            settings["combine"] = self.combine.value
        if self.repair_sides:
            settings["repair_sides"] = True
        if self.transforms:
            settings["transforms"] = {
                contrast.value: transform.value
                for contrast, transform in sorted(self.transforms.items())
            }
        return settings

    def choose(self, before: Outcome) -> ContrastChoice:
        """Choose the images of a scan that are labelled.

        Args:
            before: Outcome of prepare_images.

        Raises:
            ScanError: It has none of the wanted contrasts.
        """
        return choose_contrasts(
            suitable_contrasts(before.facts["contrasts"], self.scheme),
            [contrast for contrast in self.contrasts if self.scheme.suits(contrast)],
            combine=self.combine,
            is_swapped=before.facts.get("fat_water") == FatWater.SWAPPED,
        )

    def image_path(self, scan: Scan, contrast: Contrast) -> Path:
        """Return where prepare_images published an image."""
        return self.images / f"{scan.scan}_{contrast}.nii.gz"

    def organs(
        self,
        labels: sitk.Image,
        *,
        image: sitk.Image,
        names: Mapping[int, str] | None = None,
        may_be_part: bool = False,
        error_mm: float = 0.0,
    ) -> sitk.Image:
        """Return the labels of the organs on the very grid of the image.

        Args:
            labels: Labels of the source, on the voxels of the image in whatever order.
            image: What was labelled.
            names: What the file of the labels says that they mean.
            may_be_part: Whether the labels may cover a part of the image only.
            error_mm: How far rounding of their header may have moved a corner.

        Raises:
            ScanError: The labels do not lie on the grid of the image, or are unknown.
        """
        labelmap = remap_labelmap(labels, self.scheme, names=names or {})
        return onto_grid(labelmap, image, may_be_part=may_be_part, error_mm=error_mm)

    def write(
        self,
        labelmap: sitk.Image,
        *,
        image: Path,
        place: Callable[[str], Path],
        flags: Collection[Flag] = (),
    ) -> dict[str, JsonValue]:
        """Check the sides of a labelmap, repair them if that is wanted, and write it.

        Args:
            labelmap: Labels of the organs.
            image: File of the image that it lies on.
            place: Returns where to write a file.
            flags: What was odd about the labels.

        Returns:
            The flags, with those of a body that lies in its image otherwise than the header says;
            and the facts on sides, by organ.
        """
        moved_ml: dict[str, float] = {}
        if self.repair_sides:
            labelmap, moved_ml = repair_sides(labelmap, self.scheme.structures)
        found = check_sides(labelmap, self.scheme.structures)
        facts: dict[str, JsonValue] = {
            name: {
                "finding": finding.value if finding else None,
                **({"moved_ml": round(moved_ml[name], DECIMALS)} if name in moved_ml else {}),
            }
            for name, finding in found.items()
        }
        # An organ of which all was given to its partner is not there to be checked.
        for name in sorted(moved_ml.keys() - facts.keys()):
            facts[name] = {"moved_ml": round(moved_ml[name], DECIMALS)}
        write_labelmap(place(LABELS_FILE), labelmap, self.scheme, grid_of=image)
        odd = {*flags, *orientation_flags(labelmap, self.scheme.structures, found)}
        return {
            **({"flags": sorted(flag.value for flag in odd)} if odd else {}),
            **({"sides": facts} if facts else {}),
        }

    def finish(self, folder: Path, settings: Mapping[str, JsonValue]) -> None:
        """Write beside the labelmaps of a shard what they mean and what made them."""
        write_published_scheme(folder, self.scheme)
        write_settings(folder, settings)

"""A scripted annotator: corrects segmentations for 3D Slicer towards the truth of phantoms.

It does what a person does in Slicer as far as files go: organs that are not there are added, those
that should not be are deleted, the others are drawn anew, and all get other values on saving.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import SimpleITK as sitk

from organome.compute.geometry.turning import onto_grid
from organome.compute.labelmaps.remapping import label_extents
from organome.domain.errors import SetupError
from organome.domain.organs import ORGANS, numbered
from organome.io.images.image_files import read_image
from organome.io.viewers.slicer import SUFFIX, write_slicer_segmentation

_KEY: Final = ["cohort", "participant", "instance", "array", "protocol"]


@dataclass(frozen=True, slots=True)
class Annotated:
    """What was corrected."""

    n_scans: int


def run(*, rounds: Path, truth: Path, share: float = 1.0) -> Annotated:
    """Correct all segmentations of the last round, and save them where a person would.

    Args:
        rounds: Folder of all rounds.
        truth: Truth folder of the phantom cohort that the run was on.
        share: Share of the wrong voxels that are put right, from the feet upwards; a person
            overlooks some.

    Raises:
        SetupError: There is no round, or it is not of these phantoms.
    """
    folders = sorted(rounds.glob("round_*"))
    if not folders:
        raise SetupError(f"{rounds}: no round in it; `organome annotate export` begins one")
    people = pd.read_csv(rounds / "participants.tsv", sep="\t", dtype=str)
    true_scans = pd.read_parquet(truth / "scans.parquet").astype({"array": str, "instance": str})
    number = int(folders[-1].name.rpartition("_")[2])
    both = people[people["round"] == str(number)].merge(true_scans, on=_KEY, validate="m:1")
    if both.empty:
        raise SetupError(f"{truth}: the truth of other phantoms than those of the round")
    for row in both.itertuples():
        segmentation = folders[-1] / "slicer" / f"{row.scan}{SUFFIX}"
        annotate(segmentation, truth / str(row.labelmap), folders[-1] / "edited", share=share)
    return Annotated(len(both))


def annotate(segmentation: Path, truth: Path, edited: Path, *, share: float = 1.0) -> None:
    """Correct one segmentation and save it under the same name, with labels numbered anew.

    Args:
        segmentation: As exported; its values are those of the organs.
        truth: True labelmap.
        edited: Folder to save into.
        share: Share of the wrong voxels that are put right.
    """
    given = sitk.Cast(sitk.ReadImage(str(segmentation)), sitk.sitkUInt8)
    true = sitk.Cast(read_image(truth, constant=True), sitk.sitkUInt8)
    labels_zyx = sitk.GetArrayFromImage(given)
    true_zyx = sitk.GetArrayViewFromImage(onto_grid(true, given))
    wrong = np.flatnonzero(labels_zyx != true_zyx)
    wrong = wrong[: round(share * len(wrong))]
    labels_zyx.flat[wrong] = true_zyx.ravel()[wrong]
    present = [organ for organ in reversed(ORGANS) if (labels_zyx == organ.label).any()]
    renumbered = numbered((organ.name, organ.region) for organ in present)
    table = np.zeros(len(ORGANS) + 1, np.uint8)
    for organ, saved in zip(present, renumbered, strict=True):
        table[organ.label] = saved.label
    image = sitk.GetImageFromArray(table[labels_zyx])
    image.CopyInformation(given)
    edited.mkdir(parents=True, exist_ok=True)
    place = edited / segmentation.name
    write_slicer_segmentation(place, image, renumbered, label_extents(image))

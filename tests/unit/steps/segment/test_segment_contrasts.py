"""Several contrasts, folds and sides of one scan through segment_organs, without a network."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from organome.domain.contrasts import BEST_CONTRASTS, Combine
from organome.domain.errors import ScanError, SetupError
from organome.domain.organs import ORGAN_BY_NAME
from organome.domain.outcomes import Outcome, Reason, Status
from organome.domain.scans import DIXON_CONTRASTS, Contrast, Scan, Source
from organome.domain.schemes import MRSEGMENTATOR
from organome.io.images.image_files import read_image, write_image
from organome.steps.segment.label_with_model import SegmentOrgans
from organome.steps.segment.labelling import Labelling
from organome.steps.segment.segment_organs import run

LIVER, SPLEEN = ORGAN_BY_NAME["liver"].label, ORGAN_BY_NAME["spleen"].label
LEFT, RIGHT = ORGAN_BY_NAME["left_kidney"].label, ORGAN_BY_NAME["right_kidney"].label
SPACING_XYZ_MM = (5.0, 5.0, 10.0)
VOXEL_ML = 0.25
SCAN = Scan("0000-0000", "c", "p", "2", "0", "dixon", sources=(Source("none"),))


class Thresholds:
    """Takes voxels for labels: what the network would say of an image stands in it."""

    facts: Mapping[str, Any] = {"source": "model"}
    settings: Mapping[str, Any] = {"source": "model"}
    n_readers = 1

    def __init__(self) -> None:
        self.most_prepared = 0
        self._n_prepared = 0

    @property
    def segmenter(self) -> "Thresholds":
        return self

    def prepare(self, image: sitk.Image) -> sitk.Image:
        self._n_prepared += 1
        self.most_prepared = max(self.most_prepared, self._n_prepared)
        return image

    def infer(self, prepared: sitk.Image) -> sitk.Image:
        self._n_prepared -= 1
        if sitk.GetArrayViewFromImage(prepared).max() > 200:
            raise ScanError(Reason.NOT_FINITE, "planted")
        labels = sitk.Cast(prepared, sitk.sitkUInt8)
        labels.fold_average = None
        return labels

    def restore(self, inferred: sitk.Image) -> sitk.Image:
        return inferred

    def restore_folds(self, inferred: sitk.Image) -> Sequence[sitk.Image]:
        eroded = sitk.GetArrayFromImage(inferred)
        eroded[:, 0] = 0
        return inferred, like(eroded, inferred)


def like(voxels_zyx: np.ndarray, image: sitk.Image | None = None) -> sitk.Image:
    made = sitk.GetImageFromArray(voxels_zyx)
    made.SetSpacing(SPACING_XYZ_MM)
    if image is not None:
        made.CopyInformation(image)
    return made


class Prepared:
    """A scan as prepare_images leaves it; each image says how it is labelled."""

    def __init__(self, folder: Path, images: Mapping[Contrast, np.ndarray], **facts: Any) -> None:
        self.folder = folder
        self.labeller = Thresholds()
        for contrast, labels in images.items():
            self.replace(contrast, like(labels.astype(np.int16)))
        self.before = Outcome(
            SCAN.scan,
            "prepare_images",
            Status.DONE,
            "f",
            facts={"contrasts": [one.value for one in images], **facts},
        )

    def replace(self, contrast: Contrast, image: sitk.Image) -> None:
        write_image(self.folder / f"{SCAN.scan}_{contrast}.nii.gz", image)

    def label(
        self, *, fold_agreement: bool = False, **settings: Any
    ) -> tuple[dict[str, Any], np.ndarray]:
        labelling = Labelling(
            images=self.folder, scheme=MRSEGMENTATOR, contrasts=BEST_CONTRASTS, **settings
        )
        step = SegmentOrgans(labelling, self.labeller, fold_agreement=fold_agreement)
        path = self.folder / "labels.nii.gz"
        facts = step.run_scan(SCAN, self.before, lambda name: path)
        return dict(facts), sitk.GetArrayFromImage(read_image(path, constant=True))


def block(*boxes: tuple[int, tuple[slice, ...]]) -> np.ndarray:
    labels = np.zeros((4, 6, 12), np.uint8)
    for label, box in boxes:
        labels[box] = label
    return labels


WHOLE, HALF = np.s_[0:2, 0:4, 0:4], np.s_[0:2, 0:2, 0:4]
FOUR = dict(
    zip(
        (Contrast.WATER, Contrast.OPPOSED_PHASE, Contrast.FAT, Contrast.IN_PHASE),
        (block((LIVER, WHOLE)), block((LIVER, HALF)), block((LIVER, WHOLE)), block()),
        strict=True,
    )
)


def test_one_contrast_says_why_and_nothing_of_agreement(tmp_path: Path) -> None:
    facts, labels = Prepared(tmp_path, FOUR).label()
    assert facts["contrast"] == "water"
    assert facts["contrast_choice"] == "preferred"
    assert not {"consensus_contrasts", "agreement"} & facts.keys()
    assert np.array_equal(labels, FOUR[Contrast.WATER])


def test_four_contrasts_vote_and_their_agreement_is_a_fact(tmp_path: Path) -> None:
    prepared = Prepared(tmp_path, FOUR)
    facts, labels = prepared.label(combine=Combine.CONSENSUS)
    assert facts["contrast"] == "water"
    assert facts["consensus_contrasts"] == ["water", "opposed_phase", "fat", "in_phase"]
    assert facts["contrasts_left_out"] == []
    assert np.array_equal(labels, FOUR[Contrast.WATER])  # a tie of two and two beyond the half
    of_liver = facts["agreement"]["liver"]
    dice = [2 / 3, 1.0, 0.0, 2 / 3, 0.0, 0.0]
    assert of_liver["contrast_dice"] == pytest.approx(np.mean(dice), abs=1e-6)
    volumes_ml = VOXEL_ML * np.array([32, 16, 32, 0])
    assert of_liver["contrast_volume_sd_ml"] == pytest.approx(np.std(volumes_ml, ddof=1), abs=1e-6)
    assert set(facts["agreement"]) == {"liver"}
    assert set(of_liver) == {"contrast_dice", "contrast_volume_sd_ml"}


def test_no_more_than_two_images_are_prepared_at_a_time(tmp_path: Path) -> None:
    prepared = Prepared(tmp_path, FOUR)
    prepared.label(combine=Combine.CONSENSUS)
    assert prepared.labeller.most_prepared <= 2


def test_a_contrast_on_another_grid_is_left_out_and_named(tmp_path: Path) -> None:
    prepared = Prepared(tmp_path, FOUR)
    moved = like(FOUR[Contrast.FAT].astype(np.int16))
    moved.SetOrigin((30.0, 0.0, 0.0))
    prepared.replace(Contrast.FAT, moved)
    facts, _ = prepared.label(combine=Combine.CONSENSUS)
    assert facts["consensus_contrasts"] == ["water", "opposed_phase", "in_phase"]
    assert facts["contrasts_left_out"] == ["fat:other_grid"]


def test_swapped_contrasts_give_way(tmp_path: Path) -> None:
    prepared = Prepared(tmp_path, FOUR, fat_water="swapped")
    facts, labels = prepared.label()
    assert (facts["contrast"], facts["contrast_choice"]) == ("opposed_phase", "preferred_swapped")
    assert np.array_equal(labels, FOUR[Contrast.OPPOSED_PHASE])
    facts, _ = prepared.label(combine=Combine.CONSENSUS)
    assert facts["consensus_contrasts"] == ["opposed_phase", "in_phase"]
    assert sorted(facts["contrasts_left_out"]) == ["fat:swapped", "water:swapped"]


def test_a_vote_of_one_has_no_agreement(tmp_path: Path) -> None:
    prepared = Prepared(tmp_path, {Contrast.T1: FOUR[Contrast.WATER]})
    facts, _ = prepared.label(combine=Combine.CONSENSUS)
    assert facts["consensus_contrasts"] == ["t1"]
    assert "agreement" not in facts


@pytest.mark.parametrize("contrast", [Contrast.WATER, Contrast.IN_PHASE])
def test_one_contrast_that_fails_fails_the_scan(tmp_path: Path, contrast: Contrast) -> None:
    prepared = Prepared(tmp_path, FOUR)
    prepared.replace(contrast, like(np.full((4, 6, 12), 201, np.int16)))
    with pytest.raises(ScanError, match="planted"):
        prepared.label(combine=Combine.CONSENSUS)


def test_agreement_of_folds_is_the_mean_over_contrasts(tmp_path: Path) -> None:
    two = {Contrast.WATER: FOUR[Contrast.WATER], Contrast.FAT: FOUR[Contrast.OPPOSED_PHASE]}
    facts, _ = Prepared(tmp_path, two).label(combine=Combine.CONSENSUS, fold_agreement=True)
    of_liver = facts["agreement"]["liver"]
    dice = [2 * 24 / (32 + 24), 2 * 8 / (16 + 8)]
    assert of_liver["fold_dice"] == pytest.approx(np.mean(dice), abs=1e-6)
    sd_ml = VOXEL_ML * np.std([0, 8], ddof=1)
    assert of_liver["fold_volume_sd_ml"] == pytest.approx(sd_ml, abs=1e-6)
    facts, _ = Prepared(tmp_path, two).label(fold_agreement=True)
    assert facts["agreement"]["liver"]["fold_dice"] == pytest.approx(dice[0], abs=1e-6)
    assert "contrast_dice" not in facts["agreement"]["liver"]


def test_sides_are_facts_and_repaired_only_when_asked_for(tmp_path: Path) -> None:
    labels = block(
        (LEFT, np.s_[0:2, 0:2, 9:12]),
        (RIGHT, np.s_[0:2, 0:2, 0:3]),
        (LEFT, np.s_[3:4, 3:5, 0:2]),
    )
    prepared = Prepared(tmp_path, {Contrast.WATER: labels})
    facts, kept = prepared.label()
    assert facts["sides"]["left_kidney"] == {"finding": "pieces_across"}
    assert facts["sides"]["right_kidney"] == {"finding": None}
    assert np.array_equal(kept, labels)
    facts, repaired = prepared.label(repair_sides=True)
    assert facts["sides"]["left_kidney"] == {"finding": None, "moved_ml": 4 * VOXEL_ML}
    assert facts["sides"]["right_kidney"] == {"finding": None, "moved_ml": 0.0}
    assert (repaired[3:4, 3:5, 0:2] == RIGHT).all()


def test_consensus_and_folds_need_a_model(tmp_path: Path) -> None:
    flags = {name: tmp_path / name for name in ("shard", "images", "output", "work")}
    for settings in ({"combine": Combine.CONSENSUS}, {"fold_agreement": True}):
        with pytest.raises(SetupError, match="need a model"):
            run(**flags, source="labelmaps", **settings)


def test_the_four_dixon_contrasts_are_all_that_vote_by_default() -> None:
    assert set(DIXON_CONTRASTS) <= set(BEST_CONTRASTS)

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk

from organome.domain.errors import SetupError
from organome.domain.organs import ORGAN_BY_NAME, ORGANS
from organome.io.images.image_files import write_image
from organome.phantoms.score_phantoms import Score, render_score, run

KEY: dict[str, Any] = {
    "cohort": "c",
    "participant": "p",
    "instance": "2",
    "array": "0",
    "protocol": "dixon",
}


def labelmap(*swapped: str) -> sitk.Image:
    """Every organ a block of 6 x 6 x 6 voxels; partners of the named left organs are swapped."""
    labels = np.zeros((6, 6, 6 * len(ORGANS)), np.uint8)
    for place, organ in enumerate(ORGANS):
        label = organ.label
        for left in swapped:
            if organ.name == left:
                label = ORGAN_BY_NAME[organ.partner_name or ""].label
            elif organ.partner_name == left:
                label = ORGAN_BY_NAME[left].label
        labels[:, :, 6 * place : 6 * place + 6] = label
    image = sitk.GetImageFromArray(labels)
    image.SetSpacing((1.0, 8.0, 8.0))
    return image


class Run:
    """One finished scan, one failed, and their truth."""

    def __init__(self, folder: Path) -> None:
        self.truth, self.results = folder / "truth", folder / "results"
        failed = KEY | {"participant": "q"}
        self.scans = pd.DataFrame(
            [
                KEY | {"scan": "0000-0000", "status": "done", "reason": None},
                failed | {"scan": "0000-0001", "status": "failed", "reason": "archive_broken"},
            ]
        )
        self.organs = pd.DataFrame(
            [
                KEY | {"scan": "0000-0000", "organ": organ.name, "volume_ml": 100.0}
                for organ in ORGANS
            ]
            + [
                failed | {"scan": "0000-0001", "organ": organ.name, "volume_ml": None}
                for organ in ORGANS
            ]
        )
        self.true_volumes = pd.DataFrame(
            [{**_visit(), "organ": organ.name, "volume_ml": 98.0} for organ in ORGANS]
        )
        write_image(self.truth / "p.nii.gz", labelmap())
        self.found = labelmap()

    def score(self) -> Score:
        labels = self.results / "segment_organs" / "0000" / "0000-0000_labels.nii.gz"
        write_image(labels, self.found)
        for name, table in (("scans", self.scans), ("organs", self.organs)):
            folder = self.results / "tables" / name
            folder.mkdir(parents=True)
            table.to_parquet(folder / "part-0.parquet")
        pd.DataFrame([KEY | {"labelmap": "p.nii.gz"}]).to_parquet(self.truth / "scans.parquet")
        self.true_volumes.to_parquet(self.truth / "volumes.parquet")
        return run(truth=self.truth, results=[self.results])


def _visit() -> dict[str, Any]:
    return {"participant": KEY["participant"], "instance": KEY["instance"]}


def not_met(score: Score) -> list[str]:
    return [promise.text for promise in score.promises if not promise.holds]


def test_a_perfect_run_meets_all_promises(tmp_path: Path) -> None:
    score = Run(tmp_path).score()
    assert np.nanmean(score.dice) == 1.0
    assert (score.n_done, score.n_scans) == (1, 2)
    assert score.volume_error["liver"] == pytest.approx(100 / 98 - 1)
    assert not_met(score) == []
    assert "NOT MET" not in render_score(score)


def test_swapped_kidneys_are_told(tmp_path: Path) -> None:
    given = Run(tmp_path)
    given.found = labelmap("left_kidney")
    score = given.score()
    assert score.swapped["left_kidney"].max() == 1.0
    (unmet,) = not_met(score)
    assert "left_kidney in c 0000-0000" in unmet


def test_a_missed_organ_lowers_the_mean(tmp_path: Path) -> None:
    given = Run(tmp_path)
    given.found = sitk.Cast(given.found * 0, sitk.sitkUInt8)
    score = given.score()
    assert np.nanmean(score.dice) == 0.0
    assert any("mean Dice" in text for text in not_met(score))


def test_a_wrong_volume_is_told(tmp_path: Path) -> None:
    given = Run(tmp_path)
    given.true_volumes.loc[given.true_volumes.organ == "heart", "volume_ml"] = 50.0
    assert [text.split(":")[0] for text in not_met(given.score())] == ["heart"]


def test_a_missing_row_and_a_missing_reason_are_told(tmp_path: Path) -> None:
    given = Run(tmp_path)
    given.organs = given.organs.iloc[:-1]
    given.scans["reason"] = None
    unmet = not_met(given.score())
    assert any("organ rows" in text for text in unmet)
    assert any("reason" in text for text in unmet)


def test_an_unfinished_run_is_a_fault_of_the_set_up(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="make the phantoms"):
        run(truth=tmp_path, results=[tmp_path])

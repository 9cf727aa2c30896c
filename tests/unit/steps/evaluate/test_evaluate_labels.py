"""Scans against references: both profiles, vessels, penalties, and a reference that is gone."""

from math import hypot
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from doubles.measurable import MeasurableShard
from organome.domain.errors import SetupError
from organome.domain.evaluations import EVALUATED_SCANS, ORGAN_METRICS
from organome.domain.organs import ORGAN_BY_NAME
from organome.domain.outcomes import Outcome, Reason, Status
from organome.domain.schemes import MRSEGMENTATOR
from organome.io.images.labelmaps import labelmap_path, write_labelmap
from organome.io.tables.parquet import read_table
from organome.steps.evaluate.evaluate_labels import run

FACTS = {
    "prepare_images": {},
    "segment_organs": {"contrast": "water", "source": "labelmaps", "scheme": "mrsegmentator"},
}
FINE_XYZ_MM = (0.75, 0.75, 1.5)  # half of the grid of the authors' script
LIVER, AORTA, SPLEEN = (ORGAN_BY_NAME[name].label for name in ("liver", "aorta", "spleen"))
EDGE = 20


def voxels(shift: int) -> np.ndarray:
    """A liver and an aorta, moved by some voxels along x."""
    labels_zyx = np.zeros((EDGE, EDGE, EDGE), np.uint8)
    labels_zyx[3:10, 3:12, 3 + shift : 10 + shift] = LIVER
    labels_zyx[2:18, 14:17, 8 + shift : 11 + shift] = AORTA
    return labels_zyx


def image(labels_zyx: np.ndarray) -> sitk.Image:
    made = sitk.GetImageFromArray(labels_zyx)
    made.SetSpacing(FINE_XYZ_MM)
    return made


def dice(one: np.ndarray, other: np.ndarray, label: int) -> float:
    first, second = one == label, other == label
    return float(2 * (first & second).sum() / (first.sum() + second.sum()))


class Shard(MeasurableShard):
    """Predictions that lie beside their references."""

    def __init__(self, folder: Path, *, predicted: np.ndarray, reference: np.ndarray) -> None:
        super().__init__(folder, FACTS, n_scans=3)
        self.output = folder / "results" / "evaluate_labels" / "0000"
        (folder / "secret").mkdir()
        lines = ["participant\tinstance\tarray\tprotocol\tdataset\tmodality\treference\tscheme"]
        for scan in self.scans:
            name = f"secret/{scan.scan}.nii.gz"
            sitk.WriteImage(image(reference), str(folder / name))
            path = labelmap_path(self.labelmaps, scan.scan)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_labelmap(path, image(predicted), MRSEGMENTATOR)
            lines.append(f"{scan.participant}\t2\t0\tdixon\tmine\tmri\t{name}\tmrsegmentator")
        (folder / "references.tsv").write_text("\n".join(lines) + "\n")

    def run(self, **settings: str) -> dict[tuple[str, str], dict]:
        self.write_ledgers()
        self.outcomes = run(
            shard=self.listing,
            labelmaps=self.labelmaps,
            references=self.folder / "references.tsv",
            output=self.output,
            work=self.folder / "work",
            **settings,
        )
        rows = read_table(self.output / ORGAN_METRICS.file_name).to_pylist()
        return {(row["scan"], row["organ"]): row for row in rows}

    def scan_rows(self) -> list[dict]:
        return read_table(self.output / EVALUATED_SCANS.file_name).to_pylist()


@pytest.mark.parametrize(
    ("profile", "step"), [("mrsegmentator-paper", 1), ("mrsegmentator-released", 2)]
)
def test_dice_on_the_grid_of_the_profile(tmp_path: Path, profile: str, step: int) -> None:
    predicted, reference = voxels(1), voxels(0)
    found = Shard(tmp_path, predicted=predicted, reference=reference).run(profile=profile)
    thinned = (slice(None, None, step),) * 3
    for name, label in (("liver", LIVER), ("aorta", AORTA)):
        expected = dice(predicted[thinned], reference[thinned], label)
        assert found["0000-0000", name]["dice"] == pytest.approx(expected)
    volume_ml = (reference[thinned] == LIVER).sum() * 0.75 * 0.75 * 1.5 * step**3 / 1000
    assert found["0000-0000", "liver"]["volume_reference_ml"] == pytest.approx(volume_ml)


def test_vessels_alone_have_a_centreline(tmp_path: Path) -> None:
    found = Shard(tmp_path, predicted=voxels(1), reference=voxels(0)).run()
    assert 0 < found["0000-0000", "aorta"]["centreline_dice"] <= 1
    assert found["0000-0000", "liver"]["centreline_dice"] is None


def test_a_missed_organ_is_penalised_with_the_diagonal(tmp_path: Path) -> None:
    predicted, reference = voxels(0), voxels(0)
    reference[0, 0, :4] = SPLEEN
    row = Shard(tmp_path, predicted=predicted, reference=reference).run()["0000-0000", "spleen"]
    assert (row["presence"], row["dice"], row["hd95_mm"]) == ("missed", 0.0, None)
    assert row["hd95_penalised_mm"] == pytest.approx(EDGE * hypot(*FINE_XYZ_MM))
    absent = Shard(tmp_path / "b", predicted=predicted, reference=predicted)
    row = absent.run()["0000-0000", "spleen"]
    assert (row["presence"], row["dice"], row["hd95_penalised_mm"]) == ("both_absent", None, None)


def test_a_failed_scan_is_missed_as_a_whole_or_left_out(tmp_path: Path) -> None:
    shard = Shard(tmp_path, predicted=voxels(0), reference=voxels(0))
    shard.labelled["0000-0001"] = Outcome(
        scan="0000-0001",
        step="segment_organs",
        status=Status.FAILED,
        fingerprint="f",
        reason=Reason.FILE_BROKEN,
        fact="ends early",
    )
    found = shard.run()
    assert found["0000-0001", "liver"]["presence"] == "missed"
    assert found["0000-0001", "spleen"]["presence"] == "both_absent"
    row = shard.scan_rows()[1]
    assert (row["compared"], row["reason"]) == ("failed_counted", "file_broken")
    found = shard.run(profile="mrsegmentator-released")
    assert ("0000-0001", "liver") not in found
    assert shard.scan_rows()[1]["compared"] == "failed_left_out"


def test_a_reference_that_is_gone_is_a_row_without_its_path(tmp_path: Path) -> None:
    shard = Shard(tmp_path, predicted=voxels(0), reference=voxels(0))
    (tmp_path / "secret" / "0000-0002.nii.gz").unlink()
    found = shard.run()
    assert {scan for scan, _ in found} == {"0000-0000", "0000-0001"}
    row = shard.scan_rows()[2]
    assert (row["compared"], row["reason"]) == ("not_comparable", "labelmap_missing")
    assert "secret" not in str(row)


def test_a_profile_or_scheme_that_is_unknown_is_refused(tmp_path: Path) -> None:
    shard = Shard(tmp_path, predicted=voxels(0), reference=voxels(0))
    with pytest.raises(SetupError, match="profile 'mine' is unknown"):
        shard.run(profile="mine")
    path = tmp_path / "references.tsv"
    path.write_text(path.read_text().replace("mrsegmentator", "nothing"))
    with pytest.raises(SetupError, match="'nothing' is unknown"):
        shard.run()


def test_a_reference_that_was_replaced_is_compared_again_and_no_other(tmp_path: Path) -> None:
    """docs/evaluate.md promises it to who touches the list."""
    shard = Shard(tmp_path, predicted=voxels(0), reference=voxels(0))
    shard.run()
    before = shard.outcomes
    replaced = tmp_path / "secret" / f"{shard.scans[1].scan}.nii.gz"
    sitk.WriteImage(image(voxels(2)), str(replaced))
    found = shard.run()
    assert [one == other for one, other in zip(before, shard.outcomes, strict=True)] == [
        *(True, False, True)
    ]
    dices = [found[scan.scan, "liver"]["dice"] for scan in shard.scans]
    assert (dices[0], dices[2]) == (1.0, 1.0)
    assert dices[1] == pytest.approx(dice(voxels(0), voxels(2), LIVER))

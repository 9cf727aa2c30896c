from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from doubles.measurable import MeasurableShard
from organome.domain.errors import SetupError
from organome.domain.outcomes import Outcome, Reason, Status
from organome.domain.pictures import MAX_SCAN_BYTES
from organome.domain.tables import SCAN_KEY
from organome.io.images.image_files import write_image
from organome.io.tables.parquet import read_table
from organome.io.tables.pictures import pictures_path, read_pictures
from organome.steps.pictures.draw_pictures import run

FACTS = {
    "prepare_images": {"contrasts": ["water"], "size_xyz": [12, 12, 12], "flags": []},
    "segment_organs": {
        "contrast": "water",
        "source": "labelmaps",
        "scheme": "amos22",
        "sides": {"left_kidney": {"finding": "crossed"}},
    },
}


class Shard(MeasurableShard):
    """Four scans: two sound, one whose labelmap does not fit, one that failed before."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, FACTS, n_scans=4)
        for place, scan in enumerate(self.scans[:3]):
            voxels_zyx = np.full((12, 12, 12), 300, np.int16)
            labels_zyx = np.zeros((12 + (place == 2), 12, 12), np.uint8)
            labels_zyx[3:6, 3:6, 3:7] = 5  # a liver of half a litre
            labels_zyx[7:9, 3:5, 8:10] = 3
            for array, path in (
                (voxels_zyx, self.images / f"{scan.scan}_water.nii.gz"),
                (labels_zyx, self.labelmaps / f"{scan.scan}_labels.nii.gz"),
            ):
                image = sitk.GetImageFromArray(array)
                image.SetSpacing((25.0, 25.0, 25.0))
                write_image(path, image)
        lost = Outcome(
            scan=self.scans[3].scan,
            step="prepare_images",
            status=Status.FAILED,
            fingerprint="f",
            reason=Reason.ARCHIVE_EMPTY,
            fact="no member",
        )
        self.prepared[lost.scan] = self.labelled[lost.scan] = lost
        self.write_ledgers()

    @property
    def output(self) -> Path:
        return pictures_path(self.folder / "results", "0000").parent

    def draw(self, organs: tuple[str, ...] = ("stomach", "liver")) -> tuple[Outcome, ...]:
        return run(
            shard=self.listing,
            images=self.images,
            labelmaps=self.labelmaps,
            output=self.output,
            work=self.folder / "work" / "draw_pictures" / "0000",
            organs=organs,
        )


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Shard, tuple[Outcome, ...]]:
    shard = Shard(tmp_path_factory.mktemp("drawn"))
    return shard, shard.draw()


def test_a_scan_has_a_row_for_each_picture_and_a_failed_one_none(
    drawn: tuple[Shard, tuple[Outcome, ...]],
) -> None:
    shard, outcomes = drawn
    assert [one.status for one in outcomes] == ["done", "done", "failed", "failed"]
    assert [one.reason for one in outcomes[2:]] == ["labelmap_off_grid", "archive_empty"]
    table = read_table(shard.output / "pictures.parquet")
    assert table.schema.names == [
        *(column.name for column in SCAN_KEY),
        *("picture", "organ", "webp", "width_px", "height_px", "mm_per_px", "alt_text"),
    ]
    rows = table.to_pylist()
    # Asked for and there: the liver, not the stomach; then what is in doubt.
    assert [(row["scan"], row["picture"], row["organ"]) for row in rows] == [
        (f"0000-000{place}", *what)
        for place in (0, 1)
        for what in (
            ("planes", None),
            ("coronal", None),
            ("planes", "liver"),
            ("planes", "left_kidney"),
        )
    ]
    assert sum(len(row["webp"]) for row in rows) <= 2 * MAX_SCAN_BYTES
    assert read_pictures(shard.folder / "results", "0000-0001") == rows[4:]
    assert read_pictures(shard.folder / "results", "0007-0001") == []
    for row in rows:
        assert row["participant"] not in row["alt_text"]


def test_drawn_again_the_file_has_the_same_bytes(
    drawn: tuple[Shard, tuple[Outcome, ...]],
) -> None:
    shard, outcomes = drawn
    before = (shard.output / "pictures.parquet").read_bytes()
    (shard.output / "ledger.parquet").unlink()
    assert shard.draw() == outcomes
    assert (shard.output / "pictures.parquet").read_bytes() == before


def test_an_organ_that_the_run_does_not_have_is_a_mistake(
    drawn: tuple[Shard, tuple[Outcome, ...]],
) -> None:
    with pytest.raises(SetupError, match=r"pictures\.organs: tail is not an organ"):
        drawn[0].draw(("tail",))

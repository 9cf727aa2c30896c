from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import SimpleITK as sitk

from doubles.measurable import MeasurableShard
from organome.domain.errors import SetupError
from organome.domain.outcomes import Outcome, Reason, Status
from organome.domain.scans import Scan
from organome.io.images.image_files import write_image
from organome.io.tables.ledgers import (
    LEDGER,
    read_ledger,
    settings_before,
    settings_of,
    write_ledger,
)
from organome.io.tables.parquet import read_table
from organome.shards.work_folder import read_outcomes
from organome.steps.measure.measure_volumes import run

DIXON = ("fat", "in_phase", "water")
FACTS = {
    "prepare_images": {"contrasts": DIXON, "size_xyz": [12, 12, 12], "flags": []},
    "segment_organs": {"contrast": "water", "source": "labelmaps", "scheme": "amos22"},
}


class Shard(MeasurableShard):
    """A shard whose images are flat, with a liver and a spleen."""

    def __init__(self, folder: Path, n_scans: int = 2) -> None:
        super().__init__(folder, FACTS, n_scans=n_scans)
        for scan in self.scans:
            for contrast in DIXON:
                self.write_contrast(scan, contrast)
            self.write_labelmap(scan)

    @property
    def output(self) -> Path:
        return self.folder / "results" / "measure_volumes" / "0000"

    def fail(self, place: int) -> None:
        scan = self.scans[place].scan
        self.prepared[scan] = self.labelled[scan] = Outcome(
            scan=scan,
            step="prepare_images",
            status=Status.FAILED,
            fingerprint="f",
            reason=Reason.ARCHIVE_EMPTY,
            fact="no member",
        )

    def write_contrast(self, scan: Scan, contrast: str, size: int = 12) -> None:
        value = {"fat": 100, "in_phase": 400, "water": 300}[contrast]
        voxels_zyx = np.full((size,) * 3, value, np.int16)
        voxels_zyx[0, 0, 0] = 401
        write_image(self.images / f"{scan.scan}_{contrast}.nii.gz", on_25_mm_grid(voxels_zyx))

    def write_labelmap(self, scan: Scan, label: int = 5) -> None:
        labels_zyx = np.zeros((12, 12, 12), np.uint8)
        labels_zyx[3:6, 3:6, 3:7] = label
        labels_zyx[9:, 3:6, 3:6] = 1
        path = self.labelmaps / f"{scan.scan}_labels.nii.gz"
        write_image(path, on_25_mm_grid(labels_zyx))

    def measure(self) -> tuple[Outcome, ...]:
        self.write_ledgers()
        return run(
            shard=self.listing,
            images=self.images,
            labelmaps=self.labelmaps,
            output=self.output,
            work=self.folder / "work" / "measure_volumes" / "0000",
        )

    def rows(self, table: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = read_table(self.output / f"{table}.parquet").to_pylist()
        return rows


def on_25_mm_grid(voxels_zyx: Any) -> sitk.Image:
    image = sitk.GetImageFromArray(voxels_zyx)
    image.SetSpacing((25.0, 25.0, 25.0))
    return image


def organ(rows: Sequence[dict[str, Any]], name: str, scan: str) -> dict[str, Any]:
    (row,) = (row for row in rows if (row["organ"], row["scan"]) == (name, scan))
    return row


def test_every_listed_scan_has_40_organ_rows_whatever_became_of_it(tmp_path: Path) -> None:
    shard = Shard(tmp_path, n_scans=3)
    shard.fail(1)
    outcomes = shard.measure()
    assert [outcome.status for outcome in outcomes] == ["done", "failed", "done"]
    assert [row["scan"] for row in shard.rows("scans")] == [scan.scan for scan in shard.scans]
    assert [row["scan"] for row in shard.rows("organs")] == [
        scan.scan for scan in shard.scans for _ in range(40)
    ]
    lost = shard.rows("scans")[1]
    assert (lost["reason"], lost["failed_step"]) == ("archive_empty", "prepare_images")
    assert organ(shard.rows("organs"), "liver", "0000-0001")["na_reason"] == "archive_empty"


def test_numbers_are_those_of_the_image_that_was_labelled(tmp_path: Path) -> None:
    shard = Shard(tmp_path)
    shard.measure()
    liver = organ(shard.rows("organs"), "liver", "0000-0000")
    assert (liver["n_voxels"], liver["volume_ml"]) == (36, 36 * 15.625)
    assert (liver["contrast"], liver["intensity_mean"]) == ("water", 300.0)
    assert liver["fat_fraction_mean"] == pytest.approx(0.25)
    assert (liver["centroid_x_mm"], liver["centroid_z_mm"]) == (112.5, 100.0)
    spleen = organ(shard.rows("organs"), "spleen", "0000-0000")
    assert (spleen["volume_ml"], spleen["na_reason"]) == (None, "truncated")
    assert spleen["touches_superior"] is True
    assert spleen["touches_inferior"] is False


def test_scan_without_fat_image_has_no_fat_fraction(tmp_path: Path) -> None:
    shard = Shard(tmp_path)
    scan = shard.scans[0].scan
    shard.prepared[scan].facts["contrasts"] = ["water"]  # type: ignore[index]
    shard.measure()
    assert organ(shard.rows("organs"), "liver", scan)["fat_fraction_mean"] is None
    assert organ(shard.rows("organs"), "liver", "0000-0001")["fat_fraction_mean"] is not None


def test_scan_with_fat_and_water_exchanged_has_no_fat_fraction(tmp_path: Path) -> None:
    shard = Shard(tmp_path)
    scan = shard.scans[0].scan
    shard.prepared[scan].facts["fat_water"] = "swapped"  # type: ignore[index]
    shard.measure()
    assert organ(shard.rows("organs"), "liver", scan)["fat_fraction_mean"] is None
    assert organ(shard.rows("organs"), "liver", "0000-0001")["fat_fraction_mean"] is not None


def test_fat_image_on_another_grid_gives_no_fat_fraction(tmp_path: Path) -> None:
    shard = Shard(tmp_path)
    shard.write_contrast(shard.scans[0], "fat", size=14)
    shard.measure()
    liver = organ(shard.rows("organs"), "liver", "0000-0000")
    assert (liver["fat_fraction_mean"], liver["intensity_mean"]) == (None, 300.0)


def test_labelmap_off_the_grid_fails_that_scan_only(tmp_path: Path) -> None:
    shard = Shard(tmp_path)
    shard.write_contrast(shard.scans[0], "water", size=14)
    first, second = shard.measure()
    assert (first.reason, first.step) == (Reason.LABELMAP_OFF_GRID, "measure_volumes")
    assert second.status is Status.DONE
    row = shard.rows("scans")[0]
    assert (row["reason"], row["contrast"]) == ("labelmap_off_grid", "water")


def test_empty_labelmap_is_a_result(tmp_path: Path) -> None:
    shard = Shard(tmp_path)
    empty = on_25_mm_grid(np.zeros((12, 12, 12), np.uint8))
    write_image(shard.labelmaps / "0000-0000_labels.nii.gz", empty)
    assert shard.measure()[0].status is Status.DONE
    assert organ(shard.rows("organs"), "liver", "0000-0000")["na_reason"] == "not_found"


def test_file_that_was_published_and_is_gone_stops_the_job(tmp_path: Path) -> None:
    shard = Shard(tmp_path)
    (shard.images / "0000-0001_water.nii.gz").unlink()
    with pytest.raises(SetupError, match=r"0000-0001_water.nii.gz: gone since"):
        shard.measure()


def test_ledger_that_lacks_a_scan_stops_the_job(tmp_path: Path) -> None:
    shard = Shard(tmp_path)
    del shard.prepared["0000-0001"]
    with pytest.raises(SetupError, match="0000-0001 is listed but not in it"):
        shard.measure()


def test_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    one, other = Shard(tmp_path / "one"), Shard(tmp_path / "other")
    for shard in (one, other):
        shard.fail(1)
        shard.measure()
    for name in ("scans.parquet", "organs.parquet"):
        assert (one.output / name).read_bytes() == (other.output / name).read_bytes()


def test_only_scans_whose_labelmap_changed_are_measured_again(tmp_path: Path) -> None:
    shard = Shard(tmp_path)
    shard.measure()
    before = read_outcomes(shard.folder / "none", shard.output)
    shard.write_labelmap(shard.scans[1], label=7)
    shard.measure()
    after = read_outcomes(shard.folder / "none", shard.output)
    assert after["0000-0000"] == before["0000-0000"]
    assert after["0000-0001"][0].fingerprint != before["0000-0001"][0].fingerprint
    rows = shard.rows("organs")
    assert organ(rows, "liver", "0000-0001")["na_reason"] == "not_found"
    assert organ(rows, "pancreas", "0000-0001")["n_voxels"] == 36
    assert list(read_ledger(shard.output / LEDGER)) == ["0000-0000", "0000-0001"]


def test_organs_have_fat_fractions_where_a_slice_shows_them(tmp_path: Path) -> None:
    shard = Shard(tmp_path)
    first, second = (scan.scan for scan in shard.scans)
    shard.prepared[first].facts.update(  # type: ignore[attr-defined]
        pdff_liver_protocol="pdff_liver", pdff_liver_n_slices=1, pdff_liver_n_echoes=6
    )
    shard.prepared[second].facts.update(  # type: ignore[attr-defined]
        pdff_liver_protocol="pdff_liver", pdff_liver_na_reason="archive_broken"
    )
    for which, value in (("pdff", 7.5), ("r2star", 40.0), ("fat_evidence", -50.0)):
        image = sitk.GetImageFromArray(np.full((1, 60, 60), value, np.float32))
        image.SetSpacing((5.0, 5.0, 6.0))
        image.SetOrigin((0.0, 0.0, 100.0))
        write_image(shard.images / f"{first}_pdff_liver_1_{which}.nii.gz", image)
    shard.measure()
    rows = shard.rows("organs")
    liver = organ(rows, "liver", first)
    assert (liver["pdff_liver_median_pct"], liver["pdff_liver_mean_pct"]) == (7.5, 7.5)
    assert liver["pdff_liver_r2star_median_per_s"] == 40.0
    assert liver["pdff_liver_n_voxels"] == 13 * 18  # of 15 x 20 voxels those inside by 3 mm
    assert liver["pdff_liver_na_reason"] is None
    assert organ(rows, "spleen", first)["pdff_liver_na_reason"] == "not_on_slice"
    assert organ(rows, "pancreas", first)["pdff_liver_na_reason"] == "not_found"
    assert organ(rows, "liver", second)["pdff_liver_na_reason"] == "no_map"
    assert liver["pdff_pancreas_na_reason"] is None
    assert [row["pdff_liver_na_reason"] for row in shard.rows("scans")] == [None, "archive_broken"]


def test_the_ledger_says_by_which_settings_images_and_labelmaps_were_made(tmp_path: Path) -> None:
    shard = Shard(tmp_path)
    shard.write_ledgers()
    write_ledger(shard.labelmaps / LEDGER, [*shard.labelled.values()], settings="of labels")
    run(
        shard=shard.listing,
        images=shard.images,
        labelmaps=shard.labelmaps,
        output=shard.output,
        work=tmp_path / "work",
    )
    ledger = pq.read_schema(shard.output / LEDGER)
    assert settings_before(ledger) == {"segment_organs": "of labels"}
    assert settings_of(ledger)

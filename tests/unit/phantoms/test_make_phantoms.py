import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pyarrow.parquet as pq
import pytest
import SimpleITK as sitk

from organome.domain.errors import SetupError
from organome.phantoms import make_phantoms
from organome.phantoms.bodies import anatomy
from organome.phantoms.bodies.anatomy import Body
from organome.phantoms.bodies.people import Covariates
from organome.phantoms.delivery.defects import Defect, Format

ARGUMENTS: dict[str, Any] = {
    "preset": "tiny",
    "n_participants": 2,
    "n_ct": 1,
    "formats": (Format.CT, Format.BIDS, Format.NIFTI),
    "defects": (Defect.NOT_FINITE,),
    "reduce": 28,
    "n_processes": 1,
}


def draw_block(
    seed: int, *, sex: str, years_later: float, spacing_xyz_mm: tuple[float, float, float]
) -> Body:
    """A liver without anything around it, in no time."""
    tissue_zyx = np.zeros((12, 4, 5), np.uint8)
    tissue_zyx[4:8, 1:3, 1:4] = 5
    return Body(
        covariates=Covariates(sex, 50.0 + seed % 20 + years_later, 1.7, 70.0),  # type: ignore[arg-type]
        tissue_zyx=tissue_zyx,
        spacing_xyz_mm=(90.0, 90.0, 100.0),
        origin_xyz_mm=(-180.0, -135.0, -480.0),
        volumes_ml={"liver": 24 * 810.0},
    )


@pytest.fixture(autouse=True)
def quick_bodies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anatomy, "draw_body", draw_block)


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def read_tsv(path: Path) -> list[dict[str, str]]:
    heading, *rows = (line.split("\t") for line in path.read_text().splitlines())
    return [dict(zip(heading, row, strict=True)) for row in rows]


def rows(output: Path, table: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(output / "truth" / f"{table}.parquet").to_pylist()
    return found


def test_the_summary_says_what_was_made(tmp_path: Path) -> None:
    summary = make_phantoms.run(output=tmp_path / "p", **ARGUMENTS)
    assert summary == make_phantoms.PhantomSummary(
        n_participants=3,
        n_visits=4,
        n_defects=1,
        cohorts=("phantom_ct", "phantom_bids", "phantom_nifti"),
        made=True,
    )


def test_equal_arguments_give_equal_files(tmp_path: Path) -> None:
    make_phantoms.run(output=tmp_path / "one", **ARGUMENTS)
    make_phantoms.run(output=tmp_path / "two", **ARGUMENTS)
    assert digests(tmp_path / "one") == digests(tmp_path / "two")


def test_a_complete_cohort_is_left_alone(tmp_path: Path) -> None:
    make_phantoms.run(output=tmp_path, **ARGUMENTS)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert not make_phantoms.run(output=tmp_path, **ARGUMENTS).made
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_a_killed_run_is_made_again_without_leftovers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_phantoms.run(output=tmp_path / "whole", **ARGUMENTS)

    def stop(done: int, _total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_phantoms.run(output=tmp_path / "killed", on_visit=stop, **ARGUMENTS)
    (tmp_path / "killed" / "bids" / ".half.tmp.nii.gz").touch()
    assert make_phantoms.run(output=tmp_path / "killed", **ARGUMENTS).made
    assert digests(tmp_path / "killed") == digests(tmp_path / "whole")


def test_a_folder_with_other_phantoms_or_other_files_is_refused(tmp_path: Path) -> None:
    make_phantoms.run(output=tmp_path / "phantoms", **ARGUMENTS)
    with pytest.raises(SetupError, match="other arguments"):
        make_phantoms.run(output=tmp_path / "phantoms", **{**ARGUMENTS, "seed": 1})
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    with pytest.raises(SetupError, match="not empty"):
        make_phantoms.run(output=tmp_path / "full", **ARGUMENTS)
    assert digests(tmp_path / "full").keys() == {"thesis.tex"}


def test_progress_is_told_after_each_visit(tmp_path: Path) -> None:
    reported: list[tuple[int, int]] = []
    progress: Callable[[int, int], None] = lambda done, total: reported.append((done, total))  # noqa: E731
    make_phantoms.run(output=tmp_path, on_visit=progress, **ARGUMENTS)
    assert reported == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_unknown_presets_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="demo, tiny"):
        make_phantoms.run(output=tmp_path, preset="huge")  # type: ignore[arg-type]


def test_no_truth_lies_in_a_cohort_and_no_cohort_points_at_it(tmp_path: Path) -> None:
    make_phantoms.run(output=tmp_path, **{**ARGUMENTS, "labelmaps": False})
    names = [name for name in digests(tmp_path) if not name.startswith("truth/")]
    assert not [name for name in names if name.endswith(".parquet") or "label" in name]
    assert "volumes" not in " ".join(names)
    for cohort in (Format.CT, Format.NIFTI):
        assert "truth" not in (tmp_path / cohort / "scans.tsv").read_text()


def test_lists_name_files_that_are_there(tmp_path: Path) -> None:
    make_phantoms.run(output=tmp_path, **ARGUMENTS)
    ct = read_tsv(tmp_path / "ct" / "scans.tsv")
    assert [(row["protocol"], row["contrast"]) for row in ct] == [("ct", "ct")]
    assert (tmp_path / "ct" / ct[0]["image"]).is_dir()
    nifti = read_tsv(tmp_path / "nifti" / "scans.tsv")
    assert list(nifti[0]) == [
        "participant",
        "instance",
        "protocol",
        "contrast",
        "image",
        "labelmap",
    ]
    for row in nifti:
        image = sitk.ReadImage(str(tmp_path / "nifti" / row["image"]))
        labelmap = sitk.ReadImage(str(tmp_path / "nifti" / row["labelmap"]))
        assert image.GetSize() == labelmap.GetSize()
    protocols = sorted({(row["participant"], row["instance"], row["protocol"]) for row in nifti})
    assert len(protocols) == 3 * 3 + 1


def test_bids_has_its_description_and_every_participant_once(tmp_path: Path) -> None:
    make_phantoms.run(output=tmp_path, **ARGUMENTS)
    assert json.loads((tmp_path / "bids" / "dataset_description.json").read_text())["BIDSVersion"]
    participants = read_tsv(tmp_path / "bids" / "participants.tsv")
    folders = {path.name for path in (tmp_path / "bids").glob("sub-*")}
    assert [row["participant_id"] for row in participants] == sorted(folders)


def test_truth_knows_every_scan_its_labelmap_and_its_defect(tmp_path: Path) -> None:
    make_phantoms.run(output=tmp_path, **ARGUMENTS)
    scans = rows(tmp_path, "scans")
    assert len(scans) == 1 + 2 * 10
    for scan in scans:
        assert (tmp_path / "truth" / scan["labelmap"]).is_file()
        assert all((tmp_path / path).exists() for path in scan["delivered"].split(";"))
    defects = rows(tmp_path, "defects")
    assert {(row["defect"], row["expected"]) for row in defects} == {("not_finite", "not_finite")}
    assert {row["cohort"] for row in defects} == {"phantom_bids", "phantom_nifti"}
    spoilt = [scan for scan in scans if scan["defect"]]
    assert len(spoilt) == len(defects) == 2 * 3


def test_truth_knows_volumes_and_covariates_of_every_visit(tmp_path: Path) -> None:
    make_phantoms.run(output=tmp_path, **ARGUMENTS)
    volumes, covariates = rows(tmp_path, "volumes"), rows(tmp_path, "covariates")
    assert [(row["organ"], row["volume_ml"]) for row in volumes] == [("liver", 24 * 810.0)] * 4
    assert {row["sex"] for row in covariates} == {"female", "male"}
    ages = {(row["participant"], row["instance"]): row["age_years"] for row in covariates}
    (again,) = (participant for participant, instance in ages if instance == "3")
    assert ages[again, "3"] > ages[again, "2"]


def test_nan_is_in_the_nifti_file_itself(tmp_path: Path) -> None:
    make_phantoms.run(output=tmp_path, **ARGUMENTS)
    (spoilt,) = (
        row
        for row in rows(tmp_path, "scans")
        if row["cohort"] == "phantom_nifti" and row["protocol"] == "dixon" and row["defect"]
    )
    for path in spoilt["delivered"].split(";"):
        # SimpleITK would not show it: its NIfTI reader silently takes NaN for 0
        voxels_xyz = np.asanyarray(nib.load(tmp_path / path).dataobj)  # type: ignore[attr-defined]
        assert np.isnan(voxels_xyz).sum() == 8


def test_a_swap_is_recorded_where_there_is_fat_and_water(tmp_path: Path) -> None:
    make_phantoms.run(output=tmp_path, **{**ARGUMENTS, "defects": (Defect.SWAPPED_FAT_WATER,)})
    assert {row["protocol"] for row in rows(tmp_path, "defects")} == {"dixon"}


def test_processes_do_not_show_in_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # other processes draw real bodies, so this one must too
    few = {**ARGUMENTS, "n_participants": 1, "n_repeats": 0, "defects": ()}
    make_phantoms.run(output=tmp_path / "one", **few)
    make_phantoms.run(output=tmp_path / "two", **{**few, "n_processes": 2})
    assert digests(tmp_path / "one") == digests(tmp_path / "two")

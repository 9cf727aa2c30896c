"""The files that nibabel and pydicom are tested with: read as they read them, or a reason.

Source: the test files that both packages bring; they are public, and of many makers.
"""

import runpy
from pathlib import Path
from typing import Any

import pytest

READERS = Path(__file__).parents[2] / "benchmarks" / "image_readers.py"
SHARED_DATA = Path(__file__).parents[3] / "shared" / "data"


@pytest.mark.odd_input(
    "N-70",
    make="nibabel's and pydicom's own test files: NIfTI, and every DICOM file and folder",
    source="nibabel's and pydicom's test suites",
    outcome="a row each: read with the values and the affine of these packages, or a reason",
)
def test_every_file_is_listed_and_read_as_its_own_package_reads_it(tmp_path: Path) -> None:
    readers = runpy.run_path(str(READERS))
    rows: list[Any] = readers["read_files"](readers["PACKAGES"], tmp_path)
    assert {one.source for one in rows} == {"nibabel", "pydicom"}
    assert {one.compared for one in rows} == {"", "equal", "slice equal"}
    read = {Path(one.name).name for one in rows if one.outcome == "read"}
    assert read == {"anatomical.nii", "reoriented_anat_moved.nii"}
    n_slices = sum(one.compared == "slice equal" for one in rows)
    assert n_slices >= 40
    assert not [one for one in rows if one.outcome in ("unexpected_error", "out_of_memory")]


def test_real_images_are_those_of_nibabel_and_simpleitk(tmp_path: Path) -> None:
    if not SHARED_DATA.is_dir():
        pytest.skip("no real images in ../shared/data")
    rows: list[Any] = runpy.run_path(str(READERS))["read_files"]({"data": SHARED_DATA}, tmp_path)
    refused = {one.outcome for one in rows if one.compared != "equal"}
    assert refused <= {"geometry_implausible"}  # IBSI's digital phantom of 5 x 4 x 4 voxels
    assert sum(one.compared == "equal" for one in rows) >= 5

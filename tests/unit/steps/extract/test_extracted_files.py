"""The series that a labelmap was drawn on, among all that a scan was delivered with."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from organome.domain.errors import ScanError
from organome.domain.outcomes import Reason
from organome.domain.scans import Contrast, Scan, Source
from organome.steps.extract.extracted_files import dicom_sources, find_labelled_series

N_SLICES = 6
SPACING = (4.0, 4.0, 5.0)  # as make_dicom has it
IDENTIFIED = {
    "StudyInstanceUID": "1.3",
    "FrameOfReferenceUID": "1.4",
    "PatientName": "SECRET^NAME",
}

Files = dict[str, bytes]
MakeDicom = Callable[..., Files]
Pack = Callable[[Path, Mapping[str, bytes]], Path]


def series(make_dicom: MakeDicom, number: int, suffix: str, z_mm: float, **more: Any) -> Files:
    return make_dicom(
        np.zeros((N_SLICES, 8, 9), np.uint16),
        number=number,
        first_xyz_mm=(1.0, 2.0, z_mm),
        SeriesDescription=f"Dixon_{suffix}",
        **IDENTIFIED | more,
    )


@pytest.fixture
def archive(make_dicom: MakeDicom, pack: Pack, tmp_path: Path) -> Path:
    """Two stations of four contrasts, the upper one taken twice."""
    files: Files = {"manifest.cvs": b"not DICOM"}
    for start, z_mm in ((1, 100.0), (5, 80.0), (9, 100.0)):
        for number, suffix in enumerate(("in", "opp", "F", "W"), start=start):
            files |= series(make_dicom, number, suffix, z_mm)
    return pack(tmp_path / "archive.zip", files)


def labels_at(z_mm: float, n_slices: int = N_SLICES) -> sitk.Image:
    made = sitk.GetImageFromArray(np.arange(n_slices * 72, dtype=np.uint8).reshape(n_slices, 8, 9))
    made.SetOrigin((1.0, 2.0, z_mm))
    made.SetSpacing(SPACING)
    return made


@pytest.mark.parametrize(("contrast", "number"), [("water", 12), ("fat", 11), ("in_phase", 9)])
def test_of_a_station_the_labelled_contrast_of_the_last_take(
    archive: Path, contrast: str, number: int
) -> None:
    found = find_labelled_series([archive], labels_at(100.0), contrast)
    assert {header.SeriesNumber for header in found.headers} == {number}
    assert [header.ImagePositionPatient[2] for header in found.headers] == [
        100.0 + 5.0 * place for place in range(N_SLICES)
    ]


def test_of_another_station_another_series(archive: Path) -> None:
    found = find_labelled_series([archive], labels_at(80.0), "water")
    assert {header.SeriesNumber for header in found.headers} == {8}


def test_a_labelmap_may_have_fewer_slices(archive: Path) -> None:
    found = find_labelled_series([archive], labels_at(90.0, n_slices=3), "water")
    assert [header.ImagePositionPatient[2] for header in found.headers] == [90.0, 95.0, 100.0]


@pytest.mark.parametrize("place", [(100.0, 7), (97.5, 3), (60.0, 3), (130.0, 3)])
def test_a_labelmap_between_or_beyond_the_slices_is_of_no_series(
    archive: Path, place: tuple[float, int]
) -> None:
    with pytest.raises(ScanError) as caught:
        find_labelled_series([archive], labels_at(*place), "water")
    assert caught.value.reason is Reason.GRIDS_DIFFER


def test_a_stitched_labelmap_is_of_no_series(archive: Path) -> None:
    with pytest.raises(ScanError) as caught:
        find_labelled_series([archive], labels_at(80.0, n_slices=10), "water")
    assert "stitched" in caught.value.fact


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "FrameOfReferenceUID"])
def test_a_series_that_does_not_say_where_it_belongs_is_refused(
    make_dicom: MakeDicom, pack: Pack, tmp_path: Path, keyword: str
) -> None:
    files = series(make_dicom, 1, "W", 100.0, **{keyword: None})
    with pytest.raises(ScanError) as caught:
        find_labelled_series([pack(tmp_path / "a.zip", files)], labels_at(100.0), "water")
    assert caught.value.reason is Reason.FILE_BROKEN
    assert keyword in caught.value.fact
    assert "SECRET" not in caught.value.fact


def scan_of(*sources: Source) -> Scan:
    return Scan("0000-0000", "c", "p", "0", "0", "mr", sources)


def test_series_are_looked_for_where_the_labelled_image_came_from(tmp_path: Path) -> None:
    for name in ("water", "fat"):
        (tmp_path / name).mkdir()
    water, fat = (Source(str(tmp_path / one), Contrast(one)) for one in ("water", "fat"))
    assert dicom_sources(scan_of(fat, water), "water") == [tmp_path / "water"]
    anything = Source(str(tmp_path / "a.zip"))
    assert dicom_sources(scan_of(anything), "water") == [tmp_path / "a.zip"]


def test_a_scan_that_came_as_nifti_has_no_series(tmp_path: Path) -> None:
    with pytest.raises(ScanError) as caught:
        dicom_sources(scan_of(Source(str(tmp_path / "p.nii.gz"), Contrast.WATER)), "water")
    assert caught.value.reason is Reason.FORMAT_UNKNOWN

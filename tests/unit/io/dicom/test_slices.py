"""DICOM files to headers and images."""

import locale
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.uid import EnhancedSRStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from organome.domain.errors import ScanError
from organome.domain.outcomes import Reason
from organome.io.dicom.slices import parse_files, read_folder
from organome.io.dicom.voxels import stack_slices

MakeDicom = Callable[..., dict[str, bytes]]
VOXELS = np.arange(3 * 4 * 5, dtype=np.uint16).reshape(3, 4, 5)


def _refusal(files: dict[str, bytes]) -> tuple[Reason, str]:
    with pytest.raises(ScanError) as caught:
        found = parse_files(files.items())
        stack_slices(found.slices)
    return caught.value.reason, caught.value.fact


def test_facts_of_a_header(make_dicom: MakeDicom) -> None:
    files = make_dicom(
        VOXELS[:1],
        number=7,
        SeriesDate="20200101",
        SeriesTime="101112.5",
        ImageType=["DERIVED", "WATER"],
        MagneticFieldStrength="1.5",
        PatientSize="0",
        Manufacturer="",
        SoftwareVersions=["syngo MR E11", "a;b"],
        RepetitionTime="6.69",
        EchoTime="2.39",
        FlipAngle="10",
        KVP="",
    )
    ((header),) = (one.header for one in parse_files(files.items()).slices)
    assert header.file == "1.2.7.1.dcm"
    assert header.series_number == 7
    assert header.series_time == "20200101101112.5"
    assert header.image_type == ("DERIVED", "WATER")
    assert header.size_xy == (5, 4)
    assert header.field_strength_t == 1.5
    assert header.height_m is None  # a zero is what scanners write when nobody entered it
    assert header.manufacturer is None
    assert header.normal == (0, 0, 1)
    assert header.software_version == "syngo MR E11, a,b"
    times_ms = (header.repetition_time_ms, header.echo_time_ms)
    assert (*times_ms, header.flip_angle_deg, header.tube_voltage_kv) == (6.69, 2.39, 10, None)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_voxels_and_grid(make_dicom: MakeDicom, syntax: str) -> None:
    files = make_dicom(
        VOXELS, first_xyz_mm=(-7.5, 3.25, -100.0), spacing_xyz_mm=(2.0, 3.0, 4.5), syntax=syntax
    )
    image = stack_slices(parse_files(files.items()).slices).image
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), VOXELS)
    assert image.GetPixelID() == sitk.sitkUInt16
    assert image.GetOrigin() == (-7.5, 3.25, -100.0)
    assert image.GetSpacing() == (2.0, 3.0, 4.5)


def test_oblique_grid_and_rescaled_voxels_as_simpleitk_reads_them(
    make_dicom: MakeDicom, tmp_path: Path
) -> None:
    row, column = np.array([0.8, 0.6, 0.0]), np.array([0.0, 0.0, -1.0])
    paths, files = [], {}
    for index, voxels_yx in enumerate(VOXELS):
        position = np.array([5.0, -3.0, 7.0]) + 2.5 * index * np.cross(row, column)
        (content,) = make_dicom(
            voxels_yx[None],
            SOPInstanceUID=f"1.2.1.{index}",
            ImagePositionPatient=position.round(6).tolist(),
            ImageOrientationPatient=[*row, *column],
            RescaleSlope=2,
            RescaleIntercept=-9,
        ).values()
        paths.append(tmp_path / f"{index}.dcm")
        paths[-1].write_bytes(content)
        files[f"{index}.dcm"] = content
    image = stack_slices(parse_files(files.items()).slices).image
    reference = sitk.ReadImage([str(path) for path in paths])
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), sitk.GetArrayFromImage(reference))
    for corner in ((0, 0, 0), (4, 3, 2)):
        np.testing.assert_allclose(
            image.TransformIndexToPhysicalPoint(corner),
            reference.TransformIndexToPhysicalPoint(corner),
            atol=1e-5,
        )


@pytest.mark.parametrize(
    ("stored", "slope", "intercept", "expected", "kind"),
    [
        (np.array([0, 2000], np.uint16), 1, -1024, [-1024, 976], np.int16),
        (np.array([-2000, 3000], np.int16), 1, 0, [-2000, 3000], np.int16),
        (np.array([0, 40000], np.uint16), 1, -1, [-1, 39999], np.int32),
        (np.array([0, 3], np.uint16), 0.5, 1, [1.0, 2.5], np.float32),
        (np.array([0, 255], np.uint8), 1, 0, [0, 255], np.uint8),
    ],
)
def test_rescaling_keeps_integers_where_it_can(
    make_dicom: MakeDicom,
    stored: npt.NDArray[Any],
    slope: float,
    intercept: float,
    expected: list[float],
    kind: type,
) -> None:
    voxels = np.resize(stored, (2, 2, 2))
    files = make_dicom(voxels, RescaleSlope=slope, RescaleIntercept=intercept)
    decoded = sitk.GetArrayFromImage(stack_slices(parse_files(files.items()).slices).image)
    assert decoded.dtype == kind
    np.testing.assert_array_equal(decoded, np.resize(expected, (2, 2, 2)))


def test_each_slice_has_its_own_slope(make_dicom: MakeDicom) -> None:
    ones = np.ones((1, 2, 2), np.uint16)
    files = make_dicom(ones, RescaleSlope=2) | {
        "b.dcm": next(
            iter(make_dicom(ones, first_xyz_mm=(0, 0, 5), RescaleSlope=3).values()),
        )
    }
    decoded = sitk.GetArrayFromImage(stack_slices(parse_files(files.items()).slices).image)
    assert decoded[:, 0, 0].tolist() == [2, 3]


@pytest.mark.parametrize("compressor", ["JPEG", "JPEG2000"])
def test_compressed_voxels(make_dicom: MakeDicom, tmp_path: Path, compressor: str) -> None:
    voxels = np.random.default_rng(0).integers(0, 1000, (2, 16, 16)).astype(np.uint16)
    files = {
        name: _compressed(tmp_path / name, content, compressor, intercept=-24)
        for name, content in make_dicom(voxels).items()
    }
    decoded = sitk.GetArrayFromImage(stack_slices(parse_files(files.items()).slices).image)
    np.testing.assert_array_equal(decoded, voxels.astype(np.int32) - 24)


def test_compressed_voxels_that_are_damaged(make_dicom: MakeDicom, tmp_path: Path) -> None:
    voxels = np.random.default_rng(0).integers(0, 1000, (2, 16, 16)).astype(np.uint16)
    files = {}
    for name, content in make_dicom(voxels).items():
        encoded = _compressed(tmp_path / name, content, "JPEG2000", intercept=0)
        files[name] = encoded.replace(b"\xff\x4f\xff\x51", b"\xff\x4f\xff\x00")
    assert _refusal(files) == (Reason.FILE_BROKEN, "file 1 cannot be decoded (RuntimeError)")


def _compressed(path: Path, content: bytes, compressor: str, *, intercept: int) -> bytes:
    path.write_bytes(content)
    writer = sitk.ImageFileWriter()
    writer.SetImageIO("GDCMImageIO")
    writer.SetFileName(str(path))
    writer.UseCompressionOn()
    writer.SetCompressor(compressor)
    before = locale.setlocale(locale.LC_CTYPE)
    writer.Execute(sitk.ReadImage(str(path)))
    locale.setlocale(locale.LC_CTYPE, before)  # which GDCM sets to C when it writes
    dataset = pydicom.dcmread(path)
    original = pydicom.dcmread(BytesIO(content))
    for element in original:
        if element.keyword not in dataset:
            dataset.add(element)
    dataset.ImagePositionPatient = original.ImagePositionPatient
    dataset.PixelSpacing = original.PixelSpacing
    dataset.SeriesInstanceUID = original.SeriesInstanceUID
    dataset.RescaleIntercept, dataset.RescaleSlope = intercept, 1
    dataset.save_as(path)
    return path.read_bytes()


def test_files_without_an_image_plane_are_left_out(make_dicom: MakeDicom) -> None:
    files = make_dicom(VOXELS)
    files |= {"manifest.cvs": b"filename", "README": b""}
    files |= make_dicom(VOXELS[:1], number=2, ImagePositionPatient=None)
    files |= make_dicom(VOXELS[:1], number=3, PixelData=None, SOPClassUID=EnhancedSRStorage)
    assert len(parse_files(files.items()).slices) == 3


def test_no_dicom_at_all() -> None:
    assert _refusal({"manifest.cvs": b"x"}) == (
        Reason.ARCHIVE_EMPTY,
        "no DICOM image among 1 files",
    )


def test_name_of_a_dicom_file_without_its_content() -> None:
    assert _refusal({"1.dcm": b"x" * 200}) == (Reason.FILE_BROKEN, "file 1 is not a DICOM file")


def test_file_that_ends_early(make_dicom: MakeDicom) -> None:
    files = make_dicom(VOXELS)
    files["1.2.1.2.dcm"] = files["1.2.1.2.dcm"][:-7]
    assert _refusal(files) == (Reason.FILE_BROKEN, "file 2 has too few voxels")


def test_header_that_cannot_be_read(make_dicom: MakeDicom) -> None:
    reason, fact = _refusal(make_dicom(VOXELS, PixelSpacing=[1, 2, 3]))
    assert (reason, fact) == (
        Reason.FILE_BROKEN,
        "file 1 has a broken header (ValueError), and 2 more",
    )


def test_multi_frame_and_inverted_images_are_not_read(make_dicom: MakeDicom) -> None:
    assert _refusal(make_dicom(VOXELS, NumberOfFrames=3))[0] is Reason.FORMAT_UNKNOWN
    inverted = make_dicom(VOXELS, PhotometricInterpretation="MONOCHROME1")
    assert _refusal(inverted)[0] is Reason.FORMAT_UNKNOWN


def test_folder_is_read_by_name_with_its_subfolders(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"2")
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "c").write_bytes(b"3")
    assert list(read_folder(tmp_path)) == [("a", b"1"), ("b", b"2"), ("deeper/c", b"3")]
    with pytest.raises(ScanError) as caught:
        list(read_folder(tmp_path / "gone"))
    assert caught.value.reason is Reason.FILE_MISSING

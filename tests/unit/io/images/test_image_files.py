"""Image files: what is read, refused and written."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import SimpleITK as sitk

from organome.domain.errors import MachineFault, ScanError
from organome.domain.outcomes import Reason
from organome.io.images import image_files
from organome.io.images.image_files import check_image, read_image, read_published, write_image

SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha")
CODED = (".nii.gz", ".nrrd", ".mha")


@pytest.fixture
def image() -> sitk.Image:
    rng = np.random.default_rng(0)
    made = sitk.GetImageFromArray(rng.integers(-1000, 1000, (20, 30, 40)).astype(np.int16))
    made.SetSpacing((1.5, 2.25, 3.0))
    made.SetOrigin((-11.5, 7.25, 1234.5))
    made.SetDirection((0, 1, 0, 0.8, 0, -0.6, -0.6, 0, -0.8))
    return made


def _write(path: Path, image: sitk.Image) -> Path:
    sitk.WriteImage(image, str(path), useCompression=path.name.endswith(CODED))
    return path


def _refusal(path: Path) -> Reason:
    with pytest.raises(ScanError) as caught:
        read_image(path)
    assert path.name.split(".")[0] not in caught.value.fact  # it may name the participant
    return caught.value.reason


def _flip_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) * 2 // 3] ^= 0x55
    path.write_bytes(content)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_voxels_and_grid_as_stored(tmp_path: Path, image: sitk.Image, suffix: str) -> None:
    read = read_image(_write(tmp_path / f"p7{suffix}", image))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read), sitk.GetArrayFromImage(image))
    assert read.GetPixelID() == image.GetPixelID()
    np.testing.assert_allclose(read.GetOrigin(), image.GetOrigin(), atol=1e-3)
    np.testing.assert_allclose(read.GetSpacing(), image.GetSpacing(), atol=1e-6)
    np.testing.assert_allclose(read.GetDirection(), image.GetDirection(), atol=1e-6)
    assert not read.GetMetaDataKeys()


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("share", [0.0, 0.5, 0.999])
@pytest.mark.odd_input(
    "N-42",
    make="a file cut short; ITK reads a cut `.nii.gz` without an error",
    source="SimpleITK, own",
    outcome="`file_broken`",
)
def test_truncated(tmp_path: Path, image: sitk.Image, suffix: str, share: float) -> None:
    path = _write(tmp_path / f"p7{suffix}", image)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    assert _refusal(path) is Reason.FILE_BROKEN


@pytest.mark.parametrize("suffix", CODED)
def test_flipped_byte(tmp_path: Path, image: sitk.Image, suffix: str) -> None:
    path = _write(tmp_path / f"p7{suffix}", image)
    _flip_byte(path)
    assert _refusal(path) is Reason.FILE_BROKEN


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_something_else_under_that_name(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"p7{suffix}"
    path.write_bytes(b"<html>404</html>" * 100)
    assert _refusal(path) is Reason.FILE_BROKEN


@pytest.mark.odd_input(
    "N-43",
    make="a whole gzip of half a NIfTI",
    source="own",
    outcome="`file_broken`",
)
def test_whole_gzip_of_half_a_nifti(tmp_path: Path, image: sitk.Image) -> None:
    path = _write(tmp_path / "p7.nii.gz", image)
    content = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(content[: len(content) // 2]))
    assert _refusal(path) is Reason.FILE_BROKEN


@pytest.mark.odd_input(
    "N-44",
    make="gzip of several members, or padded with zeros",
    source="pigz, own",
    outcome="read",
)
def test_gzip_in_several_members_and_padded(tmp_path: Path, image: sitk.Image) -> None:
    path = _write(tmp_path / "p7.nii.gz", image)
    content = gzip.decompress(path.read_bytes())
    members = (gzip.compress(content[:5000]), gzip.compress(content[5000:]))
    path.write_bytes(b"".join(members) + bytes(512))
    np.testing.assert_array_equal(
        sitk.GetArrayFromImage(read_image(path)), sitk.GetArrayFromImage(image)
    )


@pytest.mark.odd_input(
    "N-45",
    make="`x.nii` beside `x.nii.gz`: ITK reads the former when asked for the latter",
    source="SimpleITK, own",
    outcome="the file that was asked for",
)
def test_sibling_without_gz_is_not_read_instead(tmp_path: Path, image: sitk.Image) -> None:
    path = _write(tmp_path / "p7.nii.gz", image)
    _write(tmp_path / "p7.nii", image + 1)
    np.testing.assert_array_equal(
        sitk.GetArrayFromImage(read_image(path)), sitk.GetArrayFromImage(image)
    )


def test_missing_and_unknown(tmp_path: Path, image: sitk.Image) -> None:
    assert _refusal(tmp_path / "p7.nii.gz") is Reason.FILE_MISSING
    assert _refusal(_write(tmp_path / "p7.mhd", image)) is Reason.FORMAT_UNKNOWN
    assert _refusal(_write(tmp_path / "p7.vtk", image)) is Reason.FORMAT_UNKNOWN


@pytest.mark.odd_input(
    "N-46",
    make="a header that names another file for its voxels",
    source="own",
    outcome="`format_unknown`; that file is not opened",
)
def test_voxels_in_another_file(tmp_path: Path, image: sitk.Image) -> None:
    (tmp_path / "p7.nrrd").write_bytes(b"NRRD0004\ntype: short\ndata file: p7.raw\n\n")
    (tmp_path / "p7.mha").write_bytes(b"ObjectType = Image\nElementDataFile = p7.raw\n")
    assert _refusal(tmp_path / "p7.nrrd") is Reason.FORMAT_UNKNOWN
    assert _refusal(tmp_path / "p7.mha") is Reason.FORMAT_UNKNOWN


@pytest.mark.odd_input(
    "N-47",
    make="4D with one volume, and with several",
    source="own",
    outcome="read, and `not_3d`",
)
def test_four_axes_are_three_only_with_one_volume(tmp_path: Path, image: sitk.Image) -> None:
    one = read_image(_write(tmp_path / "p7.nii.gz", sitk.JoinSeries([image])))
    assert one.GetSize() == image.GetSize()
    assert _refusal(_write(tmp_path / "p8.nrrd", sitk.JoinSeries([image, image]))) is Reason.NOT_3D


@pytest.mark.odd_input(
    "N-48",
    make="a plane; vectors as voxels",
    source="own",
    outcome="`not_3d`",
)
def test_planes_and_vectors_are_not_3d(tmp_path: Path, image: sitk.Image) -> None:
    assert _refusal(_write(tmp_path / "p7.mha", image[:, :, 3])) is Reason.NOT_3D
    assert _refusal(_write(tmp_path / "p8.mha", image[:, :, 3:4])) is Reason.NOT_3D
    assert _refusal(_write(tmp_path / "p9.mha", sitk.Compose([image, image]))) is Reason.NOT_3D


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.odd_input(
    "N-49",
    make="NaN or infinite voxels; ITK turns those of NIfTI into 0",
    source="SimpleITK, own",
    outcome="`not_finite`, with how many",
)
def test_not_finite(
    tmp_path: Path, image: sitk.Image, suffix: str, value: float, kind: type
) -> None:
    voxels: npt.NDArray[Any] = sitk.GetArrayFromImage(image).astype(kind)
    voxels[-1, -1, -1] = value
    broken = sitk.GetImageFromArray(voxels)
    assert _refusal(_write(tmp_path / f"p7{suffix}", broken)) is Reason.NOT_FINITE


@pytest.mark.odd_input(
    "N-50",
    make="all voxels the same",
    source="own",
    outcome="`constant_image`; an empty labelmap may be",
)
def test_constant_unless_it_may_be(tmp_path: Path) -> None:
    path = _write(tmp_path / "p7.nii.gz", sitk.Image(20, 20, 20, sitk.sitkUInt8))
    assert _refusal(path) is Reason.CONSTANT_IMAGE
    assert read_image(path, constant=True).GetSize() == (20, 20, 20)


@pytest.mark.odd_input(
    "N-51",
    make="axes that are not at right angles",
    source="own",
    outcome="`geometry_implausible`",
)
def test_sheared_axes(tmp_path: Path, image: sitk.Image) -> None:
    image.SetDirection(np.eye(3).ravel().tolist())
    header = bytearray(gzip.decompress(_write(tmp_path / "p7.nii.gz", image).read_bytes()))
    header[252:256] = b"\0\0\1\0"  # no qform, an sform
    header[280:296] = np.array([1, 0.3, 0, 0], "<f4").tobytes()
    (tmp_path / "p7.nii.gz").write_bytes(gzip.compress(bytes(header)))
    assert _refusal(tmp_path / "p7.nii.gz") is Reason.GEOMETRY_IMPLAUSIBLE


@pytest.mark.odd_input(
    "N-52",
    make="a spacing that no body scan has",
    source="own",
    outcome="`geometry_implausible`",
)
def test_implausible_spacing(image: sitk.Image) -> None:
    image.SetSpacing((1.5, 2.25, 300.0))
    with pytest.raises(ScanError, match="spacing of 300 mm along z") as caught:
        check_image(image)
    assert caught.value.reason is Reason.GEOMETRY_IMPLAUSIBLE


@pytest.mark.parametrize("suffix", CODED)
@pytest.mark.parametrize(
    "kind", [np.uint8, np.int16, np.uint16, np.int32, np.int64, np.float32, np.float64]
)
def test_written_image_reads_back(
    tmp_path: Path, image: sitk.Image, suffix: str, kind: type
) -> None:
    voxels = sitk.GetArrayFromImage(image) % 200
    typed = sitk.GetImageFromArray(voxels.astype(kind))
    typed.CopyInformation(image)
    write_image(tmp_path / f"a{suffix}", typed)
    read = read_image(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read), voxels)
    assert read.GetPixelID() == typed.GetPixelID()
    for corner in ((0, 0, 0), (39, 29, 19)):
        np.testing.assert_allclose(
            read.TransformIndexToPhysicalPoint(corner),
            typed.TransformIndexToPhysicalPoint(corner),
            atol=1e-3,
        )


def test_equal_images_are_equal_bytes_under_any_name(tmp_path: Path, image: sitk.Image) -> None:
    write_image(tmp_path / "a.nii.gz", image)
    write_image(tmp_path / "b.nii.gz", sitk.Image(image))
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.nii.gz", "b.nii.gz"]


def test_a_published_image_that_was_damaged_is_asked_for_again(
    tmp_path: Path, image: sitk.Image
) -> None:
    path, ledger = tmp_path / "0000-0000_ct.nii.gz", tmp_path / "ledger.parquet"
    write_image(path, image)
    whole = path.read_bytes()
    for damaged in (whole[:-500] + bytes(500), whole[:-500], whole[:-1] + b"~", b""):
        path.write_bytes(damaged)
        ledger.touch()
        with pytest.raises(MachineFault, match=r"0000-0000_ct\.nii\.gz: was damaged") as caught:
            read_published(path)
        assert not caught.value.is_local
        assert not path.exists()
        assert not ledger.exists()
    with pytest.raises(MachineFault, match=r"0000-0000_ct\.nii\.gz: gone"):
        read_published(path)


def test_a_published_image_that_is_whole_and_odd_is_never_asked_for_again(
    tmp_path: Path, image: sitk.Image
) -> None:
    path, ledger = tmp_path / "0000-0000_ct.nii.gz", tmp_path / "ledger.parquet"
    image.SetSpacing((1.5, 2.25, 3000.0))
    write_image(path, image)
    ledger.touch()
    with pytest.raises(ScanError, match="geometry_implausible"):
        read_published(path)
    assert ledger.exists()


@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "i4", "u4", "i8", "u8"])
def test_whole_numbers_that_may_be_constant_are_not_searched(
    dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = np.iinfo(dtype)
    assert max(-float(ends.min), float(ends.max)) < image_files.MAX_INTENSITY
    voxels_zyx = np.full((30, 40, 50), ends.max, dtype)
    voxels_zyx[0] = ends.min
    check_image(sitk.GetImageFromArray(voxels_zyx))
    monkeypatch.setattr(image_files, "MAX_INTENSITY", -1)  # any value is beyond it
    check_image(sitk.GetImageFromArray(voxels_zyx), constant=True)
    voxels_zyx[...] = 0
    check_image(sitk.GetImageFromArray(voxels_zyx), constant=True)

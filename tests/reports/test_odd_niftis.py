"""NIfTI files that readers read differently: read as the standard says, or refused with a reason.

Source: public threads, named at each test; nifti1.h.
"""

import gzip
import warnings
from pathlib import Path
from typing import Any

import nibabel as nib
import nibabel.tests
import numpy as np
import pytest
import SimpleITK as sitk

from doubles.odd_dicom import series, stored_values
from doubles.odd_niftis import AFFINE, SIZE_XYZ, nifti_file, voxels_xyz
from organome.domain.errors import ScanError, SetupError
from organome.domain.flags import Flag
from organome.domain.geometry import direction_of
from organome.domain.outcomes import Reason
from organome.domain.scans import Contrast, Scan, Source
from organome.io.images.image_files import read_delivered
from organome.io.images.reading import Delivered
from organome.steps.prepare.deliveries import Deliveries

RAS_FROM_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
NIBABEL_DATA = Path(nibabel.tests.__file__).with_name("data")
NIFTI_TYPES = ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"]


def _read(folder: Path, content: bytes, name: str = "a.nii", **settings: Any) -> Delivered:
    (folder / name).write_bytes(content)
    return read_delivered(folder / name, **settings)


def _refusal(folder: Path, content: bytes, name: str = "a.nii") -> ScanError:
    with pytest.raises(ScanError) as caught:
        _read(folder, content, name)
    return caught.value


def _affine(image: sitk.Image) -> Any:
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return RAS_FROM_LPS @ affine


def _check_equal(image: sitk.Image, theirs: Any) -> None:
    np.testing.assert_allclose(_affine(image), theirs.affine, atol=1e-4)
    values = np.asanyarray(theirs.dataobj).squeeze()
    np.testing.assert_allclose(sitk.GetArrayFromImage(image).T, values, rtol=1e-6)


def _turned(degrees: float, affine: Any = AFFINE) -> Any:
    angle = np.radians(degrees)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return turn @ affine


@pytest.mark.odd_input(
    "N-1",
    make="sform of 2 x 2 x 3 mm, pixdim 1 1 1",
    source="MONAILabel 1634, nibabel 863",
    outcome="`spacing_disputed` beyond 1 %, both in the fact; within, the sform counts",
)
@pytest.mark.parametrize("codes", [(0, 1), (1, 1), (0, 2), (1, 4)])
def test_spacing_of_sform_and_pixdim_differ(tmp_path: Path, codes: tuple[int, int]) -> None:
    error = _refusal(tmp_path, nifti_file(codes=codes, spacing=(1, 1, 1)))
    assert error.reason is Reason.SPACING_DISPUTED
    assert "2 x 2 x 3 mm by the sform, 1 x 1 x 1 mm by pixdim" in error.fact
    near = _read(tmp_path, nifti_file(codes=codes, spacing=(2, 2, 3.01))).image
    np.testing.assert_allclose(near.GetSpacing(), (2, 2, 3), rtol=1e-6)
    unstated = _read(tmp_path, nifti_file(codes=codes, spacing=(0, 0, 0))).image
    assert unstated.GetSpacing() == (2, 2, 3)


@pytest.mark.odd_input(
    "N-2",
    make="sform_code and qform_code 0, pixdim alone; or codes of opposite sense",
    source="nibabel 522",
    outcome="`orientation_unknown`: left and right are a guess",
)
def test_no_orientation(tmp_path: Path) -> None:
    error = _refusal(tmp_path, nifti_file(codes=(0, 0)))
    assert error.reason is Reason.ORIENTATION_UNKNOWN


@pytest.mark.odd_input(
    "N-31",
    make="NIfTI without valid codes, NRRD without a space, whose orientation a person states",
    source="nibabel 522",
    outcome="read so, flag `orientation_stated`; files that say it themselves are read as they say",
)
@pytest.mark.parametrize("letters", ["LAS", "RAS", "PSR"])
def test_a_stated_orientation(tmp_path: Path, letters: str) -> None:
    read = _read(tmp_path, nifti_file(codes=(0, 0)), orientation=letters)
    assert read.flags == {Flag.ORIENTATION_STATED}
    assert nib.aff2axcodes(_affine(read.image)) == tuple(letters)
    assert read.image.GetSpacing() == (2, 2, 3)
    own = _read(tmp_path, nifti_file(), orientation=letters)
    assert not own.flags
    np.testing.assert_allclose(_affine(own.image), AFFINE, atol=1e-5)
    content = _nrrd(space=None, directions=None, more="spacings: 2 2 3\n")
    read = _read(tmp_path, content, "a.nrrd", orientation=letters)
    assert read.flags == {Flag.ORIENTATION_STATED}
    assert nib.aff2axcodes(_affine(read.image)) == tuple(letters)


@pytest.mark.parametrize("letters", ["", "RA", "RASL", "RLS", "ras", "XYZ", "RRS"])
def test_an_orientation_that_is_none(letters: str) -> None:
    with pytest.raises(SetupError, match="three sides"):
        direction_of(letters)


@pytest.mark.odd_input(
    "N-20",
    make="sform and qform that are mirror images, or turned by 30 or 90 degrees",
    source="nifti1.h (two transforms may stand in one header)",
    outcome="`orientation_unknown`; moved or turned a little: flag `qform_differs`, sform counts",
)
@pytest.mark.parametrize("degrees", [-180, -90, 30, 11])
def test_qform_and_sform_of_other_orientation(tmp_path: Path, degrees: float) -> None:
    qform = nib.Nifti1Header()
    qform.set_qform(_turned(degrees), code=1)
    names = [*(f"quatern_{one}" for one in "bcd"), *(f"qoffset_{one}" for one in "xyz")]
    other = {name: qform[name] for name in names}
    assert _refusal(tmp_path, nifti_file(**other)).reason is Reason.ORIENTATION_UNKNOWN
    mirrored = AFFINE * [[-1], [1], [1], [1]]
    error = _refusal(tmp_path, nifti_file(srow_x=mirrored[0]))
    assert error.reason is Reason.ORIENTATION_UNKNOWN
    assert "mirror" in error.fact


def _broken_qforms() -> dict[str, dict[str, Any]]:
    turned = {"quatern_b": 0.7, "quatern_c": 0.7, "quatern_d": 0.7}
    return {
        "not a rotation": turned,
        "NaN": {"quatern_c": np.nan},
        "infinite": {"quatern_c": np.inf},
        "no place": {"qoffset_x": np.nan},
        "far away": {"qoffset_z": 1e38},
        "no spacing": {"spacing": (0, 0, 0)},
        "a spacing of NaN": {"spacing": (2, np.nan, 3)},
    }


def _broken_sforms() -> dict[str, dict[str, Any]]:
    zero = [0.0] * 4
    return {
        "zeros": {"srow_x": zero, "srow_y": zero, "srow_z": zero},
        "a row of zeros": {"srow_y": zero},
        "NaN": {"srow_x": [np.nan, 0, 0, 30]},
        "infinite": {"srow_y": [0, np.inf, 0, 0]},
        "far away": {"srow_z": [0, 0, 3, 1e38]},
        "in a plane": {"srow_y": [2, 0, 0, -40]},
    }


@pytest.mark.odd_input(
    "N-64",
    make="a good sform beside a qform of zeros, of NaN, of a quaternion that is not a rotation",
    source="nifti1.h (each transform has its own code), own",
    outcome="the sform counts, flag `transform_left_out`; `geometry_implausible` without an sform",
)
@pytest.mark.parametrize("kind", _broken_qforms())
def test_a_broken_qform_beside_a_good_sform(tmp_path: Path, kind: str) -> None:
    fields = _broken_qforms()[kind]
    read = _read(tmp_path, nifti_file(**fields))
    assert read.flags == {Flag.TRANSFORM_LEFT_OUT}
    np.testing.assert_allclose(_affine(read.image), AFFINE, atol=1e-5)
    assert not _read(tmp_path, nifti_file(codes=(0, 1), **fields)).flags
    alone = _refusal(tmp_path, nifti_file(codes=(1, 0), **fields))
    assert alone.reason is Reason.GEOMETRY_IMPLAUSIBLE


def test_a_qform_of_zeros_disputes_an_oblique_sform(tmp_path: Path) -> None:
    """It is a whole turn of 0 degrees, and so a statement."""
    zeros = dict.fromkeys(("quatern_b", "quatern_c", "quatern_d"), 0.0)
    error = _refusal(tmp_path, nifti_file(affine=_turned(30), **zeros))
    assert error.reason is Reason.ORIENTATION_UNKNOWN


@pytest.mark.odd_input(
    "N-65",
    make="a good qform beside an sform of zeros, of NaN, of axes in a plane",
    source="nifti1.h, own",
    outcome="the qform counts, as in ITK, flag `transform_left_out`; alone `geometry_implausible`",
)
@pytest.mark.parametrize("kind", _broken_sforms())
def test_a_broken_sform_beside_a_good_qform(tmp_path: Path, kind: str) -> None:
    fields = _broken_sforms()[kind]
    read = _read(tmp_path, nifti_file(**fields))
    assert read.flags == {Flag.TRANSFORM_LEFT_OUT}
    np.testing.assert_allclose(_affine(read.image), AFFINE, atol=1e-4)
    assert read.image.GetSpacing() == (2, 2, 3)
    alone = _refusal(tmp_path, nifti_file(codes=(0, 1), **fields))
    assert alone.reason is Reason.GEOMETRY_IMPLAUSIBLE
    both = nifti_file(quatern_b=0.9, quatern_c=0.9, **fields)
    assert _refusal(tmp_path, both).reason is Reason.GEOMETRY_IMPLAUSIBLE


@pytest.mark.odd_input(
    "N-69",
    make="a qform alone, half a turn and 0.1 to 0.3 degrees more",
    source="nifti1.h: nibabel's tolerance for quaternions takes the rest for rounding",
    outcome="the whole turn, up to what single precision holds",
)
@pytest.mark.parametrize("degrees", [0.1, 0.2, 0.3])
def test_a_small_tilt_of_a_half_turn_is_kept(tmp_path: Path, degrees: float) -> None:
    for sign in (1, -1):
        affine = _turned(180 + degrees) @ np.diag([sign, 1, 1, 1])
        image = _read(tmp_path, nifti_file(affine=affine, codes=(1, 0))).image
        np.testing.assert_allclose(_affine(image)[:3, :3], affine[:3, :3], atol=3e-4)


@pytest.mark.odd_input(
    "N-67",
    make="`.nii.zst`, `.nii.bz2`, `.hdr`, `.mhd`, `.mgz`, `.mnc`",
    source="own",
    outcome="`format_unknown`, the format in the fact",
)
def test_formats_that_are_not_read_are_named(tmp_path: Path) -> None:
    for name, word in (
        *(("a.nii.zst", "zstd"), ("a.nii.bz2", "bzip2"), ("a.HDR", "two files")),
        *(("a.mhd", "two files"), ("a.mgz", "FreeSurfer"), ("a.mnc", "MINC"), ("a.x", "unknown")),
    ):
        error = _refusal(tmp_path, b"content", name)
        assert error.reason is Reason.FORMAT_UNKNOWN
        assert word in error.fact


@pytest.mark.odd_input(
    "N-68",
    make="one volume with an intent code, a header extension, an odd vox_offset, one time point",
    source="nifti1.h",
    outcome="read as nibabel reads it",
)
@pytest.mark.parametrize("order", ["<", ">"])
def test_headers_that_say_more(tmp_path: Path, order: str) -> None:
    plain = nifti_file(order=order, intent_code=1001, intent_name=b"Hans", cal_max=50, toffset=3)
    odd = nifti_file(order=order, vox_offset=352 + 37)
    odd = odd[:352] + bytes(37) + odd[352:]
    extended = nifti_file(order=order, vox_offset=352 + 32)
    words = np.array([32, 6], f"{order}i4").tobytes() + b"a comment".ljust(24, b"\0")
    extended = extended[:348] + b"\1\0\0\0" + words + extended[352:]
    moments = [nifti_file(voxels_xyz()[(..., *[None] * n)], order=order) for n in (1, 2, 4)]
    for content in (plain, odd, extended, *moments):
        read = _read(tmp_path, content)
        theirs = nib.Nifti1Image.from_bytes(content)
        np.testing.assert_array_equal(
            sitk.GetArrayFromImage(read.image).T, np.asarray(theirs.dataobj).squeeze()
        )
        np.testing.assert_allclose(_affine(read.image), theirs.affine, atol=1e-5)
        assert not read.flags
    several = nifti_file(np.stack([voxels_xyz()] * 2, axis=-1)[..., None, :], order=order)
    assert _refusal(tmp_path, several).reason is Reason.NOT_3D


def test_qform_a_little_elsewhere(tmp_path: Path) -> None:
    moved = _read(tmp_path, nifti_file(qoffset_z=1200))
    assert moved.flags == {Flag.QFORM_DIFFERS}
    assert moved.image.GetOrigin() == (-30, 40, 1000)
    assert not _read(tmp_path, nifti_file(qoffset_z=1000.5)).flags


@pytest.mark.odd_input(
    "N-3",
    make="np.eye(4) as affine",
    source="MRSegmentator 23 and three other repositories",
    outcome="flag `affine_identity`",
)
def test_affine_identity(tmp_path: Path) -> None:
    content = nifti_file(np.tile(voxels_xyz(), (2, 2, 2)), np.eye(4))
    assert _read(tmp_path, content).flags == {Flag.AFFINE_IDENTITY}
    assert not _read(tmp_path, nifti_file()).flags
    header = (
        "ObjectType = Image\nNDims = 3\nBinaryData = True\nDimSize = 20 18 16\n"
        "ElementSpacing = 1 1 1\nTransformMatrix = 1 0 0 0 1 0 0 0 1\n"
        "ElementType = MET_SHORT\nElementDataFile = LOCAL\n"
    )
    content = header.encode() + content[352:]
    assert _read(tmp_path, content, "a.mha").flags == {Flag.AFFINE_IDENTITY}


@pytest.mark.odd_input(
    "N-4",
    make="scl_slope 0 (or not a number), scl_inter -1024",
    source="nifti1.h; own",
    outcome="not scaled, as the standard says",
)
@pytest.mark.parametrize("slope", [0.0, float("nan"), float("inf")])
def test_a_slope_of_0_scales_nothing(tmp_path: Path, slope: float) -> None:
    image = _read(tmp_path, nifti_file(scl_slope=slope, scl_inter=-1024)).image
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image).T, voxels_xyz())
    assert image.GetPixelID() == sitk.sitkInt16
    assert _refusal(tmp_path, nifti_file(scl_inter=np.nan)).reason is Reason.FILE_BROKEN


@pytest.mark.parametrize("kind", NIFTI_TYPES)
@pytest.mark.parametrize("scaling", [(1, -1024), (0.5, 3), (-2, 0)])
def test_scaled_values_are_those_of_nibabel(
    tmp_path: Path, kind: str, scaling: tuple[float, float]
) -> None:
    content = nifti_file(voxels_xyz(kind), scl_slope=scaling[0], scl_inter=scaling[1])
    _check_equal(_read(tmp_path, content).image, nib.Nifti1Image.from_bytes(content))


@pytest.mark.odd_input(
    "N-6",
    make="gzip named .nii, plain named .nii.gz, gzip in gzip, bzip2 named .nii.gz",
    source="nibabel 898, 966",
    outcome="read by the first bytes; `format_unknown` where compressed in another way",
)
def test_compressed_or_not_by_content(tmp_path: Path) -> None:
    plain = nifti_file()
    whole = gzip.compress(plain)
    for content in (plain, whole, gzip.compress(whole)):
        for name in ("a.nii", "a.nii.gz"):
            image = _read(tmp_path, content, name).image
            np.testing.assert_array_equal(sitk.GetArrayFromImage(image).T, voxels_xyz())
    for magic in (b"BZh91AY&SY", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"PK\x03\x04"):
        error = _refusal(tmp_path, magic + whole, "a.nii.gz")
        assert error.reason is Reason.FORMAT_UNKNOWN
    damaged = gzip.compress(whole[:-3] + b"abc")
    assert _refusal(tmp_path, damaged, "a.nii.gz").reason is Reason.FILE_BROKEN
    thrice = gzip.compress(gzip.compress(whole))
    assert _refusal(tmp_path, thrice, "a.nii.gz").reason is Reason.FORMAT_UNKNOWN


@pytest.mark.odd_input(
    "N-12",
    make="negative pixdim beside right sform and qform; beside a qform alone; qfac 0",
    source="own",
    outcome="the sform counts, as in nibabel; `geometry_implausible` where only the qform is valid",
)
@pytest.mark.parametrize("place", [1, 2, 3])
def test_negative_pixdim(tmp_path: Path, place: int) -> None:
    pixdim = np.array([1, 2, 2, 3, 1, 1, 1, 1.0])
    pixdim[0] = nib.Nifti1Image.from_bytes(nifti_file()).header["pixdim"][0]
    pixdim[place] *= -1
    read = _read(tmp_path, nifti_file(pixdim=pixdim))
    np.testing.assert_allclose(_affine(read.image), AFFINE, atol=1e-5)
    assert not read.flags
    error = _refusal(tmp_path, nifti_file(pixdim=pixdim, codes=(1, 0)))
    assert error.reason is Reason.GEOMETRY_IMPLAUSIBLE


@pytest.mark.odd_input(
    "N-14",
    make="voxels of complex numbers, of colours, of 1 or 128 bits, of an unknown type",
    source="own",
    outcome="`not_3d` for complex numbers and colours, else `format_unknown` or `file_broken`",
)
def test_types_that_no_scan_has(tmp_path: Path) -> None:
    colours = np.zeros(SIZE_XYZ, [("R", "u1"), ("G", "u1"), ("B", "u1")])
    for kind in (np.complex64, np.complex128):
        assert _refusal(tmp_path, nifti_file(voxels_xyz(kind))).reason is Reason.NOT_3D
    assert _refusal(tmp_path, nifti_file(colours)).reason is Reason.NOT_3D
    long = nifti_file(voxels_xyz(np.float64), datatype=1536, bitpix=128)
    assert _refusal(tmp_path, long).reason is Reason.FORMAT_UNKNOWN
    for code, bits in ((1, 1), (0, 16), (77, 16), (4, 32), (16, 16)):
        error = _refusal(tmp_path, nifti_file(datatype=code, bitpix=bits))
        assert error.reason in (Reason.FORMAT_UNKNOWN, Reason.FILE_BROKEN)


@pytest.mark.odd_input(
    "N-21",
    make="NIfTI-2, big-endian, one volume in seven axes, 64-bit integers, vox_offset 0",
    source="nifti1.h, nifti2.h",
    outcome="read as nibabel reads it",
)
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("header", [nib.Nifti1Header, nib.Nifti2Header])
@pytest.mark.parametrize("kind", NIFTI_TYPES)
def test_every_type_order_and_header(tmp_path: Path, kind: str, header: Any, order: str) -> None:
    voxels = voxels_xyz(kind)[(..., *[np.newaxis] * (len(kind) % 2))]
    content = nifti_file(voxels, header=header, order=order)
    theirs = nib.Nifti1Image if header is nib.Nifti1Header else nib.Nifti2Image
    image = _read(tmp_path, content).image
    _check_equal(image, theirs.from_bytes(content))
    assert sitk.GetArrayFromImage(image).dtype == np.dtype(kind)
    image = _read(tmp_path, nifti_file(voxels, header=header, order=order, vox_offset=0)).image
    _check_equal(image, theirs.from_bytes(content))


@pytest.mark.odd_input(
    "N-22",
    make="NIfTI whose lengths are in metres or micrometres",
    source="nifti1.h, xyzt_units",
    outcome="converted, flag `units_converted`; `file_broken` for a unit that does not exist",
)
@pytest.mark.parametrize(("unit", "scale"), [(1, 0.001), (3, 1000.0), (2, 1.0), (0, 1.0)])
def test_units(tmp_path: Path, unit: int, scale: float) -> None:
    affine = np.diag([scale] * 3 + [1]) @ AFFINE
    read = _read(tmp_path, nifti_file(affine=affine, xyzt_units=unit | 8))
    np.testing.assert_allclose(_affine(read.image), AFFINE, rtol=1e-5)
    np.testing.assert_allclose(read.image.GetSpacing(), (2, 2, 3), rtol=1e-5)
    assert read.flags == ({Flag.UNITS_CONVERTED} if scale != 1 else set())
    assert _refusal(tmp_path, nifti_file(xyzt_units=5)).reason is Reason.FILE_BROKEN


@pytest.mark.odd_input(
    "N-13",
    make="axes sheared by 20 degrees, or a matrix of direction times 2, in NIfTI, NRRD and MHA",
    source="own",
    outcome="`geometry_implausible`, angle or scale in the fact",
)
def test_sheared_and_scaled_axes(tmp_path: Path) -> None:
    shear = np.eye(4)
    shear[0, 1] = np.tan(np.radians(20))
    nifti = nifti_file(affine=shear @ AFFINE, codes=(0, 1))
    nrrd = _nrrd(directions="(2,0,0) (0.7,1.9,0) (0,0,3)")
    mha = "ElementSpacing = 2 2 3\nTransformMatrix = {}\n"
    for name, content, fact in (
        ("a.nii", nifti, "20 degrees"),
        ("a.nrrd", nrrd, "20 degrees"),
        ("a.mha", _mha(mha.format("1 0 0 .364 1 0 0 0 1")), "scaled by 1.06"),
        ("a.mha", _mha(mha.format("1 0 0 .34202 .93969 0 0 0 1")), "20 degrees"),
        ("a.mha", _mha(mha.format("2 0 0 0 2 0 0 0 2")), "scaled by 2"),
        ("a.mha", _mha(mha.format("0 0 0 0 0 0 0 0 0")), ""),
    ):
        error = _refusal(tmp_path, content, name)
        assert error.reason in (Reason.GEOMETRY_IMPLAUSIBLE, Reason.FILE_BROKEN)
        assert fact in error.fact


def _nrrd(
    *,
    space: str | None = "left-posterior-superior",
    directions: str | None = "(2,0,0) (0,2,0) (0,0,3)",
    more: str = "",
) -> bytes:
    header = "NRRD0005\ntype: short\ndimension: 3\n"
    header += f"space: {space}\n" if space else ""
    header += "sizes: 10 9 8\n"
    header += f"space directions: {directions}\nspace origin: (30,40,50)\n" if directions else ""
    header += f"endian: little\nencoding: raw\n{more}\n"
    return header.encode() + voxels_xyz().tobytes(order="F")


_MATRIX = "TransformMatrix = 1 0 0 0 1 0 0 0 1\n"


def _mha(more: str) -> bytes:
    header = (
        f"ObjectType = Image\nNDims = 3\nBinaryData = True\n{more}DimSize = 10 9 8\n"
        "ElementType = MET_SHORT\nElementDataFile = LOCAL\n"
    )
    return header.encode() + voxels_xyz().tobytes(order="F")


@pytest.mark.odd_input(
    "N-15",
    make="NRRD with `space units`, MHA with DistanceUnits: cm, m, um, inch",
    source="NRRD 5, own",
    outcome="converted, flag `units_converted`; `geometry_implausible` for a unit not known",
)
def test_units_of_nrrd_and_metaimage(tmp_path: Path) -> None:
    directions = "(.2,0,0) (0,.2,0) (0,0,.3)"
    small = _nrrd(directions=directions, more='space units: "cm" "cm" "cm"\n')
    read = _read(tmp_path, small.replace(b"(30,40,50)", b"(3,4,5)"), "a.nrrd")
    np.testing.assert_allclose(read.image.GetSpacing(), (2, 2, 3))
    np.testing.assert_allclose(read.image.GetOrigin(), (30, 40, 50))
    assert read.flags == {Flag.UNITS_CONVERTED}
    grid = f"ElementSpacing = .2 .2 .3\n{_MATRIX}"
    read = _read(tmp_path, _mha(f"DistanceUnits = cm\n{grid}"), "a.mha")
    np.testing.assert_allclose(read.image.GetSpacing(), (2, 2, 3))
    assert read.flags == {Flag.UNITS_CONVERTED}
    assert not _read(tmp_path, _nrrd(more='space units: "mm" "mm" "mm"\n'), "a.nrrd").flags
    for unit in ('"in" "in" "in"', '"mm" "mm" "cm"'):
        error = _refusal(tmp_path, _nrrd(more=f"space units: {unit}\n"), "a.nrrd")
        assert error.reason is Reason.GEOMETRY_IMPLAUSIBLE


@pytest.mark.odd_input(
    "N-23",
    make="NRRD in RAS, LAS, LPS; in scanner-xyz, 3D-right-handed, or without a space",
    source="NRRD 5",
    outcome="turned to LPS; `orientation_unknown` where the space is none of the body",
)
def test_spaces_of_nrrd(tmp_path: Path) -> None:
    for words, short, signs in (
        ("left-posterior-superior", "LPS", (1, 1, 1)),
        ("right-anterior-superior", "RAS", (-1, -1, 1)),
        ("left-anterior-superior", "LAS", (1, -1, 1)),
    ):
        for space in (words, short):
            image = _read(tmp_path, _nrrd(space=space), "a.nrrd").image
            assert image.GetDirection() == tuple(np.diag(signs).ravel())
            assert image.GetOrigin() == tuple(np.multiply(signs, (30, 40, 50)))
    for content in (
        _nrrd(space="scanner-xyz"),
        _nrrd(space="3D-right-handed"),
        _nrrd(space=None, directions=None, more="spacings: 2 2 3\n"),
    ):
        error = _refusal(tmp_path, content, "a.nrrd")
        assert error.reason is Reason.ORIENTATION_UNKNOWN


@pytest.mark.odd_input(
    "N-32",
    make="a MetaImage without TransformMatrix, Rotation or Orientation, or in another spelling",
    source="MetaIO, which takes it for LPS; own",
    outcome="`orientation_unknown`; read as a person states it, flag `orientation_stated`",
)
@pytest.mark.parametrize("line", ["", _MATRIX.lower()])
def test_a_metaimage_that_does_not_say_its_orientation(tmp_path: Path, line: str) -> None:
    content = _mha(f"ElementSpacing = 2 2 3\n{line}")
    assert _refusal(tmp_path, content, "a.mha").reason is Reason.ORIENTATION_UNKNOWN
    read = _read(tmp_path, content, "a.mha", orientation="RAS")
    assert read.flags == {Flag.ORIENTATION_STATED}
    assert nib.aff2axcodes(_affine(read.image)) == tuple("RAS")


@pytest.mark.parametrize("name", ["TransformMatrix", "Rotation", "Orientation"])
@pytest.mark.parametrize("spacing", ["ElementSpacing", "ElementSize"])
def test_every_name_of_the_grid_of_a_metaimage_counts(
    tmp_path: Path, name: str, spacing: str
) -> None:
    content = _mha(f"{spacing} = 2 2 3\n{name} = -1 0 0 0 -1 0 0 0 1\n")
    read = _read(tmp_path, content, "a.mha", orientation="LPS")
    assert not read.flags
    assert read.image.GetSpacing() == (2, 2, 3)
    assert read.image.GetDirection() == (-1, 0, 0, 0, -1, 0, 0, 0, 1)


@pytest.mark.odd_input(
    "N-33",
    make="a MetaImage or NRRD without a spacing, or in another spelling; ITK takes 1 mm",
    source="MetaIO, ITK; own",
    outcome="`geometry_missing`",
)
@pytest.mark.parametrize("orientation", ["", "LPS"])
def test_no_spacing(tmp_path: Path, orientation: str) -> None:
    for name, content in (
        ("a.mha", _mha(_MATRIX)),
        ("a.mha", _mha(f"elementspacing = 2 2 3\n{_MATRIX}")),
        ("a.nrrd", _nrrd(directions=None)),
    ):
        with pytest.raises(ScanError) as caught:
            _read(tmp_path, content, name, orientation=orientation)
        assert caught.value.reason is Reason.GEOMETRY_MISSING


@pytest.mark.odd_input(
    "N-34",
    make="a MetaImage with an ElementToIntensityFunction, which ITK does not apply",
    source="MetaIO; own",
    outcome="`format_unknown`, unless it changes nothing",
)
@pytest.mark.parametrize(("slope", "offset"), [("2", "0"), ("1", "-1024"), ("0", "0")])
def test_a_metaimage_whose_voxels_are_to_be_scaled(tmp_path: Path, slope: str, offset: str) -> None:
    function = "ElementToIntensityFunction"
    grid = f"ElementSpacing = 2 2 3\n{_MATRIX}{function}"
    content = _mha(f"{grid}Slope = {slope}\n{function}Offset = {offset}\n")
    assert _refusal(tmp_path, content, "a.mha").reason is Reason.FORMAT_UNKNOWN
    same = _mha(f"{grid}Slope = 1\n{function}Offset = 0\n")
    voxels = sitk.GetArrayFromImage(_read(tmp_path, same, "a.mha").image).T
    np.testing.assert_array_equal(voxels, voxels_xyz())


@pytest.mark.odd_input(
    "N-24",
    make="NIfTI as .hdr and .img, by suffix or by its magic",
    source="nifti1.h",
    outcome="`format_unknown`",
)
def test_voxels_in_another_file(tmp_path: Path) -> None:
    content = nifti_file(magic=b"ni1\0")
    for name in ("a.hdr", "a.img", "a.nii", "a.nii.gz"):
        assert _refusal(tmp_path, content, name).reason is Reason.FORMAT_UNKNOWN


def test_an_sform_that_is_not_valid_may_hold_anything(tmp_path: Path) -> None:
    read = _read(tmp_path, nifti_file(codes=(1, 0), srow_x=[np.nan, 1e38, np.inf, -np.inf]))
    np.testing.assert_allclose(_affine(read.image), AFFINE, atol=1e-4)


def test_the_grid_that_simpleitk_gives_an_array(tmp_path: Path) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(np.tile(voxels_xyz(), (2, 2, 2))), tmp_path / "a.nii.gz")
    assert read_delivered(tmp_path / "a.nii.gz").flags == {Flag.AFFINE_IDENTITY}


@pytest.mark.odd_input(
    "N-29",
    make="CT as NIfTI or DICOM whose values are as stored (0 to 4095), from 0 to 1, or shifted",
    source="dicom2nifti 129",
    outcome="flag `ct_not_in_hu`",
)
@pytest.mark.parametrize(
    ("scaling", "is_odd"),
    [((10, -1000), False), ((10, 0), True), ((1, -1300), True), ((1, 2000), True)],
)
@pytest.mark.parametrize("kind", ["nifti", "dicom"])
def test_a_ct_that_is_not_in_hu(
    tmp_path: Path, scaling: tuple[float, float], is_odd: bool, kind: str
) -> None:
    slope, intercept = scaling
    path = tmp_path / "a.nii"
    if kind == "nifti":
        path.write_bytes(nifti_file(scl_slope=slope, scl_inter=intercept))
    else:
        path.mkdir()
        stored = stored_values(4, high=200)
        files = series(stored, modality="", RescaleSlope=slope, RescaleIntercept=intercept)
        for name, content in files.items():
            (path / name).write_bytes(content)
    for contrast in (Contrast.CT, Contrast.T1):
        scan = Scan("0000-0000", "c", "p", "1", "0", "x", (Source(str(path), contrast),))
        flags = Deliveries("folder", tuple(Contrast)).read(scan).flags
        assert (Flag.CT_NOT_IN_HU in flags) == (is_odd and contrast is Contrast.CT)


def test_files_of_nibabel_are_equal_or_refused() -> None:
    found = {}
    for path in sorted(NIBABEL_DATA.rglob("*.nii*")):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = nib.load(path)
        try:
            image = read_delivered(path).image
        except ScanError as error:
            found[path.name] = error.reason.value
            continue
        found[path.name] = "equal"
        _check_equal(image, theirs)
    assert found == {
        "anatomical.nii": "equal",
        "example4d.nii.gz": "not_3d",
        "example_nifti2.nii.gz": "not_3d",
        "functional.nii": "not_3d",
        "reoriented_anat_moved.nii": "equal",
        "resampled_anat_moved.nii": "not_finite",
        "row_major.dconn.nii": "not_3d",
        "standard.nii.gz": "geometry_implausible",  # 4 mm long
    }

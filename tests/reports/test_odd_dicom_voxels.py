"""DICOM voxels: the same values from every encoding, Hounsfield units or a reason."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.encoders.base import get_encoder
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from doubles.odd_dicom import ReadSeries, changed, series, stored_values
from organome.domain.errors import ScanError
from organome.domain.flags import Flag
from organome.domain.outcomes import Reason
from organome.domain.scans import Contrast, MissingRescale

Files = dict[str, bytes]
N_SLICES = 4


def _refusal(files: Files, contrast: Contrast | None = Contrast.CT) -> ScanError:
    with pytest.raises(ScanError) as caught:
        ReadSeries(files, contrast)
    return caught.value


def _by_pydicom(content: bytes, syntax: UID) -> bytes:
    dataset = pydicom.dcmread(BytesIO(content))
    encoder = get_encoder(syntax)
    dataset.PixelData = encapsulate([encoder.encode(dataset, index=0)])
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset["PixelData"].VR = "OB"
    written = BytesIO()
    dataset.save_as(written)
    return written.getvalue()


def _by_gdcm(content: bytes, compressor: str, folder: Path) -> bytes:
    """Encode by ITK, which turns signed voxels to what it likes: only the frame is taken."""
    dataset = pydicom.dcmread(BytesIO(content))
    plain = Dataset()
    plain.file_meta = dataset.file_meta
    for keyword in ("SOPClassUID", "SOPInstanceUID", "Rows", "Columns", "SamplesPerPixel"):
        setattr(plain, keyword, dataset[keyword].value)
    for keyword in ("PhotometricInterpretation", "BitsAllocated", "PixelData"):
        plain[keyword] = dataset[keyword]
    plain.BitsStored, plain.HighBit, plain.PixelRepresentation = 16, 15, 0
    path = folder / "plain.dcm"
    plain.save_as(path, enforce_file_format=True)
    writer = sitk.ImageFileWriter()
    writer.SetImageIO("GDCMImageIO")
    writer.SetFileName(str(path))
    writer.UseCompressionOn()
    writer.SetCompressor(compressor)
    writer.Execute(sitk.ReadImage(str(path)))
    encoded = pydicom.dcmread(path)
    dataset.PixelData = encoded.PixelData
    dataset["PixelData"].VR = "OB"
    dataset.file_meta.TransferSyntaxUID = encoded.file_meta.TransferSyntaxUID
    written = BytesIO()
    dataset.save_as(written)
    return written.getvalue()


ENCODERS: dict[str, Callable[[bytes, Path], bytes]] = {
    "rle": lambda content, _: _by_pydicom(content, RLELossless),
    "jpeg_ls": lambda content, _: _by_pydicom(content, JPEGLSLossless),
    "jpeg_lossless": lambda content, folder: _by_gdcm(content, "JPEG", folder),
    "jpeg_2000": lambda content, folder: _by_gdcm(content, "JPEG2000", folder),
}
SIGNED_12_BITS = {"PixelRepresentation": 1, "BitsStored": 12, "HighBit": 11}
VALUES_12 = np.arange(-2048, 2048).reshape(1, 64, 64).repeat(N_SLICES, axis=0)


def _signed_12(*, unused: int = 0) -> npt.NDArray[np.uint16]:
    return ((VALUES_12 & 0xFFF) | unused).astype(np.uint16)


D1 = pytest.mark.odd_input(
    "D-1",
    make="signed 12-bit voxels stored as `-100 & 0xFFF`, or with overlays in the unused bits; "
    "uncompressed, big endian, RLE, JPEG-LS, JPEG lossless and JPEG 2000",
    source="dicom2nifti 13, dcm2niix 688, pydicom 2066",
    outcome="the same values from each",
)


@pytest.mark.parametrize(
    "syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian]
)
@pytest.mark.parametrize("unused", [0, 0xF000, 0x5000])
@D1
def test_signed_12_bits_uncompressed(syntax: str, unused: int) -> None:
    files = series(_signed_12(unused=unused), RescaleIntercept=0, syntax=syntax, **SIGNED_12_BITS)
    if syntax == ExplicitVRBigEndian:
        voxels = _signed_12(unused=unused).byteswap()
        files = series(voxels, RescaleIntercept=0, syntax=syntax, **SIGNED_12_BITS)
    found = ReadSeries(files).voxels_zyx
    np.testing.assert_array_equal(found, np.where(VALUES_12 < -1500, -1024, VALUES_12))


@pytest.mark.parametrize("encoder", ENCODERS)
@D1
def test_signed_12_bits_compressed(tmp_path: Path, encoder: str) -> None:
    files = series(_signed_12(), RescaleIntercept=0, **SIGNED_12_BITS)
    encoded = {name: ENCODERS[encoder](one, tmp_path) for name, one in files.items()}
    np.testing.assert_array_equal(ReadSeries(encoded).voxels_zyx, ReadSeries(files).voxels_zyx)


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("slope", [1, 2.5])
@D1
def test_hounsfield_units_from_every_encoding(tmp_path: Path, encoder: str, slope: float) -> None:
    stored = stored_values(N_SLICES)
    files = series(stored, RescaleSlope=slope)
    encoded = {name: ENCODERS[encoder](one, tmp_path) for name, one in files.items()}
    found = ReadSeries(encoded).voxels_zyx
    np.testing.assert_array_equal(found, stored.astype(float) * slope - 1024)
    assert found.dtype == ReadSeries(files).voxels_zyx.dtype


@pytest.mark.odd_input(
    "D-21",
    make="voxels encoded by HTJ2K or a private transfer syntax; voxels in the upper bits",
    source="own",
    outcome="`format_unknown`, with the name of the transfer syntax",
)
def test_encodings_without_a_decoder() -> None:
    files = series(stored_values(N_SLICES))
    for syntax, name in ((HTJ2KLossless, "High-Throughput JPEG 2000"), ("1.2.3.4", "private")):
        odd = {key: _with_syntax(one, UID(syntax)) for key, one in files.items()}
        error = _refusal(odd)
        assert error.reason is Reason.FORMAT_UNKNOWN
        assert name in error.fact
    error = _refusal(series(stored_values(N_SLICES), BitsStored=12, HighBit=15))
    assert error.reason is Reason.FORMAT_UNKNOWN


def _with_syntax(content: bytes, syntax: UID) -> bytes:
    dataset = pydicom.dcmread(BytesIO(content))
    dataset.PixelData = encapsulate([dataset.PixelData])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = syntax
    written = BytesIO()
    dataset.save_as(written, implicit_vr=False, little_endian=True)
    return written.getvalue()


@pytest.mark.parametrize(
    ("encoder", "start"),
    [
        ("jpeg_ls", b"\xff\xf7\0\x0b\x10"),
        ("jpeg_lossless", b"\xff\xc3\0\x0b\x10"),
        ("jpeg_2000", b"\xff\x51\0\x29\0\0"),
    ],
)
@pytest.mark.odd_input(
    "D-28",
    make="a compressed slice of 36 x 40 whose stream declares 65535 x 65535",
    source="own",
    outcome="`file_broken` before it is decoded",
)
def test_streams_that_lie_about_their_size(tmp_path: Path, encoder: str, start: bytes) -> None:
    files = series(stored_values(N_SLICES))
    encoded = {name: ENCODERS[encoder](one, tmp_path) for name, one in files.items()}
    size = b"\0\0\xff\xff" * 2 if encoder == "jpeg_2000" else b"\xff\xff" * 2
    for name, content in encoded.items():
        place = content.index(start) + len(start)
        encoded[name] = content[:place] + size + content[place + len(size) :]
    error = _refusal(encoded)
    assert error.reason is Reason.FILE_BROKEN
    assert "compressed as 65535 x 65535 pixels" in error.fact


D2 = pytest.mark.odd_input(
    "D-2",
    make="a CT without RescaleSlope, RescaleIntercept or either; rescaled to another unit",
    source="dicom2nifti 129",
    outcome="`rescale_missing`; `hounsfield_stated` where the configuration says that they are HU",
)


@pytest.mark.parametrize(
    "elements",
    [
        {"RescaleSlope": None, "RescaleIntercept": None},
        {"RescaleSlope": None},
        {"RescaleIntercept": None},
        {"RescaleSlope": 0},
        {"RescaleType": "Z_EFF"},
    ],
)
@pytest.mark.parametrize("modality", ["CT", ""])
@D2
def test_ct_that_does_not_become_hounsfield_units(
    elements: dict[str, object], modality: str
) -> None:
    files = series(stored_values(N_SLICES))
    files = {name: changed(one, Modality=modality, **elements) for name, one in files.items()}
    assert _refusal(files).reason is Reason.RESCALE_MISSING


@D2
def test_ct_of_which_one_slice_does_not_become_hounsfield_units() -> None:
    files = series(stored_values(N_SLICES), RescaleSlope=lambda index: None if index == 2 else 1)
    assert _refusal(files).reason is Reason.RESCALE_MISSING


@D2
def test_ct_whose_values_are_stated_to_be_hounsfield_units() -> None:
    stored = stored_values(N_SLICES).astype(np.int16) - 1000
    files = series(stored, RescaleSlope=None, RescaleIntercept=None)
    found = ReadSeries(files, Contrast.CT, MissingRescale.HOUNSFIELD)
    np.testing.assert_array_equal(found.voxels_zyx, stored)
    assert found.flags == {Flag.HOUNSFIELD_STATED}
    files = series(stored, RescaleSlope=lambda index: None if index == 2 else 1)
    with pytest.raises(ScanError) as caught:
        ReadSeries(files, Contrast.CT, MissingRescale.HOUNSFIELD)
    assert caught.value.reason is Reason.RESCALE_MISSING


def test_mri_needs_no_rescaling() -> None:
    stored = stored_values(N_SLICES)
    found = ReadSeries(series(stored, modality="MR"), Contrast.T2)
    np.testing.assert_array_equal(found.voxels_zyx, stored)
    assert found.scalings == {"stored"}


D3 = pytest.mark.odd_input(
    "D-3",
    make="CT padded with -2000 outside the field of view, with PixelPaddingValue, a range, or "
    "without the element; MRI padded with -32768",
    source="vtk-dicom 173; LIDC",
    outcome="-1024 HU, in MRI the lowest other value, `padding_replaced`; a padding value among "
    "those of tissue stays, `padding_doubtful`",
)


@pytest.mark.parametrize(
    "elements",
    [
        {"PixelPaddingValue": -2000},
        {"PixelPaddingValue": -2500, "PixelPaddingRangeLimit": -1900},
        {},
    ],
)
@pytest.mark.parametrize("intercept", [0, -1024])
@D3
def test_padding_of_ct_becomes_air(elements: dict[str, int], intercept: int) -> None:
    stored = stored_values(N_SLICES, high=2000).astype(np.int16)
    expected = stored.astype(int) + intercept
    stored[:, :5] = -2000
    expected[:, :5] = -1024
    found = ReadSeries(series(stored, RescaleIntercept=intercept, **elements))
    np.testing.assert_array_equal(found.voxels_zyx, expected)
    assert Flag.PADDING_REPLACED in found.flags


D81 = pytest.mark.odd_input(
    "D-81",
    make="CT of 12 stored bits of 16, padded beyond them: -2000 as 63536, or -32768",
    source="DICOM PS3.3 C.7.5.1.1.2, own",
    outcome="-1024 HU, `padding_replaced`; it was 1072 or 0 HU",
)


@D81
def test_padding_beyond_the_stored_bits() -> None:
    stored = stored_values(N_SLICES, high=2000)
    expected = stored.astype(int) - 1024
    stored[:, :5], expected[:, :5] = 63536, -1024
    found = ReadSeries(series(stored, BitsStored=12, HighBit=11, PixelPaddingValue=63536))
    np.testing.assert_array_equal(found.voxels_zyx, expected)
    assert found.flags == {Flag.PADDING_REPLACED}


@D81
def test_padding_beyond_the_stored_bits_with_a_sign() -> None:
    stored = stored_values(N_SLICES, high=1000).astype(np.int16) + np.int16(1)
    expected = stored.astype(int)
    stored[:, :5], expected[:, :5] = -32768, -1024
    files = series(stored, RescaleIntercept=0, PixelPaddingValue=-32768, **SIGNED_12_BITS)
    found = ReadSeries(files)
    np.testing.assert_array_equal(found.voxels_zyx, expected)
    assert found.flags == {Flag.PADDING_REPLACED}


@D81
def test_a_range_of_padding_that_reaches_into_the_stored_bits() -> None:
    stored = stored_values(N_SLICES, high=1000).astype(np.int16)
    expected = stored.astype(int)
    stored[:, :5], expected[:, :5] = -2048, -1024
    range_ = {"PixelPaddingValue": -32768, "PixelPaddingRangeLimit": -2048}
    found = ReadSeries(series(stored, RescaleIntercept=0, **range_, **SIGNED_12_BITS))
    np.testing.assert_array_equal(found.voxels_zyx, expected)


@D3
def test_padding_that_is_air_already_or_tissue() -> None:
    stored = stored_values(N_SLICES, high=2000)
    stored[:, :5] = 0
    found = ReadSeries(series(stored, PixelPaddingValue=0))
    assert not found.flags & {Flag.PADDING_REPLACED, Flag.PADDING_DOUBTFUL}
    noise = stored_values(N_SLICES, high=2000)
    found = ReadSeries(series(noise, PixelPaddingValue=40, RescaleIntercept=0))
    np.testing.assert_array_equal(found.voxels_zyx, noise)
    assert Flag.PADDING_DOUBTFUL in found.flags


@pytest.mark.parametrize("modality", ["CT", "MR"])
@pytest.mark.parametrize("limit", [None, 320])
@pytest.mark.odd_input(
    "D-65",
    make="PixelPaddingValue, with a range or without, amid the values of tissue",
    source="DICOM PS3.3 C.7.5.1.1.2",
    outcome="what reaches the edge of a slice in one piece is padding, `padding_replaced`; voxels "
    "of that value within the body stay",
)
def test_padding_amid_the_values_of_tissue(modality: str, limit: int | None) -> None:
    stored = stored_values(N_SLICES, high=2000) + np.uint16(1)
    expected = stored.astype(int) - (1024 if modality == "CT" else 0)
    stored[:, :5] = 310 if limit else 300
    stored[:, 20, 20] = 300
    expected[:, 20, 20] = 300 - (1024 if modality == "CT" else 0)
    files = series(stored, modality=modality, PixelPaddingValue=300, PixelPaddingRangeLimit=limit)
    found = ReadSeries(files, Contrast.CT if modality == "CT" else Contrast.T2)
    expected[:, :5] = -1024 if modality == "CT" else expected[:, 5:].min()
    inner = (slice(None), slice(6, -1), slice(1, -1))
    np.testing.assert_array_equal(found.voxels_zyx[:, :5], expected[:, :5])
    np.testing.assert_array_equal(found.voxels_zyx[inner], expected[inner])
    assert Flag.PADDING_REPLACED in found.flags


@pytest.mark.odd_input(
    "D-66",
    make="MRI of unsigned 32-bit voxels, some above 2^31, with padding",
    source="own",
    outcome="values as stored; none wraps around",
)
def test_padding_of_32_bit_voxels() -> None:
    stored = stored_values(N_SLICES).astype(np.uint32) + np.uint32(3_000_000_000)
    expected = stored.copy()
    stored[:, :5] = 7
    expected[:, :5] = stored[:, 5:].min()
    found = ReadSeries(series(stored, modality="MR", PixelPaddingValue=7), Contrast.T2)
    np.testing.assert_array_equal(found.voxels_zyx, expected)


@D3
def test_padding_of_mri() -> None:
    stored = stored_values(N_SLICES, high=900).astype(np.int16) + 7
    expected = stored.copy()
    stored[:, :5] = -32768
    expected[:, :5] = stored[:, 5:].min()
    files = series(stored, modality="MR", PixelPaddingValue=-32768)
    found = ReadSeries(files, Contrast.T2)
    np.testing.assert_array_equal(found.voxels_zyx, expected)
    assert Flag.PADDING_REPLACED in found.flags
    zeros = np.where(stored < 0, 0, stored).astype(np.int16)
    found = ReadSeries(series(zeros, modality="MR", PixelPaddingValue=0), Contrast.T2)
    np.testing.assert_array_equal(found.voxels_zyx, zeros)
    assert not found.flags


@pytest.mark.odd_input(
    "D-18",
    make="CT with a ModalityLUTSequence in place of slope and intercept",
    source="DICOM PS3.3 C.11.1",
    outcome="the table is applied; `intensity_scaling` is `table`",
)
def test_modality_lookup_table() -> None:
    stored = stored_values(N_SLICES, high=256)
    table = Dataset()
    table.LUTDescriptor = [256, 0, 16]
    table.ModalityLUTType = "HU"
    table.add_new("LUTData", "OW", (3 * np.arange(256, dtype="<u2")).tobytes())
    files = series(stored, RescaleSlope=None, RescaleIntercept=None, ModalityLUTSequence=[table])
    found = ReadSeries(files)
    np.testing.assert_array_equal(found.voxels_zyx, 3 * stored)
    assert found.scalings == {"table"}


@pytest.mark.odd_input(
    "D-13",
    make="Philips: RescaleSlope 2.4 and private (2005,100E) 0.0035",
    source="dcm2niix 493, 575",
    outcome="RescaleSlope is used and `intensity_scaling` says so, `private_scaling`",
)
def test_private_scaling_of_philips() -> None:
    stored = stored_values(N_SLICES)
    files = {}
    for name, content in series(
        stored, modality="MR", RescaleSlope=2.4, RescaleIntercept=0
    ).items():
        dataset = pydicom.dcmread(BytesIO(content))
        block = dataset.private_block(0x2005, "Philips MR Imaging DD 001", create=True)
        block.add_new(0x0E, "FL", 0.0035)
        written = BytesIO()
        dataset.save_as(written)
        files[name] = written.getvalue()
    found = ReadSeries(files, Contrast.T2)
    np.testing.assert_allclose(found.voxels_zyx, 2.4 * stored, rtol=1e-6)
    assert found.scalings == {"linear"}
    assert found.flags == {Flag.PRIVATE_SCALING}
    assert not ReadSeries(series(stored, modality="MR"), Contrast.T2).flags


def test_lossless_jpeg_of_ct_archives_has_a_decoder() -> None:
    assert get_decoder(JPEGLosslessSV1).is_available

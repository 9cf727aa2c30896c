"""Damaged files: read as they were, or refused with a reason; nothing else is ever raised.

Source: cohorts whose job stopped: a flipped bit in a zip's directory raised
NotImplementedError, a cut DICOM header struct.error, and either stopped the job.
"""

import gzip
import random
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from zipfile import ZIP_BZIP2, ZIP_DEFLATED, ZIP_LZMA, ZIP_STORED, ZipFile

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from doubles.odd_files import ct_slices, header_bytes, nifti
from doubles.odd_shard import prepare
from organome.cohorts.dicom_series import choose_single_series
from organome.domain.errors import ScanError
from organome.domain.outcomes import Reason
from organome.io.dicom.slices import parse_files
from organome.io.dicom.voxels import stack_slices
from organome.io.files.archives import read_members
from organome.io.files.identity import input_identity
from organome.io.images.image_files import check_image, read_image

METHODS = (ZIP_STORED, ZIP_DEFLATED, ZIP_BZIP2, ZIP_LZMA)
SYNTAXES = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
N_SLICES = 3


def _archive(method: int) -> tuple[dict[str, bytes], bytes]:
    noise = random.Random(0).randbytes(150)
    members = {"1.dcm": noise + bytes(300), "größe.dcm": bytes(range(256)) * 2, "manifest": b"a,b"}
    content = BytesIO()
    with ZipFile(content, "w", method) as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    return members, content.getvalue()


def _check_archive(path: Path, content: bytes, members: dict[str, bytes]) -> None:
    path.write_bytes(content)
    input_identity(path)
    try:
        assert dict(read_members(path)) == members
    except ScanError as error:
        assert error.reason in (Reason.ARCHIVE_BROKEN, Reason.ARCHIVE_EMPTY)


def _flipped(content: bytes, place: int, bit: int) -> bytes:
    damaged = bytearray(content)
    damaged[place] ^= 1 << bit
    return bytes(damaged)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.odd_input(
    "D-12",
    make="every second byte of a zip flipped, its directory included; stored, deflate, bzip2, LZMA",
    source="fuzzed, own",
    outcome="what was in it, or `archive_broken`; nothing else is raised",
)
def test_every_other_byte_of_an_archive_flipped(tmp_path: Path, method: int) -> None:
    members, whole = _archive(method)
    for place in range(0, len(whole), 2):
        damaged = _flipped(whole, place, place // 2 % 8)
        _check_archive(tmp_path / "a.zip", damaged, members)


@pytest.mark.fuzz
@pytest.mark.parametrize("method", METHODS)
def test_every_bit_of_an_archive_flipped_and_every_cut(tmp_path: Path, method: int) -> None:
    members, whole = _archive(method)
    for place in range(len(whole)):
        for bit in range(8):
            _check_archive(tmp_path / "a.zip", _flipped(whole, place, bit), members)
        with pytest.raises(ScanError):
            (tmp_path / "a.zip").write_bytes(whole[:place])
            list(read_members(tmp_path / "a.zip"))


def _read_series(files: dict[str, bytes]) -> sitk.Image:
    found = parse_files(files.items())
    slices = {one.header: one for one in found.slices}
    chosen = choose_single_series(slices, None)
    image = stack_slices([slices[one] for one in chosen.series.slices]).image
    check_image(image)
    return image


def _check_cut(files: dict[str, bytes], place: int) -> None:
    with pytest.raises(ScanError) as caught:
        _read_series(files | {"1.dcm": files["1.dcm"][:place]})
    assert caught.value.reason is Reason.FILE_BROKEN


def _check_flips(files: dict[str, bytes], flips: Iterator[tuple[int, int]]) -> None:
    """Nothing vouches for a DICOM header: a digit may become another one, and is read so."""
    for place, bit in flips:
        try:
            _read_series(files | {"1.dcm": _flipped(files["1.dcm"], place, bit)})
        except ScanError:
            continue


def _places(n_places: int, n_bytes: int) -> Iterator[tuple[int, int]]:
    """Choose so many bits, each once, or all if there are fewer."""
    bits = random.Random(0).sample(range(8 * n_bytes), min(n_places, 8 * n_bytes))
    return (divmod(bit, 8) for bit in bits)


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.odd_input(
    "D-11",
    make="DICOM cut inside its header, or a bit of the header flipped",
    source="fuzzed, own",
    outcome="what was in it, or a reason; nothing else is raised",
)
def test_dicom_header_cut_or_flipped(syntax: str) -> None:
    files = ct_slices(syntax=syntax)
    n_bytes = header_bytes(files["1.dcm"])
    for place in range(3, n_bytes, 19):
        _check_cut(files, place)
    _check_flips(files, _places(150, n_bytes))


@pytest.mark.fuzz
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_dicom_header_cut_at_every_place_and_flipped_thousands_of_times(syntax: str) -> None:
    files = ct_slices(syntax=syntax)
    n_bytes = header_bytes(files["1.dcm"])
    for place in range(n_bytes):
        _check_cut(files, place)
    _check_flips(files, _places(4600, n_bytes))


def _image_files(folder: Path) -> dict[str, bytes]:
    image = sitk.GetImageFromArray(
        np.random.default_rng(0).integers(-1000, 1000, (8, 9, 10)).astype(np.int16)
    )
    image.SetSpacing((2, 2, 3))
    for suffix in ("nrrd", "mha"):
        sitk.WriteImage(image, str(folder / f"a.{suffix}"))
    contents = {one.suffix: one.read_bytes() for one in folder.iterdir()}
    return contents | {".nii": nifti((10, 9, 8)), ".nii.gz": gzip.compress(nifti((10, 9, 8)))}


def _check_image_flips(folder: Path, *, n_flips: int) -> None:
    for suffix, content in _image_files(folder).items():
        for place, bit in _places(n_flips, min(len(content), 700)):
            path = folder / f"x{suffix}"
            path.write_bytes(_flipped(content, place, bit))
            input_identity(path)
            try:
                read_image(path)
            except ScanError:
                continue


@pytest.mark.odd_input(
    "N-18",
    make="bits of the headers of NIfTI, NRRD and MetaImage flipped",
    source="fuzzed, own",
    outcome="an image, or a reason; nothing else is raised",
)
def test_headers_of_images_flipped(tmp_path: Path) -> None:
    _check_image_flips(tmp_path, n_flips=60)


@pytest.mark.fuzz
def test_headers_of_images_flipped_thousands_of_times(tmp_path: Path) -> None:
    _check_image_flips(tmp_path, n_flips=3700)


@pytest.mark.odd_input(
    "N-40",
    make="a byte of a `.nii.gz` flipped; ITK reads it with half of the voxels wrong",
    source="SimpleITK, own",
    outcome="the image as it was, or `file_broken`",
)
def test_a_flipped_gzip_is_read_as_it_was_or_refused(tmp_path: Path) -> None:
    whole = gzip.compress(nifti((10, 9, 8)))
    (tmp_path / "whole.nii.gz").write_bytes(whole)
    before = sitk.GetArrayFromImage(read_image(tmp_path / "whole.nii.gz"))
    for place in range(0, len(whole), 8):
        (tmp_path / "a.nii.gz").write_bytes(_flipped(whole, place, place // 8 % 8))
        try:
            read = sitk.GetArrayFromImage(read_image(tmp_path / "a.nii.gz"))
        except ScanError:
            continue
        np.testing.assert_array_equal(read, before)


def test_every_one_is_a_row(tmp_path: Path) -> None:
    """Through the step, whose job none of them stops."""
    odd = tmp_path / "odd"
    odd.mkdir()
    for method in METHODS:
        _, whole = _archive(method)
        (odd / f"directory{method}.zip").write_bytes(whole.replace(b"PK\1\2", b"PK\1\2\xff\xff", 1))
        (odd / f"member{method}.zip").write_bytes(_flipped(whole, 60, 3))
    files = ct_slices()
    for place in (131, 140, 145, 300, 500, 700):
        folder = odd / f"cut{place}"
        folder.mkdir()
        for name, content in files.items():
            (folder / name).write_bytes(content[:place] if name == "1.dcm" else content)
    paths = sorted(odd.iterdir())
    outcomes = prepare(paths, tmp_path / "run")
    found = {path.name: one.reason for path, one in zip(paths, outcomes, strict=True)}
    expected = {path.name: "file_broken" if path.is_dir() else "archive_broken" for path in paths}
    assert found == expected

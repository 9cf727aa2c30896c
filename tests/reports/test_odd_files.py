"""Single files that went wrong once, each with the reason that is right.

Source: pybids issue 631 (a pointer without its content); what a fuzzer
made of zips, DICOM and image headers.
"""

import errno
import logging
import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import SimpleITK as sitk

from doubles.odd_files import bind_socket, ct_slices, nifti
from doubles.odd_shard import prepare
from organome.domain.errors import ScanError
from organome.domain.outcomes import Outcome, Reason
from organome.io.dicom.slices import parse_files
from organome.io.dicom.voxels import stack_slices
from organome.io.files.archives import read_members
from organome.io.files.identity import input_identity
from organome.io.images.image_files import read_image

SMALL = (10, 10, 10)
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
ANNEX = b"/annex/objects/SHA256E-s12345--4d7a.nii.gz\n"


def _refusal(read: Callable[[], object]) -> Reason:
    with pytest.raises(ScanError) as caught:
        read()
    return caught.value.reason


def _with_element(keyword_and_old: bytes, new: bytes) -> dict[str, bytes]:
    assert len(keyword_and_old) == len(new)
    files = ct_slices()
    assert all(keyword_and_old in content for content in files.values())
    return {name: content.replace(keyword_and_old, new) for name, content in files.items()}


SPACING = b"\x28\0\x30\0DS\x08\x002.0\\2.0 "
ROWS = b"\x28\0\x10\0US\2\0" + struct.pack("<H", 36)
POSITION = b"\x20\0\x32\0DS\x0c\x000.0\\0.0\\"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (SPACING, b"\x28\0\x30\0DS\x08\x000\\0     "),
        (SPACING, b"\x28\0\x30\0DS\x08\x00nan\\2.0 "),
        (SPACING, b"\x28\0\x30\0DS\x08\x00-2 \\2.0 "),
        (ROWS, ROWS[:-2] + b"\0\0"),
        (POSITION, POSITION[:8] + b"inf\\0.0\\"),
    ],
)
@pytest.mark.odd_input(
    "D-20",
    make="PixelSpacing `0\\\\0`, negative or not a number; Rows 0; a position that is infinite",
    source="fuzzed headers, own",
    outcome="`file_broken`",
)
def test_numbers_that_no_slice_has(old: bytes, new: bytes) -> None:
    files = _with_element(old, new)
    assert _refusal(lambda: parse_files(files.items())) is Reason.FILE_BROKEN


@pytest.mark.parametrize("weight", [b"na", b"in", b"7,", b"\0\0"])
@pytest.mark.odd_input(
    "D-8",
    make="PatientWeight `72,5`, `nan` or bytes, PatientSize `180cm`, MagneticFieldStrength `1,5`, "
    "SeriesNumber `4.5`",
    source="pydicom 640, 1643, 1661",
    outcome="the scan goes through, the number is read with a comma or null, `header_odd`",
)
def test_a_weight_that_is_none_costs_no_scan(weight: bytes) -> None:
    files = _with_element(b"DS\x02\x0070", b"DS\x02\0" + weight)
    slices = parse_files(files.items()).slices
    assert slices[0].header.weight_kg is None
    assert slices[0].header.height_m == 1.8


@pytest.mark.odd_input(
    "D-15",
    make="slices cut in their header, or without ImagePositionPatient, PixelSpacing or voxels, "
    "in mid-stack or at an end",
    source="own",
    outcome="`file_broken`, with the place of the first and how many",
)
def test_a_slice_that_lacks_its_place_is_not_left_out_in_silence() -> None:
    files = ct_slices()
    files["2.dcm"] = files["2.dcm"].replace(b"\x20\0\x32\0DS", b"\x20\0\x33\0DS")
    faults = {one.header.fault for one in parse_files(files.items()).slices}
    fact = "file 3 is of a series of slices, but has no place or is in colour"
    assert faults == {(Reason.FILE_BROKEN, fact)}


@pytest.mark.odd_input(
    "D-41",
    make="a slope that takes values beyond 32 bits",
    source="fuzzed, own",
    outcome="values in floating point",
)
def test_rescaling_beyond_32_bits_is_not_wrapped_around() -> None:
    read = sitk.GetArrayFromImage(
        stack_slices(parse_files(ct_slices(RescaleSlope=10**6).items()).slices).image
    )
    assert read.max() > 2**31
    assert read.min() == -1024


@pytest.mark.parametrize("content", [LFS, ANNEX, b"../../.git" + ANNEX.strip()])
@pytest.mark.odd_input(
    "N-5",
    make="a text of git-annex or Git LFS named `.nii.gz`",
    source="pybids 631",
    outcome="`content_not_fetched`",
)
def test_content_that_was_not_fetched(tmp_path: Path, content: bytes) -> None:
    for name in ("a.nii.gz", "a.mha", "a.zip"):
        (tmp_path / name).write_bytes(content)
    read: tuple[Callable[[], object], ...] = (
        lambda: read_image(tmp_path / "a.nii.gz"),
        lambda: read_image(tmp_path / "a.mha"),
        lambda: list(read_members(tmp_path / "a.zip")),
        lambda: parse_files([("1.dcm", content)]),
    )
    assert {_refusal(one) for one in read} == {Reason.CONTENT_NOT_FETCHED}


@pytest.mark.odd_input(
    "Z-6",
    make="a link of git-annex that leads nowhere",
    source="pybids 631",
    outcome="`content_not_fetched`",
)
def test_a_link_of_git_annex_to_nowhere(tmp_path: Path) -> None:
    (tmp_path / "a.nii.gz").symlink_to("../.git/annex/objects/Xx/SHA256E-s5--4d7a.nii.gz")
    (tmp_path / "b.nii.gz").symlink_to("elsewhere")
    assert _refusal(lambda: read_image(tmp_path / "a.nii.gz")) is Reason.CONTENT_NOT_FETCHED
    assert _refusal(lambda: read_image(tmp_path / "b.nii.gz")) is Reason.FILE_MISSING


@pytest.mark.odd_input(
    "Z-7",
    make="a FIFO, a socket or a device as image",
    source="own",
    outcome="`format_unknown`; it is not opened",
)
def test_what_is_no_file_is_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.nii.gz")
    os.mkfifo(tmp_path / "fifo.zip")
    bind_socket(tmp_path / "socket.nii")
    (tmp_path / "device.mha").symlink_to("/dev/zero")
    (tmp_path / "folder.nrrd").mkdir()
    known = {path.name: input_identity(path) for path in tmp_path.iterdir()}
    assert known["fifo.nii.gz"] == known["fifo.zip"] == ["a FIFO"]
    assert (known["socket.nii"], known["device.mha"]) == (["a socket"], ["a device"])
    for path in tmp_path.iterdir():
        read = (lambda: list(read_members(path))) if path.suffix == ".zip" else None  # noqa: B023
        assert _refusal(read or (lambda: read_image(path))) is Reason.FORMAT_UNKNOWN  # noqa: B023


def test_a_folder_with_odd_entries_has_an_identity(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "nowhere").symlink_to("gone")
    before = input_identity(tmp_path)
    (tmp_path / "loop").unlink()
    assert input_identity(tmp_path) != before


@pytest.mark.parametrize("suffix", [".zip", ".nii.gz", ".mha"])
@pytest.mark.odd_input(
    "Z-8",
    make="a loop of links; a name of 256 bytes, or with a zero byte",
    source="own",
    outcome="a reason",
)
def test_loops_and_names_that_no_file_can_have(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"loop{suffix}").symlink_to(f"loop{suffix}")
    for name in (f"loop{suffix}", "x" * 256 + suffix, f"\0{suffix}"):
        path = tmp_path / name
        input_identity(path)
        read = (lambda: list(read_members(path))) if suffix == ".zip" else None  # noqa: B023
        assert _refusal(read or (lambda: read_image(path))) in (  # noqa: B023
            Reason.FILE_BROKEN,
            Reason.ARCHIVE_BROKEN,
        )


@pytest.mark.parametrize("name", ["a.zip", "a.nii.gz", "a.mha"])
@pytest.mark.odd_input(
    "Z-9",
    make="a file that the job may not read",
    source="own",
    outcome="`file_unreadable`",
)
def test_a_file_without_permission(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = tmp_path / name
    path.write_bytes(b"x" * 5000)

    def forbid(*arguments: object, **more: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr("pathlib.Path.open", forbid)
    monkeypatch.setattr("io.open", forbid)
    monkeypatch.setattr("organome.io.files.archives.ZipFile", forbid)
    monkeypatch.setattr("organome.io.files.identity.ZipFile", forbid)
    assert input_identity(path) == ["unreadable", "EACCES"]
    read = (lambda: list(read_members(path))) if name == "a.zip" else lambda: read_image(path)
    with pytest.raises(ScanError, match="Permission denied") as caught:
        read()
    assert str(tmp_path) not in caught.value.fact


@pytest.mark.odd_input(
    "Z-10",
    make="EIO or ESTALE while a file is read",
    source="own",
    outcome="no row: the job is tried on another machine",
)
def test_a_failing_disk_is_no_property_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.zip").write_bytes(b"x")

    def fail(*arguments: object) -> None:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    monkeypatch.setattr("organome.io.files.identity.ZipFile", fail)
    with pytest.raises(OSError, match=os.strerror(errno.ESTALE)):
        input_identity(tmp_path / "a.zip")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e38])
def test_affines_that_no_grid_has(tmp_path: Path, value: float) -> None:
    srow = (2, 0, 0, value, 0, 2, 0, 0, 0, 0, 3, 0)
    (tmp_path / "a.nii").write_bytes(nifti(SMALL, srow=srow))
    assert _refusal(lambda: read_image(tmp_path / "a.nii")) is Reason.GEOMETRY_IMPLAUSIBLE
    (tmp_path / "b.nii").write_bytes(nifti(SMALL, offset=value))
    assert _refusal(lambda: read_image(tmp_path / "b.nii")) is Reason.FILE_BROKEN


@pytest.mark.odd_input(
    "N-41",
    make="a MetaImage whose comment is in Latin-1",
    source="own",
    outcome="read",
)
def test_a_metaimage_whose_header_is_not_utf_8_is_read(tmp_path: Path) -> None:
    header = (
        b"ObjectType = Image\nNDims = 3\nBinaryData = True\nElementSpacing = 2 2 3\n"
        b"TransformMatrix = 1 0 0 0 1 0 0 0 1\n"
        b"Comment = M\xfcller\nPatientName = M\xfcller\nDimSize = 10 10 10\n"
        b"ElementType = MET_SHORT\nElementDataFile = LOCAL\n"
    )
    (tmp_path / "a.mha").write_bytes(header + nifti(SMALL)[352:])
    image = read_image(tmp_path / "a.mha")
    assert image.GetSpacing() == (2, 2, 3)
    assert not image.GetMetaDataKeys()


@pytest.mark.odd_input(
    "D-19",
    make="files of a delivery that are named after the person, one of them broken",
    source="own",
    outcome="the name stands nowhere; a file goes by its place",
)
def test_no_name_within_a_delivery_stands_anywhere(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = "Mueller_Hans_19500101"
    files = ct_slices()
    paths = []
    for place, damaged in enumerate((files["1.dcm"][:600], b"x" * 300, b"", files["1.dcm"][:-9])):
        folder = tmp_path / f"series{place}"
        folder.mkdir()
        for name, content in (files | {"1.dcm": damaged}).items():
            (folder / f"{secret}_{name}").write_bytes(content)
        paths.append(folder)
    outcomes: tuple[Outcome, ...] = prepare(paths, tmp_path / "run")
    assert {one.reason for one in outcomes} == {Reason.FILE_BROKEN}
    printed = capfd.readouterr()
    assert secret not in caplog.text + printed.out + printed.err + repr(outcomes)
    written = [path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert not any(secret.encode() in content for content in written)

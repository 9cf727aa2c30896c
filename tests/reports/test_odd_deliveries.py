"""Folders, archives and headers of DICOM deliveries that lost slices or told too little."""

import errno
import io
import json
import os
import zipfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.uid import DeflatedExplicitVRLittleEndian, MediaStorageDirectoryStorage

from doubles.odd_dicom import Files, ReadSeries, changed, series, stored_values
from organome.domain.errors import ScanError
from organome.domain.flags import Flag
from organome.domain.organs import ORGANS
from organome.domain.outcomes import Reason
from organome.domain.scans import Contrast, Scan, Source
from organome.io.dicom.slices import MAX_FILE_BYTES
from organome.io.files.archives import read_members
from organome.io.files.identity import input_identity
from organome.io.images.sidecars import read_sidecar
from organome.io.viewers.dicom_segmentations import (
    Origin,
    read_dicom_segmentation,
    read_headers,
    write_dicom_segmentation,
)
from organome.steps.prepare.deliveries import Deliveries, Delivery

N = 20
CT = stored_values(N)
HU = CT.astype(int) - 1024
OTHER = stored_values(N, seed=1)


def _refusal(read: Callable[[], object]) -> ScanError:
    with pytest.raises(ScanError) as caught:
        read()
    return caught.value


def _renamed(files: Files, suffix: str) -> Files:
    return {name.removesuffix(".dcm") + suffix: one for name, one in files.items()}


def _write(folder: Path, files: Files) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def _delivered(*sources: Source) -> Delivery:
    scan = Scan("0000-0000", "c", "p", "1", "1", "x", sources)
    return Deliveries("folder", tuple(Contrast)).read(scan)


D68 = pytest.mark.odd_input(
    "D-68",
    make="slices named without `.dcm` (no suffix, `.IMA`, UIDs), one damaged so that it is not "
    "DICOM any more, empty, or a page of HTML",
    source="own",
    outcome="`file_broken`, as of files named .dcm; where no slice lacks, `files_left_out`",
)


@pytest.mark.parametrize("suffix", ["", ".IMA", ".1.2.840"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda one: one[7:],
        lambda one: one[:20],
        lambda one: one[:128] + b"DICN" + one[132:],
        lambda one: one[:300],
        lambda _: b"",
        lambda _: b"<html>404</html>",
    ],
)
@D68
def test_damaged_slices_whatever_they_are_called(
    suffix: str, damage: Callable[[bytes], bytes]
) -> None:
    files = _renamed(series(CT), suffix)
    name = list(files)[7]
    error = _refusal(lambda: ReadSeries(files | {name: damage(files[name])}))
    assert error.reason is Reason.FILE_BROKEN
    assert "file 8" in error.fact
    found = ReadSeries(files | {f"zz{suffix}": b""})
    assert (found.flags, found.n_left_out) == ({Flag.FILES_LEFT_OUT}, 1)


@D68
def test_a_pointer_in_place_of_a_slice() -> None:
    files = _renamed(series(CT), "")
    files["007"] = b"/annex/objects/SHA256E-s12345--4d7a\n"
    assert _refusal(lambda: ReadSeries(files)).reason is Reason.CONTENT_NOT_FETCHED


@pytest.mark.odd_input(
    "D-69",
    make="beside slices without a suffix: README, DICOMDIR, .DS_Store, Thumbs.db, a JSON, a "
    "manifest, a checksum file",
    source="own",
    outcome="left out, not counted",
)
def test_companions_of_slices() -> None:
    files = _renamed(series(CT), "")
    directory = changed(next(iter(files.values())), SOPClassUID=MediaStorageDirectoryStorage)
    companions = {
        "README": b"how to read this",
        "DICOMDIR": directory,
        ".DS_Store": b"\0\0\0\1Bud1",
        "Thumbs.db": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(100),
        "scan.json": b"{}",
        "manifest.csv": b"a,b",
        "MD5SUMS": b"d41d8cd9 000",
    }
    found = ReadSeries(companions | files)
    np.testing.assert_array_equal(found.voxels_zyx, HU)
    assert (found.flags, found.n_left_out) == (set(), 0)


@pytest.mark.odd_input(
    "D-70",
    make="slices in sub-folders of the folder that is listed, all or half of them, with links in a "
    "circle; another series in a sub-folder",
    source="own",
    outcome="read; a series that lies wholly below others is passed over, `extra_series`; folders "
    "nested more than 8 deep are `file_broken`",
)
def test_slices_in_subfolders(tmp_path: Path) -> None:
    files = series(CT)
    half = {f"upper/{name}" if name < "010" else name: one for name, one in files.items()}
    whole = {f"a/b/{name}": one for name, one in files.items()}
    for place, layout in enumerate((half, whole)):
        folder = _write(tmp_path / str(place), layout)
        (folder / "circle").symlink_to(folder)
        before = input_identity(folder)
        found = _delivered(Source(str(folder), Contrast.CT))
        np.testing.assert_array_equal(
            sitk.GetArrayViewFromImage(found.stations[0][Contrast.CT]), HU
        )
        assert found.flags == set()
        os.utime(folder / next(iter(layout)), ns=(1, 1))
        assert input_identity(folder) != before
    other = series(OTHER, SeriesInstanceUID="1.3", prefix="scan_of_its_own/")
    found = _delivered(Source(str(_write(tmp_path / "2", files | other)), Contrast.CT))
    np.testing.assert_array_equal(sitk.GetArrayViewFromImage(found.stations[0][Contrast.CT]), HU)
    assert found.flags == {Flag.EXTRA_SERIES}
    deep = _write(tmp_path / "3", files | {"/".join("123456789") + "/a": b""})
    error = _refusal(lambda: _delivered(Source(str(deep), Contrast.CT)))
    assert error.reason is Reason.FILE_BROKEN
    assert input_identity(deep)


@pytest.mark.parametrize(
    ("keyword", "more"),
    [
        ("PixelSpacing", {"ImagerPixelSpacing": [0.2, 0.2]}),
        ("ImagePositionPatient", {}),
        ("ImageOrientationPatient", {}),
    ],
)
@pytest.mark.odd_input(
    "D-71",
    make="a series of which no slice has PixelSpacing (ImagerPixelSpacing it has), position or "
    "orientation",
    source="own",
    outcome="`geometry_missing`, with the element; it was `archive_empty`",
)
def test_a_series_without_a_place(keyword: str, more: dict[str, Any]) -> None:
    error = _refusal(lambda: ReadSeries(series(CT, **{keyword: None}, **more)))
    assert error.reason is Reason.GEOMETRY_MISSING
    assert error.fact == f"file 1 is a slice without {keyword}, and 19 more"


@pytest.mark.odd_input(
    "D-72",
    make="a deflated DICOM whose file meta does not state its length (0002,0000)",
    source="own",
    outcome="read",
)
def test_deflated_without_the_length_of_its_meta() -> None:
    files = {}
    for name, content in series(CT).items():
        dataset = pydicom.dcmread(io.BytesIO(content))
        dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
        written = io.BytesIO()
        dataset.save_as(written)
        deflated = written.getvalue()
        assert deflated[132:136] == b"\2\0\0\0"
        files[name] = deflated[:132] + deflated[144:]
    np.testing.assert_array_equal(ReadSeries(files).voxels_zyx, HU)


D85 = pytest.mark.odd_input(
    "D-85",
    make="a file of more than 2 GiB beside slices: raw data of the scanner, a film; or one that "
    "begins as DICOM",
    source="own",
    outcome="left out unread and counted, `files_left_out`; what begins as DICOM is `file_broken`",
)


def _large(path: Path, start: bytes) -> None:
    with path.open("wb") as file:
        file.write(start)
        file.truncate(MAX_FILE_BYTES + 1)


@pytest.mark.parametrize("name", ["meas_MID001.dat", "film.avi", "zz_film.mp4"])
@D85
def test_a_large_file_that_is_no_slice(tmp_path: Path, name: str) -> None:
    folder = _write(tmp_path, series(CT))
    _large(folder / name, b"RIFF")
    found = _delivered(Source(str(folder), Contrast.CT))
    np.testing.assert_array_equal(sitk.GetArrayViewFromImage(found.stations[0][Contrast.CT]), HU)
    assert (found.flags, found.n_files_left_out) == ({Flag.FILES_LEFT_OUT}, 1)


@D85
def test_a_large_file_that_begins_as_dicom(tmp_path: Path) -> None:
    folder = _write(tmp_path, series(CT))
    _large(folder / "large", bytes(128) + b"DICM")
    error = _refusal(lambda: _delivered(Source(str(folder), Contrast.CT)))
    assert error.reason is Reason.FILE_BROKEN
    assert "no slice does" in error.fact


@pytest.mark.parametrize("name", ["scan", "a.nii.gz", "a.zip", "a.mha"])
@pytest.mark.parametrize("number", [errno.EACCES, errno.ENAMETOOLONG])
@pytest.mark.odd_input(
    "Z-91",
    make="scans in a folder that the job may not search, or by a name that is too long",
    source="own",
    outcome="`file_broken`, of an archive `archive_broken`; it was `unexpected_error`, which stops "
    "the job",
)
def test_a_scan_that_cannot_be_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, number: int
) -> None:
    (tmp_path / "secret").mkdir()
    path = tmp_path / "secret" / name
    if number == errno.ENAMETOOLONG:
        path = path.with_name("x" * 300 + name)
    stat = Path.stat

    def forbid(self: Path, **more: Any) -> os.stat_result:
        if number == errno.EACCES and self.is_relative_to(tmp_path / "secret"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))
        return stat(self, **more)

    monkeypatch.setattr(Path, "stat", forbid)
    error = _refusal(lambda: _delivered(Source(str(path), Contrast.CT)))
    assert error.reason is (Reason.ARCHIVE_BROKEN if name == "a.zip" else Reason.FILE_BROKEN)
    assert error.fact == f"ct: cannot be opened: {os.strerror(number)}"


def _zip(**options: Any) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        archive.comment = options.get("comment", b"")
        for name, content in (("a/1", b"one"), ("a/2", b"two")):
            kept = zipfile.ZipInfo(name)
            kept.filename = name.replace("/", options.get("separator", "/"))
            with archive.open(kept, "w", force_zip64=options.get("zip64", False)) as member:
                member.write(content)
        if "separator" in options:
            folder = zipfile.ZipInfo("b")
            folder.filename = "b\\"
            archive.writestr(folder, b"")
    return written.getvalue()


class _Unseekable(io.BytesIO):
    """Makes zipfile write data descriptors."""

    def seekable(self) -> bool:
        return False

    def seek(self, *_: Any) -> int:
        raise OSError

    def tell(self) -> int:
        raise OSError


def _streamed() -> bytes:
    written = _Unseekable()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/1", b"one")
        archive.writestr("a/2", b"two")
    return written.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        _zip() + bytes(512),
        _zip() + b"\n",
        _zip(comment=b"of a visit") + b"appended",
        _zip(comment=b"of a visit"),
        b"#!/bin/sh\n" + _zip(),
        _zip(zip64=True),
        _zip(separator="\\"),
        _streamed(),
    ],
)
@pytest.mark.odd_input(
    "Z-90",
    make="a zip with bytes after its directory or before its first member, a comment, zip64 of "
    "small files, backslashes in its names, data descriptors",
    source="PKWARE APPNOTE 4.3, own",
    outcome="read, with slashes in the names",
)
def test_zips_that_other_programs_write(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(content)
    assert list(read_members(path)) == [("a/1", b"one"), ("a/2", b"two")]


@pytest.mark.parametrize("thickness_mm", [3.0, 5.0])
@pytest.mark.odd_input(
    "N-90",
    make="DICOM SEG whose frames leave gaps, without SpacingBetweenSlices",
    source="DICOM PS3.3 A.51",
    outcome="read by the positions of the frames",
)
def test_a_segmentation_with_gaps_and_without_spacing(tmp_path: Path, thickness_mm: float) -> None:
    files = series(
        CT,
        **dict.fromkeys(("StudyInstanceUID", "FrameOfReferenceUID"), "1.5"),
        AcquisitionNumber=1,
        PositionReferenceIndicator="",
        SliceThickness=thickness_mm,
    )
    labels_zyx = np.zeros(CT.shape, np.uint8)
    labels_zyx[2:4, 5:9, 5:9] = labels_zyx[9:12, 5:9, 5:9] = 1
    path = tmp_path / "a.dcm"
    write_dicom_segmentation(
        path,
        labels_zyx,
        read_headers(files.items(), list(files)),
        structures=[ORGANS[0]],
        origin=Origin("x", "1", datetime(2020, 1, 1), "x"),
    )
    dataset = pydicom.dcmread(path)
    measures = dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    if "SpacingBetweenSlices" in measures:
        del measures.SpacingBetweenSlices
    dataset.save_as(path)
    image = sitk.DICOMOrient(read_dicom_segmentation(path).image, "LPS")
    assert image.GetSpacing() == pytest.approx((2.0, 2.0, 3.0))
    np.testing.assert_array_equal(sitk.GetArrayViewFromImage(image), labels_zyx[2:12])


@pytest.mark.parametrize(
    ("coil", "expected"),
    [
        ("Body_18", "Body_18"),
        ("HE1-4,SP1", "HE1-4,SP1"),
        ("BC", "BC"),
        ("Mueller Hans", None),
        ("Body 19500101", None),
        ("1" * 60 + "?", None),
    ],
)
@pytest.mark.odd_input(
    "D-73",
    make="contrast agent, receive coil and patient position in headers of DICOM and sidecars, "
    "names of people among them",
    source="own",
    outcome="whether an agent was given, words of coils, words of the standard; else null",
)
def test_agent_coil_and_position(tmp_path: Path, coil: str, expected: str | None) -> None:
    def header(**elements: Any) -> Any:
        return ReadSeries(series(CT[:2], **elements)).header

    found = header(
        ReceiveCoilName=coil[:16], ContrastBolusAgent="Gadovist Mueller", PatientPosition="HFS"
    )
    assert found.receive_coil == expected
    assert (found.contrast_agent, found.patient_position) == (True, "HFS")
    found = header(ContrastBolusAgent="NONE", PatientPosition="ASIDE")
    assert (found.contrast_agent, found.patient_position) == (False, None)
    assert header(ContrastBolusAgent="").contrast_agent is None
    (tmp_path / "a.json").write_text(
        json.dumps(
            {
                "ReceiveCoilName": coil,
                "PatientPosition": "FFS",
                "ContrastBolusIngredient": "GADOLINIUM",
            }
        )
    )
    sidecar = read_sidecar(tmp_path / "a.nii.gz")
    assert sidecar is not None
    assert (sidecar.receive_coil, sidecar.patient_position) == (expected, "FFS")
    assert sidecar.contrast_agent is True


def _mha(path: Path, seed: int) -> Source:
    voxels_zyx = np.random.default_rng(seed).integers(0, 500, (30, 40, 40)).astype(np.int16)
    sitk.WriteImage(sitk.GetImageFromArray(voxels_zyx), str(path))
    return Source(str(path))


@pytest.mark.odd_input(
    "V-95",
    make="the fat image delivered under the name of water, too; the in-phase image as opposed",
    source="own",
    outcome="`content_repeated`; of contrasts that are not required, both are left out, "
    "`contrast_left_out`",
)
def test_one_image_under_two_names(tmp_path: Path) -> None:
    def scan(*seeds: int) -> Delivery:
        contrasts = (Contrast.FAT, Contrast.WATER, Contrast.IN_PHASE, Contrast.OPPOSED_PHASE)
        return _delivered(
            *(
                Source(_mha(tmp_path / f"{contrast}.mha", seed).path, contrast)
                for seed, contrast in zip(seeds, contrasts, strict=False)
            )
        )

    assert len(scan(1, 2, 3, 4).stations[0]) == 4
    error = _refusal(lambda: scan(1, 1, 3, 4))
    assert error.reason is Reason.CONTENT_REPEATED
    assert error.fact == "water has the voxels of fat"
    assert _refusal(lambda: scan(1, 2, 2, 4)).reason is Reason.CONTENT_REPEATED
    found = scan(1, 2, 3, 3)
    assert set(found.stations[0]) == {Contrast.FAT, Contrast.WATER}
    assert Flag.CONTRAST_LEFT_OUT in found.flags

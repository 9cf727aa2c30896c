"""MetaImage, NRRD and label tables that ITK or a lenient parser takes for something else.

Source: what reading the formats against ITK's parsers brought up.
"""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from doubles.odd_dicom import ReadSeries, series, stored_values
from doubles.odd_niftis import nifti_file
from organome.compute.stitching.stitch import stitch
from organome.domain.errors import ScanError
from organome.domain.outcomes import Reason
from organome.domain.scans import Contrast
from organome.io.images.image_files import read_delivered

VOXELS = np.random.default_rng(0).integers(1, 100, (20, 20, 20)).astype("<i2")
PACKED = zlib.compress(VOXELS.tobytes())
HEAD = "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\n"
GRID = (
    "DimSize = 20 20 20\nElementSpacing = 2 2 3\nTransformMatrix = 1 0 0 0 1 0 0 0 1\n"
    "ElementType = MET_SHORT\n"
)
LOCAL = "ElementDataFile = LOCAL\n"


def _mha(folder: Path, extra: str, body: bytes, tail: str = LOCAL) -> sitk.Image:
    path = folder / "a.mha"
    path.write_bytes(f"{HEAD}{extra}{GRID}{tail}".encode() + body)
    return read_delivered(path).image


def _flipped() -> bytes:
    damaged = bytearray(PACKED)
    damaged[len(damaged) // 2] ^= 16
    return bytes(damaged)


def _packed(n_bytes: int, line: str = "CompressedData = True") -> str:
    return f"{line}\nCompressedDataSize = {n_bytes}\n"


@pytest.mark.parametrize(
    ("extra", "body", "reason"),
    [
        (_packed(len(zlib.compress(bytes(8000)))), zlib.compress(bytes(8000)), Reason.FILE_BROKEN),
        ("CompressedData = True\n", PACKED, Reason.FILE_BROKEN),
        (_packed(len(PACKED) - 500), PACKED, Reason.FILE_BROKEN),
        (_packed(len(PACKED), "CompressedData = T"), _flipped(), Reason.FILE_BROKEN),
        (_packed(len(PACKED), "CompressedData = 1"), _flipped(), Reason.FILE_BROKEN),
        (_packed(len(PACKED), "CompressedData : True"), _flipped(), Reason.FILE_BROKEN),
        ("HeaderSize = 20\n", VOXELS.tobytes(), Reason.FORMAT_UNKNOWN),
    ],
)
@pytest.mark.odd_input(
    "N-60",
    make="a MetaImage whose compressed voxels are too few or of no stated size, `:` for "
    "`=` and `T` for `True`, a HeaderSize; ITK leaves voxels as they were in memory",
    source="own, against MetaIO",
    outcome="`file_broken`, `format_unknown`",
)
def test_voxels_that_do_not_come_out(
    tmp_path: Path, extra: str, body: bytes, reason: Reason
) -> None:
    with pytest.raises(ScanError) as caught:
        _mha(tmp_path, extra, body)
    assert caught.value.reason is reason


@pytest.mark.odd_input(
    "N-61",
    make="`ElementDataFile : other.raw` before `ElementDataFile = LOCAL`; `Local`",
    source="own, against MetaIO",
    outcome="`format_unknown`, the other file is not opened; `Local` is read",
)
def test_which_file_holds_the_voxels(tmp_path: Path) -> None:
    (tmp_path / "other.raw").write_bytes(VOXELS[::-1].tobytes())
    with pytest.raises(ScanError) as caught:
        _mha(tmp_path, "", VOXELS.tobytes(), f"ElementDataFile : other.raw\n{LOCAL}")
    assert caught.value.reason is Reason.FORMAT_UNKNOWN
    for extra, body in (("", VOXELS.tobytes()), (_packed(len(PACKED)), PACKED)):
        image = _mha(tmp_path, extra, body, "ElementDataFile = Local\n")
        np.testing.assert_array_equal(sitk.GetArrayViewFromImage(image), VOXELS)


def _with_table(folder: Path, table: str) -> dict[int, str]:
    text = f"<CaretExtension><LabelTable>{table}</LabelTable></CaretExtension>".encode()
    n_bytes = (len(text) + 23) // 16 * 16
    extension = struct.pack("<ii", n_bytes, 30) + text.ljust(n_bytes - 8, b"\0")
    voxels = np.zeros((10, 9, 8), np.uint8)
    voxels[2:5, 2:5, 2:5] = 1
    content = nifti_file(voxels, vox_offset=352 + len(extension))
    path = folder / "a.nii"
    path.write_bytes(content[:348] + b"\1\0\0\0" + extension + content[352:])
    return dict(read_delivered(path, constant=True).names)


SOUND = '<Label Key="1">liver</Label><Label Key="5">spleen</Label>'


@pytest.mark.parametrize(
    "table",
    [
        SOUND + '<Label Key="9">a & b</Label>',
        SOUND + "<Label>x</Label>",
        SOUND.replace('"1"', '"1.0"'),
        SOUND + '<Label Key="1">spleen</Label>',
    ],
)
@pytest.mark.odd_input(
    "N-62",
    make="a NIfTI whose table of label names is not whole, or gives one value two names",
    source="own",
    outcome="`label_unknown`: values by the scheme could exchange organs",
)
def test_a_label_table_that_cannot_be_read_whole(tmp_path: Path, table: str) -> None:
    assert _with_table(tmp_path, SOUND) == {1: "liver", 5: "spleen"}
    with pytest.raises(ScanError) as caught:
        _with_table(tmp_path, table)
    assert caught.value.reason is Reason.LABEL_UNKNOWN


def _segments(
    folder: Path, keys: str, layers: "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]"
) -> None:
    head = (
        "NRRD0005\ntype: uint8\ndimension: 4\nsizes: 2 10 9 8\nspace: LPS\n"
        "space directions: none (2,0,0) (0,2.5,0) (0,0,3)\nkinds: list domain domain domain\n"
        f"encoding: raw\nspace origin: (0,0,0)\n{keys}\n"
    )
    (folder / "a.seg.nrrd").write_bytes(head.encode() + layers.tobytes(order="F"))
    read_delivered(folder / "a.seg.nrrd", constant=True)


def _keys(*layers_and_values: tuple[int, int], names: bool = True) -> str:
    return "".join(
        (f"Segment{n}_Name:={name}\n" if names else f"Segment{n}_ID:={name}\n")
        + f"Segment{n}_Layer:={layer}\nSegment{n}_LabelValue:={value}\n"
        for n, (name, (layer, value)) in enumerate(
            zip(("liver", "spleen"), layers_and_values, strict=False)
        )
    )


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        (_keys((0, 1), (1, 1)), Reason.LABEL_UNKNOWN),
        (_keys((0, 1), (7, 1)), Reason.FILE_BROKEN),
        (_keys((0, 1), (-1, 1)), Reason.FILE_BROKEN),
        (_keys((0, 1), (1, 1), names=False), Reason.LABEL_UNKNOWN),
    ],
)
@pytest.mark.odd_input(
    "N-63",
    make="a `.seg.nrrd` whose layers hold a value of no segment, whose segments are in no layer or "
    "have no name",
    source="own",
    outcome="`label_unknown`, `file_broken`",
)
def test_segments_that_do_not_fit_their_layers(tmp_path: Path, keys: str, reason: Reason) -> None:
    layers = np.zeros((2, 10, 9, 8), np.uint8)
    layers[0, 1:4, 1:4, 1:4] = 1
    layers[0, 6:9, 5:8, 4:7] = 2
    layers[1, 1:4, 5:8, 1:4] = 1
    with pytest.raises(ScanError) as caught:
        _segments(tmp_path, keys, layers)
    assert caught.value.reason is reason


def _station(
    bottom_mm: float, n_slices: int, *, flipped: bool = False
) -> dict[Contrast, sitk.Image]:
    chance = np.random.default_rng(n_slices + int(abs(bottom_mm)))
    voxels = chance.normal(100, 20, (n_slices, 30, 30)).astype(np.float32)
    image = sitk.GetImageFromArray(voxels[::-1].copy() if flipped else voxels)
    image.SetSpacing((3, 3, 3))
    image.SetOrigin((0, 0, bottom_mm + (3 * (n_slices - 1) if flipped else 0)))
    if flipped:
        image.SetDirection((1, 0, 0, 0, 1, 0, 0, 0, -1))
    return {Contrast.WATER: image}


@pytest.mark.odd_input(
    "V-60",
    make="one voxel of a station a hundred thousand times as bright as tissue",
    source="own",
    outcome="the others keep their values",
)
def test_a_spike_does_not_make_the_others_coarse() -> None:
    plain = [_station(0, 60), _station(-150, 60)]
    spiked = [_station(0, 60), _station(-150, 60)]
    spiked[0][Contrast.WATER][5, 5, 50] = 1e7
    one, other = (
        sitk.GetArrayFromImage(stitch(stations).images[Contrast.WATER])
        for stations in (plain, spiked)
    )
    away = np.s_[:60]
    np.testing.assert_allclose(other[away], one[away], atol=0.1)


@pytest.mark.odd_input(
    "V-61",
    make="overlaps of whole slices: a rounding edge of trimming; a station stored upside down",
    source="own",
    outcome="the same image, however axes are stored and wherever the table stood",
)
def test_trimming_does_not_hang_on_rounding() -> None:
    for height_mm in np.arange(0, 30, 0.1):
        found = [
            stitch(
                [
                    _station(height_mm, 30, flipped=flipped),
                    _station(height_mm + 24 - 90, 30),
                ]
            ).seen_xyz
            for flipped in (False, True)
        ]
        assert found[0] == found[1]
        assert found[0] == stitch([_station(0, 30), _station(24 - 90, 30)]).seen_xyz


@pytest.mark.parametrize("inner", [(-100, 15), (-150, 100), (60, 4), (30, 30)])
@pytest.mark.odd_input(
    "V-62",
    make="a station that lies within another, or at its very place",
    source="own",
    outcome="`several_series`, in any order",
)
def test_a_station_within_another(inner: tuple[float, int]) -> None:
    outer = _station(-150, 100)
    for stations in ([outer, _station(*inner)], [_station(*inner), outer]):
        with pytest.raises(ScanError) as caught:
            stitch(stations)
        assert caught.value.reason is Reason.SEVERAL_SERIES


@pytest.mark.parametrize(
    ("elements", "found"),
    [
        ({"PatientSex": "F", "PatientAge": "061Y", "StudyDate": "20160503"}, ("female", 61)),
        (
            {"PatientSex": "M", "PatientBirthDate": "19550101", "StudyDate": "20160503"},
            ("male", 61),
        ),
        ({"PatientSex": "2", "PatientAge": "000Y", "StudyDate": "20160503"}, (None, None)),
        (
            {"PatientAge": "732M", "AcquisitionDate": "20160503", "StudyDate": "19000101"},
            (None, 61),
        ),
    ],
)
@pytest.mark.odd_input(
    "D-80",
    make="PatientSex `2`, PatientAge `000Y` or in months, PatientBirthDate alone",
    source="DICOM PS3.5 6.2; own",
    outcome="only where `cohort.covariates` asks; of dates the month; what is not plain is null",
)
def test_covariates_of_a_header(elements: dict[str, str], found: tuple[str, int]) -> None:
    read = ReadSeries(series(stored_values(4), **elements)).header.covariates
    assert (read.sex, read.age_years, read.acq_month) == (*found, "2016-05")
    assert "1955" not in str(read)

"""DICOM series: several volumes in one; slices that are lost, copied, shifted or no slices."""

from collections.abc import Callable
from io import BytesIO
from math import cos, radians, sin, tan
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset
from pydicom.uid import (
    EnhancedSRStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RTDoseStorage,
    SecondaryCaptureImageStorage,
)

from doubles.odd_dicom import Files, ReadSeries, changed, enhanced, series, stored_values
from organome.domain.errors import ScanError
from organome.domain.flags import Flag
from organome.domain.outcomes import Reason
from organome.domain.scans import Contrast

N = 20
CT = stored_values(N)
HU = CT.astype(int) - 1024
OTHER = stored_values(N, seed=1)


def _refusal(files: Files, contrast: Contrast | None = Contrast.CT) -> ScanError:
    with pytest.raises(ScanError) as caught:
        ReadSeries(files, contrast)
    return caught.value


def _check(files: Files, *flags: Flag) -> ReadSeries:
    """Read the CT as it is without what is odd, and with these flags alone."""
    found = ReadSeries(files)
    np.testing.assert_array_equal(found.voxels_zyx, HU)
    assert found.flags == set(flags)
    return found


@pytest.mark.parametrize(
    ("elements", "is_flagged"),
    [
        ({"SliceThickness": 3.0}, True),
        ({"SliceThickness": None, "SpacingBetweenSlices": 3.0}, True),
        ({"SliceThickness": 5.0}, False),  # the gap of a 2D protocol
        ({"SliceThickness": 12.0}, False),  # overlapping
        ({"SliceThickness": None}, False),
    ],
)
@pytest.mark.odd_input(
    "D-4",
    make="every second slice lost: a step of 6 mm, SliceThickness or SpacingBetweenSlices 3",
    source="own",
    outcome="`gaps_between_slices`; step and thickness stand in columns",
)
def test_every_second_slice_lost(elements: dict[str, Any], is_flagged: bool) -> None:
    files = series(CT, **elements)
    found = ReadSeries(dict(list(files.items())[::2]))
    assert found.image.GetSpacing()[2] == 6.0
    assert (Flag.GAPS_BETWEEN_SLICES in found.flags) is is_flagged


CONDITIONS: list[Callable[[int, int], dict[str, Any]]] = [
    lambda volume, _: {"AcquisitionNumber": volume + 1},
    lambda volume, _: {"EchoTime": 2.4 + volume},
    lambda volume, _: {"EchoNumbers": volume + 1},
    lambda volume, index: {"ContentTime": f"12{volume:02d}{index:02d}.5"},
    lambda volume, index: {"AcquisitionTime": f"12{volume:02d}{index:02d}", "ContentTime": "13"},
    lambda volume, _: {"ContentTime": f"12{volume:02d}00"},
    lambda volume, _: {"TemporalPositionIdentifier": volume + 1},
    lambda volume, _: {"TriggerTime": 100 * volume},
    lambda volume, _: {"ConvolutionKernel": ("Br40", "Br64")[volume]},
    lambda volume, _: {"ImageType": ["ORIGINAL", "PRIMARY", ("M", "P")[volume]]},
    lambda volume, _: {"AcquisitionNumber": volume + 1, "EchoTime": 2.4 + volume},
]


def _volume(
    voxels: np.ndarray[Any, Any],
    volume: int,
    condition: Callable[[int, int], dict[str, Any]],
    **more: Any,
) -> Files:
    elements: dict[str, Any] = {}
    for key in condition(volume, 0):
        elements[key] = lambda index, key=key: condition(volume, index)[key]
    return series(voxels, prefix=f"{volume}_", instance=1 + 100 * volume, **(elements | more))


D5 = pytest.mark.odd_input(
    "D-5",
    make="20 slices and 10 more at the upper positions in one series, apart by AcquisitionNumber, "
    "EchoTime, time, kernel, image type or orientation",
    source="MONAI Deploy 532, SimpleITK 1185, 2269",
    outcome="the whole volume, `volumes_left_out`; two whole ones are `not_3d`",
)


@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize("first", [0, 10])
@D5
def test_a_part_of_another_volume(condition: Callable[..., Any], first: int) -> None:
    """As the first or as the second volume of the series, at either end."""
    part = _volume(OTHER[:10], 1, condition, first=first)
    _check(_volume(CT, 0, condition) | part, Flag.VOLUMES_LEFT_OUT)
    part = _volume(OTHER[:10], 0, condition, first=first)
    _check(_volume(CT, 1, condition) | part, Flag.VOLUMES_LEFT_OUT)


@pytest.mark.parametrize("condition", CONDITIONS)
@D5
def test_two_whole_volumes(condition: Callable[..., Any]) -> None:
    files = _volume(CT, 0, condition) | _volume(OTHER, 1, condition)
    expected = Reason.SEVERAL_SERIES if "ImageType" in condition(0, 0) else Reason.NOT_3D
    assert _refusal(files).reason is expected


@D5
def test_a_part_between_the_positions_of_the_whole() -> None:
    files = _volume(CT, 0, CONDITIONS[0]) | _volume(OTHER[:8], 1, CONDITIONS[0], first=4.5)
    _check(files, Flag.VOLUMES_LEFT_OUT)


@D5
def test_a_localizer_within_the_series() -> None:
    scout = series(OTHER[:3], prefix="s", instance=900, ImageOrientationPatient=[0, 1, 0, 0, 0, -1])
    _check(series(CT) | scout, Flag.VOLUMES_LEFT_OUT)


D82 = pytest.mark.odd_input(
    "D-82",
    make="a series whose pixels or matrix change part-way: 20 slices at 2 mm, 10 at 3 mm above; "
    "a second acquisition that goes on above the first",
    source="own",
    outcome="`grids_differ`, of one grid `not_3d`: the part left out may be the rest of the body; "
    "a part within the range of the whole is `volumes_left_out`",
)


@pytest.mark.parametrize("first", [-10, N])
@pytest.mark.parametrize(
    "orientation", [[1, 0, 0, 0, 1, 0], [1, 0, 0, 0, 0.999, 0.04], [1, 0, 0, 0, -1, 0]]
)
@D82
def test_pixels_that_change_part_way(first: int, orientation: list[float]) -> None:
    wide = {"PixelSpacing": [3.0, 3.0], "ImageOrientationPatient": orientation}
    rest = series(OTHER[:10], first=first, prefix="w", instance=1 + N, **wide)
    assert _refusal(series(CT) | rest).reason is Reason.GRIDS_DIFFER
    within = series(OTHER[:10], first=5, prefix="w", instance=1 + N, **wide)
    _check(series(CT) | within, Flag.VOLUMES_LEFT_OUT)


D86 = pytest.mark.odd_input(
    "D-86",
    make="beyond the ends of a stack of 20 slices one of other Rows, an axial slice of a localizer "
    "of three planes, two or three of other pixels; a repeat that was broken off, 1 to 3 beyond",
    source="own",
    outcome="the stack, `volumes_left_out`, where no more than a tenth of its slices lie beyond; "
    "else `grids_differ`, `not_3d`",
)


@pytest.mark.parametrize("first", [-4, N, N + 9])
@D86
def test_an_end_slice_of_another_matrix(first: int) -> None:
    end = series(OTHER[:1, :-2], first=first, prefix="e", instance=1 + N)
    _check(series(CT) | end, Flag.VOLUMES_LEFT_OUT)


@D86
def test_a_localizer_that_reaches_beyond_the_series() -> None:
    files = series(CT)
    for place, axes in enumerate(([1, 0, 0, 0, 1, 0], [0, 1, 0, 0, 0, -1], [1, 0, 0, 0, 0, -1])):
        scout = {"PixelSpacing": [3.0, 3.0], "ImageOrientationPatient": axes}
        files |= series(OTHER[:1], first=N + 5, prefix=f"s{place}", instance=900 + place, **scout)
    _check(files, Flag.VOLUMES_LEFT_OUT)


@D86
def test_a_few_slices_beyond_the_ends() -> None:
    wide = {"PixelSpacing": [3.0, 3.0]}
    for n_slices in (2, 3):
        files = series(CT) | series(OTHER[:n_slices], first=N, prefix="w", instance=1 + N, **wide)
        if n_slices == 2:
            _check(files, Flag.VOLUMES_LEFT_OUT)
        else:
            assert _refusal(files).reason is Reason.GRIDS_DIFFER


@D86
def test_a_repeat_that_was_broken_off_beyond_the_end() -> None:
    for n_beyond in (1, 2, 3):
        repeat = _volume(OTHER[:10], 1, CONDITIONS[0], first=10 + n_beyond)
        files = _volume(CT, 0, CONDITIONS[0]) | repeat
        if n_beyond <= 2:
            _check(files, Flag.VOLUMES_LEFT_OUT)
        else:
            assert _refusal(files).reason is Reason.NOT_3D


@D82
def test_a_second_acquisition_that_goes_on_above_the_first() -> None:
    above = _volume(OTHER[:10], 1, CONDITIONS[0], first=15)
    assert _refusal(_volume(CT, 0, CONDITIONS[0]) | above).reason is Reason.NOT_3D


@D82
def test_images_of_one_series_by_their_type_that_go_on_in_another_matrix() -> None:
    files: Files = {}
    for volume, word in enumerate(("W", "F")):
        elements = {"modality": "MR", "ImageType": ["DERIVED", "PRIMARY", word]}
        files |= series(CT, prefix=word, instance=1 + 100 * volume, **elements)
        rest = series(OTHER[:10, :-2], first=N, prefix=word, instance=51 + 100 * volume, **elements)
        files |= rest
    assert _refusal(files, Contrast.FAT).reason is Reason.GRIDS_DIFFER


@D5
def test_one_stack_of_two_acquisitions_is_one_volume() -> None:
    """Two breath-holds that follow each other, or every second slice each."""
    halves = series(CT, AcquisitionNumber=lambda index: 1 + index // 10)
    _check(halves, Flag.ACQUISITIONS_MIXED)
    interleaved = series(CT, AcquisitionNumber=lambda index: 1 + index % 2)
    _check(interleaved, Flag.ACQUISITIONS_MIXED)


@pytest.mark.parametrize("condition", [*CONDITIONS[:10], lambda _volume, _index: {}])
@pytest.mark.parametrize("n_lost", [0, 1, 3])
@pytest.mark.odd_input(
    "D-6",
    make="two echoes of all positions, up to three files lost; nothing in the header may tell them "
    "apart",
    source="own",
    outcome="`not_3d`, by the majority of positions",
)
def test_two_volumes_less_some_files(condition: Callable[..., Any], n_lost: int) -> None:
    other = _volume(OTHER, 1, condition)
    files = _volume(CT, 0, condition) | dict(list(other.items())[n_lost:])
    expected = Reason.SEVERAL_SERIES if "ImageType" in condition(0, 0) else Reason.NOT_3D
    assert _refusal(files).reason is expected


def test_images_of_one_dixon_series_by_their_type() -> None:
    files: Files = {}
    for volume, word in enumerate(("W", "F", "IP", "OP")):
        files |= series(
            stored_values(N, seed=volume),
            modality="MR",
            prefix=word,
            instance=1 + 100 * volume,
            ImageType=["DERIVED", "PRIMARY", word],
        )
    found = ReadSeries(files, Contrast.FAT)
    np.testing.assert_array_equal(found.voxels_zyx, stored_values(N, seed=1))
    assert _refusal(files, Contrast.T1).reason is Reason.SEVERAL_SERIES


SHUFFLED = np.random.default_rng(5).permutation(N).tolist()
D7 = pytest.mark.odd_input(
    "D-7",
    make="enhanced multi-frame MR and CT, frames shuffled, groups shared or for each frame, one or "
    "two echoes; as highdicom's legacy converter makes it",
    source="dcm2niix 839, dicom2nifti 110; Siemens XA, Philips",
    outcome="read by the functional groups of each frame; two echoes are `not_3d`",
)


@pytest.mark.parametrize("is_shared", [True, False])
@pytest.mark.parametrize("modality", ["MR", "CT"])
@D7
def test_enhanced_multi_frame(modality: str, is_shared: bool) -> None:
    content = enhanced(CT, order=SHUFFLED, modality=modality, is_shared=is_shared)
    contrast = Contrast.CT if modality == "CT" else Contrast.T1
    found = ReadSeries({"IM0": content}, contrast)
    np.testing.assert_array_equal(found.voxels_zyx, HU if modality == "CT" else 2 * CT)
    assert found.image.GetSpacing() == (2.0, 2.0, 3.0)
    assert found.header.slice_thickness_mm == 3.0
    volume = hd.Image.from_dataset(pydicom.dcmread(BytesIO(content))).get_volume()
    places = [found.image.TransformIndexToPhysicalPoint(one) for one in ((0, 0, 0), (3, 2, 19))]
    theirs = [
        volume.map_indices_to_reference(np.array([one]))[0] for one in ((0, 0, 0), (19, 2, 3))
    ]
    is_upwards = np.allclose(theirs[0], places[0])
    planes = volume.array if is_upwards else volume.array[::-1]
    np.testing.assert_array_equal(planes, found.voxels_zyx)


@pytest.mark.odd_input(
    "D-60",
    make="an enhanced object of Philips: a private macro repeats the position half a pixel aside",
    source="dcm_qa_philips_enh",
    outcome="the standard's macro counts",
)
def test_a_private_macro_moves_no_frame() -> None:
    aside = Dataset()
    aside.ImagePositionPatient = [1.0, 1.0, 7.0]
    dataset = pydicom.dcmread(BytesIO(enhanced(CT, order=SHUFFLED)))
    for group in dataset.PerFrameFunctionalGroupsSequence:
        group.add_new(0x20050010, "LO", "Philips MR Imaging DD 005")
        group.add_new(0x2005140F, "SQ", [aside])
    content = BytesIO()
    dataset.save_as(content)
    found = ReadSeries({"IM0": content.getvalue()}, Contrast.T1)
    assert found.image.GetOrigin() == (0.0, 0.0, 0.0)
    assert found.image.GetSpacing() == (2.0, 2.0, 3.0)


@D7
def test_two_echoes_in_an_enhanced_object() -> None:
    both = np.concatenate([CT, OTHER])
    order = [*range(N), *range(N)]
    content = enhanced(CT, order=order, echo_ms=[2.4] * N + [4.8] * N)
    content = changed(content, PixelData=both.tobytes())
    assert _refusal({"IM0": content}, Contrast.T1).reason is Reason.NOT_3D
    part = enhanced(CT, order=[*range(N), *range(9)], echo_ms=[2.4] * N + [4.8] * 9)
    found = ReadSeries({"IM0": part}, Contrast.T1)
    np.testing.assert_array_equal(found.voxels_zyx, 2 * CT)
    assert Flag.VOLUMES_LEFT_OUT in found.flags


@D7
def test_a_slice_of_an_enhanced_object_lost() -> None:
    order = [one for one in SHUFFLED if one != 7]
    assert _refusal({"1": enhanced(CT, order=order)}, Contrast.T1).reason is Reason.SLICES_MISSING


@D7
def test_frames_without_a_place() -> None:
    content = changed(enhanced(CT, order=SHUFFLED), PerFrameFunctionalGroupsSequence=None)
    assert _refusal({"1.dcm": content}, Contrast.T1).reason is Reason.FORMAT_UNKNOWN


@D7
def test_groups_and_frames_that_do_not_fit() -> None:
    content = changed(enhanced(CT, order=SHUFFLED), NumberOfFrames=N + 1)
    assert _refusal({"1.dcm": content}, Contrast.T1).reason is Reason.FILE_BROKEN


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("PatientWeight", b"72,5", {"weight_kg": 72.5}),
        ("PatientWeight", b"nan ", {"weight_kg": None}),
        ("PatientWeight", b"9999", {"weight_kg": None}),
        ("PatientSize", b"180cm ", {"height_m": None}),
        ("PatientSize", b"180 ", {"height_m": None}),
        ("PatientSize", b"1,80", {"height_m": 1.8}),
        ("MagneticFieldStrength", b"1,5 ", {"field_strength_t": 1.5}),
        ("MagneticFieldStrength", b"15000 ", {"field_strength_t": None}),
        ("SeriesNumber", b"4.5 ", {"series_number": None}),
        ("SeriesNumber", b"four", {"series_number": None}),
        ("InstanceNumber", b"x1", {"instance_number": None}),
        ("SliceThickness", b"thin", {"slice_thickness_mm": None}),
        ("EchoTime", b"2,4 ", {}),
        ("AcquisitionNumber", b"?1", {}),
    ],
)
@pytest.mark.odd_input(
    "D-8",
    make="PatientWeight `72,5`, `nan` or bytes, PatientSize `180cm`, MagneticFieldStrength `1,5`, "
    "SeriesNumber `4.5`",
    source="pydicom 640, 1643, 1661",
    outcome="the scan goes through, the number is read with a comma or null, `header_odd`",
)
def test_odd_optional_elements(old: str, new: bytes, expected: dict[str, float | None]) -> None:
    files = {name: _written(one, old, new) for name, one in series(CT).items()}
    found = ReadSeries(files)
    np.testing.assert_array_equal(found.voxels_zyx, HU)
    assert found.flags == {Flag.HEADER_ODD}
    assert {key: getattr(found.header, key) for key in expected} == expected


def _written(content: bytes, keyword: str, value: bytes) -> bytes:
    """Write the bytes of an element as they are, whatever its kind allows."""
    dataset = pydicom.dcmread(BytesIO(content))
    element = pydicom.DataElement(keyword, "OB", value)
    vr = pydicom.datadict.dictionary_VR(keyword).partition(" ")[0]
    dataset.add(element)
    written = BytesIO()
    dataset.save_as(written)
    tag = element.tag
    head = tag.group.to_bytes(2, "little") + tag.element.to_bytes(2, "little")
    long = head + b"OB\0\0" + len(value).to_bytes(4, "little")
    short = head + vr.encode() + len(value).to_bytes(2, "little")
    assert long in written.getvalue()
    return written.getvalue().replace(long, short)


def _dose_report(**elements: Any) -> bytes:
    (content,) = series(
        OTHER[:1],
        SOPClassUID=SecondaryCaptureImageStorage,
        ImagePositionPatient=None,
        PixelSpacing=None,
        ImageOrientationPatient=None,
        **elements,
    ).values()
    return content


def _dose() -> bytes:
    (content,) = series(
        OTHER[:1],
        SOPClassUID=RTDoseStorage,
        modality="RTDOSE",
        SeriesInstanceUID="1.9",
        NumberOfFrames=1,
        DoseUnits="GY",
    ).values()
    return content


def _report() -> bytes:
    (content,) = series(
        OTHER[:1], SOPClassUID=EnhancedSRStorage, PixelData=None, SeriesInstanceUID="1.8"
    ).values()
    return content


JUNK: dict[str, Callable[[], bytes]] = {
    "._000.dcm": lambda: b"\0\5\x16\7\0\2\0\0Mac OS X" + bytes(300),
    "empty.dcm": lambda: b"",
    "photo.dcm": lambda: b"\xff\xd8\xff\xe0\0\x10JFIF" + bytes(500),
    "notes.dcm": lambda: b"measured by hand " * 20,
    "dose.dcm": _dose,
    "dose_report.dcm": _dose_report,
    "dose_report_of_its_own.dcm": lambda: _dose_report(SeriesInstanceUID="1.7"),
    "report.dcm": _report,
    "colour.dcm": lambda: changed(
        next(iter(series(OTHER[:1], SeriesInstanceUID="1.6").values())), SamplesPerPixel=3
    ),
}


@pytest.mark.parametrize("name", JUNK)
@pytest.mark.odd_input(
    "D-9",
    make="among the slices: `._000.dcm` of a Mac, an empty file, a JPEG or a text named .dcm, an "
    "RT dose, a dose report, a structured report, a colour capture",
    source="TI-Toolbox 133, minc-tools 93",
    outcome="left out, `files_left_out`, counted in `n_files_left_out`; empty and other files make "
    "`file_broken` where a slice lacks",
)
def test_junk_among_the_slices(name: str) -> None:
    found = _check({name: JUNK[name](), **series(CT)}, Flag.FILES_LEFT_OUT)
    assert found.n_left_out == 1


@pytest.mark.odd_input(
    "D-24",
    make="a slice in mid-stack that is empty, or of other content",
    source="own",
    outcome="`file_broken`, with the place of the file",
)
@pytest.mark.parametrize("content", [b"", b"x" * 400])
def test_an_empty_file_in_place_of_a_slice(content: bytes) -> None:
    files = series(CT)
    for name in ("005.dcm", "006.dcm"):
        files[name] = content
    error = _refusal(files)
    assert error.reason is Reason.FILE_BROKEN
    assert error.fact.startswith("file 5 is not a DICOM file")


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
@pytest.mark.parametrize("suffix", ["", ".dcm", ".IMA"])
@pytest.mark.parametrize("with_meta", [True, False])
@pytest.mark.odd_input(
    "D-10",
    make="slices without preamble, with and without file meta, named .dcm or not",
    source="pydicom 150, 316, hazen 433",
    outcome="read, `file_meta_missing`",
)
def test_slices_without_preamble(syntax: str, suffix: str, with_meta: bool) -> None:
    files = {}
    for name, content in series(CT, syntax=syntax).items():
        meta_end = 144 + int.from_bytes(content[140:144], "little")
        bare = content[132:] if with_meta else content[meta_end:]
        files[name.removesuffix(".dcm") + suffix] = bare
    _check(files, Flag.FILE_META_MISSING)


@pytest.mark.parametrize(
    ("modality", "contrast"),
    [("CT", Contrast.T2), ("MR", Contrast.CT), ("PT", Contrast.CT), ("PT", Contrast.T1)],
)
@pytest.mark.odd_input(
    "D-14",
    make="listed as t2, and the files are CT; MR or PET listed as ct",
    source="own",
    outcome="`contrast_disputed`",
)
def test_another_kind_of_scanner_than_listed(modality: str, contrast: Contrast) -> None:
    files = series(CT, modality=modality, RescaleSlope=1, RescaleIntercept=0)
    assert _refusal(files, contrast).reason is Reason.CONTRAST_DISPUTED


D15 = pytest.mark.odd_input(
    "D-15",
    make="slices cut in their header, or without ImagePositionPatient, PixelSpacing or voxels, "
    "in mid-stack or at an end",
    source="own",
    outcome="`file_broken`, with the place of the first and how many",
)
DAMAGES: list[Callable[[bytes], bytes]] = [
    lambda one: changed(one, ImagePositionPatient=None),
    lambda one: changed(one, PixelSpacing=None),
    lambda one: changed(one, PixelData=None),
    lambda one: changed(one, PixelSpacing=[2.0, 2.0, 2.0]),
    lambda one: changed(one, BitsAllocated=12),
    lambda one: changed(one, SamplesPerPixel=3),
    lambda one: one[:128] + b"DICN" + one[132:],
    lambda one: one[7:],
    lambda one: one[:20],
    lambda one: one[:200],
    lambda one: one[:500],
    lambda one: one[:900],
    lambda one: one[:-3000],
]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("places", [(0, 1), (10, 11), (18, 19)])
@D15
def test_slices_that_are_damaged(damage: Callable[[bytes], bytes], places: tuple[int, ...]) -> None:
    files = series(CT)
    for place in places:
        name = list(files)[place]
        files[name] = damage(files[name])
    error = _refusal(files)
    assert error.reason is Reason.FILE_BROKEN
    assert f"file {places[0] + 1}" in error.fact


@D15
def test_how_many_slices_are_damaged() -> None:
    files = series(CT)
    for name in list(files)[:3]:
        files[name] = changed(files[name], PixelData=None)
    assert _refusal(files).fact == "file 1 ends before its pixels, and 2 more"


@pytest.mark.odd_input(
    "D-25",
    make="a broken file in a series that nobody wants",
    source="own",
    outcome="the wanted series goes through",
)
def test_a_broken_localizer_costs_nothing() -> None:
    scout = series(
        OTHER[:3], prefix="s", SeriesInstanceUID="1.9", ImageType=["ORIGINAL", "LOCALIZER"]
    )
    scout["s002.dcm"] = changed(scout["s002.dcm"], PixelSpacing=[2.0, 2.0, 2.0])
    _check(series(CT) | scout, Flag.EXTRA_SERIES)


@pytest.mark.odd_input(
    "D-16",
    make="every file of a series, or some, once more under another name",
    source="own",
    outcome="each once, `files_repeated`",
)
@pytest.mark.parametrize("n_copies", [N, 3])
def test_files_copied_under_another_name(n_copies: int) -> None:
    files = series(CT)
    copies = {f"copy_{name}": one for name, one in list(files.items())[:n_copies]}
    _check(files | copies, Flag.FILES_REPEATED)
    _check(copies | files, Flag.FILES_REPEATED)


@pytest.mark.odd_input(
    "D-26",
    make="an anonymizer gave all files one SOPInstanceUID",
    source="own",
    outcome="read: slices are copies only if all else is equal",
)
def test_one_sop_instance_uid_for_all() -> None:
    _check(series(CT, SOPInstanceUID="1.2.3"))


def _moved(shift_xyz_mm: Callable[[int], tuple[float, float, float]]) -> Files:
    return series(
        CT,
        ImagePositionPatient=lambda index: [
            round(a + b, 6)
            for a, b in zip((0.0, 0.0, 3.0 * index), shift_xyz_mm(index), strict=True)
        ],
    )


@pytest.mark.parametrize(
    "shift",
    [
        lambda index: (20.0 if 4 <= index < 7 else 0.0, 0.0, 0.0),
        lambda index: (0.0, 60.0 * sin(radians(180.0 * index / (N - 1))), 0.0),
        lambda index: (0.0, 12.0 if index >= 10 else 0.0, 0.0),
    ],
)
@pytest.mark.odd_input(
    "D-17",
    make="slices 4 to 6 shifted by 20 mm; an arc of 60 mm; a jump of 12 mm in mid-stack",
    source="own",
    outcome="`geometry_implausible`, with the slice and the distance",
)
def test_slices_that_lie_aside(shift: Callable[[int], tuple[float, float, float]]) -> None:
    error = _refusal(_moved(shift))
    assert error.reason is Reason.GEOMETRY_IMPLAUSIBLE
    assert "mm aside" in error.fact


@pytest.mark.odd_input(
    "D-27",
    make="a gantry tilted by 12 degrees",
    source="dicom2nifti, dcm2niix: gantry tilt",
    outcome="`geometry_implausible`, with the angle",
)
def test_gantry_tilt() -> None:
    error = _refusal(_moved(lambda index: (0.0, 3.0 * index * tan(radians(12)), 0.0)))
    assert error.reason is Reason.GEOMETRY_IMPLAUSIBLE
    assert "tilted by 12.0 degrees" in error.fact
    row, column = [1, 0, 0], [0, cos(radians(12)), sin(radians(12))]
    tilted = series(CT, ImageOrientationPatient=[*row, *column])
    assert "tilted by 12.0 degrees" in _refusal(tilted).fact


def test_a_stack_at_rest() -> None:
    found = _check(series(CT))
    assert found.n_left_out == 0
    assert sitk.GetArrayViewFromImage(found.image).dtype == np.int16


def test_legacy_converted(tmp_path: Any) -> None:
    """As highdicom makes one of single slices."""
    slices = [
        pydicom.dcmread(BytesIO(one))
        for one in series(
            CT,
            PatientName="",
            PatientID="1",
            PatientBirthDate="",
            PatientSex="",
            StudyDate="",
            StudyTime="",
            StudyID="",
            StudyInstanceUID="1.5",
            AccessionNumber="",
            ReferringPhysicianName="",
            FrameOfReferenceUID="1.4",
            PositionReferenceIndicator="",
            AcquisitionNumber=1,
            Manufacturer="m",
            ImageType=["ORIGINAL", "PRIMARY", "AXIAL"],
        ).values()
    ]
    made: Dataset = hd.legacy.LegacyConvertedEnhancedCTImage(
        slices,
        series_instance_uid="1.2.9",
        series_number=9,
        sop_instance_uid="1.2.10",
        instance_number=1,
    )
    path = tmp_path / "1.dcm"
    made.save_as(path, enforce_file_format=True)
    np.testing.assert_array_equal(ReadSeries({"1.dcm": path.read_bytes()}).voxels_zyx, HU)


@pytest.mark.parametrize("cosine", [0.7, 0.707, 0.71])
@pytest.mark.odd_input(
    "D-61",
    make="direction cosines rounded to one or two digits",
    source="own",
    outcome="the step along the normal is the distance of the slices",
)
def test_rounded_cosines_change_no_step(cosine: float) -> None:
    normal = np.cross((0.5**0.5, 0.5**0.5, 0), (0, 0, -1))
    files = series(
        CT,
        modality="MR",
        ImageOrientationPatient=[cosine, cosine, 0, 0, 0, -1],
        ImagePositionPatient=lambda place: [float(3 * place * one) for one in normal],
    )
    found = ReadSeries(files, Contrast.T2)
    assert found.image.GetSpacing()[2] == pytest.approx(3.0, abs=1e-6)


D62 = pytest.mark.odd_input(
    "D-62",
    make="two echoes, b values, kernels or image types of 10 slices each, half a step apart; two "
    "acquisitions, phases or passes of slices that are twice as thick as the step",
    source="MONAI Deploy 532, own",
    outcome="`not_3d`, of image types `several_series`; slices as thick as the step are one volume "
    "acquired in two passes",
)
ALTERNATING: dict[str, Callable[[int], Any]] = {
    "EchoTime": lambda volume: 2.4 + volume,
    "EchoNumbers": lambda volume: 1 + volume,
    "DiffusionBValue": lambda volume: 500.0 * volume,
    "InversionTime": lambda volume: 100.0 + volume,
    "ConvolutionKernel": lambda volume: ("Br40", "Br64")[volume],
    "ImageType": lambda volume: ["ORIGINAL", "PRIMARY", ("M", "P")[volume]],
}


@pytest.mark.parametrize("keyword", ALTERNATING)
@pytest.mark.parametrize("n", [N, N - 1])
@D62
def test_two_volumes_half_a_step_apart(keyword: str, n: int) -> None:
    values = ALTERNATING[keyword]
    error = _refusal(series(CT[:n], **{keyword: lambda index: values(index % 2)}))
    expected = Reason.SEVERAL_SERIES if keyword == "ImageType" else Reason.NOT_3D
    assert error.reason is expected
    assert "2 " in error.fact


@pytest.mark.parametrize(
    "when",
    [
        {"AcquisitionNumber": lambda index: 1 + index % 2},
        {"TriggerTime": lambda index: 100 * (index % 2)},
        {"TemporalPositionIdentifier": lambda index: 1 + index % 2},
        {"ContentTime": lambda index: f"12{index % 2:02d}{index:02d}"},
    ],
)
@D62
def test_two_passes_are_two_volumes_if_their_slices_are_thick(when: dict[str, Any]) -> None:
    assert _refusal(series(CT, SliceThickness=6.0, **when)).reason is Reason.NOT_3D
    assert _refusal(series(CT, SpacingBetweenSlices=6.0, **when)).reason is Reason.NOT_3D
    for thickness_mm in (3.0, None):
        found = ReadSeries(series(CT, SliceThickness=thickness_mm, **when))
        np.testing.assert_array_equal(found.voxels_zyx, HU)
    ReadSeries(series(CT, SliceThickness=6.0, SpacingBetweenSlices=3.0, **when))
    one_after_the_other = {"ContentTime": lambda index: f"12{index // 10:02d}{index:02d}"}
    ReadSeries(series(CT, SliceThickness=6.0, **one_after_the_other))


@pytest.mark.parametrize("thickness_mm", [2.0, 3.0])
@pytest.mark.parametrize("n_packages", [2, 4])
@pytest.mark.odd_input(
    "D-83",
    make="triggered 2D MRI of several packages, whose trigger times repeat; packages numbered as "
    "acquisitions or temporal positions",
    source="own",
    outcome="one volume, `acquisitions_mixed` where a number differs",
)
def test_packages_are_one_volume(n_packages: int, thickness_mm: float) -> None:
    length = N // n_packages
    whens: dict[str, Callable[[int], int]] = {
        "one after the other": lambda index: 40 * (index % length),
        "every other slice": lambda index: 40 * (index // n_packages),
    }
    for trigger_ms in whens.values():
        files = series(CT, modality="MR", SliceThickness=thickness_mm, TriggerTime=trigger_ms)
        found = ReadSeries(files, Contrast.T2)
        np.testing.assert_array_equal(found.voxels_zyx, CT)
        assert found.flags <= {Flag.GAPS_BETWEEN_SLICES}
    for keyword in ("AcquisitionNumber", "TemporalPositionIdentifier"):
        files = series(
            CT,
            modality="MR",
            TriggerTime=whens["one after the other"],
            **{keyword: lambda index: 1 + index // length},
        )
        found = ReadSeries(files, Contrast.T2)
        np.testing.assert_array_equal(found.voxels_zyx, CT)
        assert found.flags == {Flag.ACQUISITIONS_MIXED}


def _scout(*n_slices: int, uid: str = "1.9") -> Files:
    """A localizer in three planes, as Siemens names its images: like any other."""
    planes = ([1, 0, 0, 0, 1, 0], [1, 0, 0, 0, 0, -1], [0, 1, 0, 0, 0, -1])
    files: Files = {}
    for plane, (orientation, n) in enumerate(zip(planes, n_slices, strict=True)):
        normal = np.cross(orientation[:3], orientation[3:])
        files |= series(
            stored_values(n, seed=plane),
            modality="MR",
            prefix=f"s{uid}_",
            instance=1 + 100 * plane,
            SeriesInstanceUID=uid,
            ImageType=["ORIGINAL", "PRIMARY", "M", "NORM", "DIS2D"],
            ImageOrientationPatient=orientation,
            ImagePositionPatient=lambda index, normal=normal: (20.0 * index * normal).tolist(),
        )
    return files


D84 = pytest.mark.odd_input(
    "D-84",
    make="beside the series a localizer of three planes whose image type does not say so",
    source="Siemens",
    outcome="left out, `extra_series`; a faulty stack beside a whole one stays `several_series`",
)


@pytest.mark.parametrize("n_slices", [(5, 5, 5), (3, 7, 5), (3, 3, 5)])
@D84
def test_a_localizer_of_three_planes(n_slices: tuple[int, ...]) -> None:
    found = ReadSeries(series(CT, modality="MR") | _scout(*n_slices), Contrast.T2)
    np.testing.assert_array_equal(found.voxels_zyx, CT)
    assert found.flags == {Flag.EXTRA_SERIES}


@D84
def test_a_faulty_stack_is_no_localizer() -> None:
    whole = series(CT, modality="MR")
    gap = series(OTHER, modality="MR", SeriesInstanceUID="1.3", prefix="g")
    del gap["g007.dcm"]
    assert _refusal(whole | gap, Contrast.T2).reason is Reason.SEVERAL_SERIES
    with_scout = gap | _scout(0, 3, 3, uid="1.3")
    assert _refusal(whole | with_scout, Contrast.T2).reason is Reason.SEVERAL_SERIES


@pytest.mark.parametrize(
    ("place_mm", "is_refused"),
    [
        (lambda index: 3.0 * index + 0.2 * max(0, index - 10), True),  # steps of 3 and 3.2 mm
        (lambda index: 3.0 * index + 0.012 * index**2, True),
        (lambda index: 3.0 * index + 0.002 * index**2, False),
        (lambda index: 3.0 * index + (0.2 if index == 7 else 0.0), False),
    ],
)
@pytest.mark.odd_input(
    "D-63",
    make="steps between slices that grow by less than a tenth each, or change in mid-stack",
    source="own",
    outcome="`geometry_implausible` where a slice lies a quarter of a step or 1 mm off even steps; "
    "below, `slices_uneven`",
)
def test_steps_that_are_not_even(place_mm: Callable[[int], float], is_refused: bool) -> None:
    files = series(CT, ImagePositionPatient=lambda index: [0, 0, round(place_mm(index), 6)])
    if is_refused:
        error = _refusal(files)
        assert error.reason is Reason.GEOMETRY_IMPLAUSIBLE
        assert "mm off even steps" in error.fact
    else:
        _check(files, Flag.SLICES_UNEVEN)


@pytest.mark.parametrize(
    ("orientation", "is_refused"),
    [
        ([1, 0, 0, 0.0401, 0.9992, 0], True),
        ([1, 0, 0, 0.04, 1, 0], True),
        ([1, 0, 0, 0.2, 1, 0], True),
        ([1, 0, 0, 0.002, 0.999998, 0], True),
        ([1, 0, 0, 0.0005, 1, 0], False),
        ([0.71, 0.71, 0, -0.7, 0.71, 0], False),
    ],
)
@pytest.mark.odd_input(
    "D-64",
    make="rows and columns off a right angle by 0.1 to 11 degrees",
    source="own",
    outcome="`geometry_implausible`, with the angle, beyond what the digits of the header explain",
)
def test_rows_and_columns_off_a_right_angle(orientation: list[float], is_refused: bool) -> None:
    files = series(CT, modality="MR", ImageOrientationPatient=orientation)
    if is_refused:
        error = _refusal(files, Contrast.T2)
        assert error.reason is Reason.GEOMETRY_IMPLAUSIBLE
        assert "off a right angle" in error.fact
    else:
        ReadSeries(files, Contrast.T2)

"""Labelmaps as other programs read them: voxel for voxel in place, under the right name."""

import logging
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from doubles.dicom_runs import AXIAL, SECRET, DicomRun, run_on_series, write_series
from organome.compute.geometry.grids import share_grid
from organome.domain.errors import MachineFault, SetupError
from organome.domain.organs import ORGAN_BY_NAME, ORGANS
from organome.domain.scans import Contrast
from organome.domain.schemes import scheme_by_name
from organome.io.files.published import DamagedFile
from organome.io.images.image_files import read_image, write_image
from organome.io.images.labelmaps import labelmap_content, labelmap_path, read_labelmap
from organome.steps.extract import extract
from organome.steps.extract.extracted_files import Format


def read_segments(path: Path) -> dict[str, int]:
    """Read the label of each segment by its name."""
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    keys = reader.GetMetaDataKeys()
    numbers = [key.removesuffix("_LabelValue") for key in keys if key.endswith("_LabelValue")]
    return {
        reader.GetMetaData(f"{one}_Name"): int(reader.GetMetaData(f"{one}_LabelValue"))
        for one in numbers
    }


def turned(seed: int) -> tuple[float, ...]:
    """A rotation by no simple angle."""
    turn, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    turn[:, 0] *= np.linalg.det(turn)
    return tuple(turn.ravel())


DIRECTIONS = {
    "axial": AXIAL,
    "feet first": (-1.0, 0, 0, 0, 1, 0, 0, 0, -1),
    "coronal": (1.0, 0, 0, 0, 0, 1, 0, -1, 0),
    "oblique": turned(1),
    "more oblique": turned(2),
}
KEYS = {name: f"0000-{place:04d}" for place, name in enumerate(DIRECTIONS)}
FAILED = f"0000-{len(DIRECTIONS):04d}"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> DicomRun:
    return run_on_series(tmp_path_factory.mktemp("run"), list(DIRECTIONS.values()))


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> DicomRun:
    run = run_on_series(tmp_path_factory.mktemp("packed"), list(DIRECTIONS.values()), pack=True)
    assert not labelmap_path(run.labelmaps, KEYS["axial"]).exists()
    return run


def extracted(run: DicomRun, output: Path, format: Format, **more: Any) -> extract.Extracted:
    return extract.run(run.folder, output=output, format=format, **more)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("format", Format)
def test_packed_or_not_the_same_is_extracted(
    run: DicomRun, packed: DicomRun, tmp_path: Path, format: Format, monkeypatch: Any
) -> None:
    # The time at which labels were made stands in DICOM, and is of each run its own.
    monkeypatch.setattr(extract, "_made_at", lambda _: extract._UNKNOWN_TIME)
    for one, folder in ((run, "loose"), (packed, "packed")):
        summary = extracted(one, tmp_path / folder, format)
        assert summary.n_written == len(DIRECTIONS)
        assert (summary.n_without, summary.refused) == (1, ())
    assert names(tmp_path / "loose") == names(tmp_path / "packed")
    assert len(names(tmp_path / "loose")) == len(DIRECTIONS) * (2 if format == "itk-snap" else 1)
    for path in (tmp_path / "loose").iterdir():
        assert path.read_bytes() == (tmp_path / "packed" / path.name).read_bytes(), path.name


@pytest.mark.parametrize("format", Format)
def test_extracted_twice_it_is_the_same_bytes(
    run: DicomRun, tmp_path: Path, format: Format
) -> None:
    for folder in ("first", "second"):
        extracted(run, tmp_path / folder, format, scan=[KEYS["oblique"]])
    for path in (tmp_path / "first").iterdir():
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes()


def test_nifti_is_what_was_published_and_the_image_if_asked(run: DicomRun, tmp_path: Path) -> None:
    key = KEYS["coronal"]
    extracted(run, tmp_path, Format.NIFTI, scan=[key], with_image=True)
    assert names(tmp_path) == {f"{key}_labels.nii.gz", f"{key}_ct.nii.gz"}
    content = (tmp_path / f"{key}_labels.nii.gz").read_bytes()
    assert content == labelmap_content(labelmap_path(run.labelmaps, key))
    read_image(tmp_path / f"{key}_ct.nii.gz")


def test_itk_snap_gets_a_line_for_each_label(run: DicomRun, tmp_path: Path) -> None:
    key = KEYS["axial"]
    extracted(run, tmp_path, Format.ITK_SNAP, scan=[key])
    text = (tmp_path / f"{key}_labels.txt").read_text()
    lines = [line.split(maxsplit=7) for line in text.splitlines() if not line.startswith("#")]
    assert {int(line[0]): line[7] for line in lines} == {
        0: '"Clear Label"',
        **{organ.label: f'"{organ.name}"' for organ in ORGANS},
    }
    assert len({tuple(line[1:4]) for line in lines}) == len(lines)
    assert all(0 <= int(value) <= 255 for line in lines for value in line[1:4])


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_slicer_gets_every_voxel_at_its_place(
    run: DicomRun, tmp_path: Path, direction: str
) -> None:
    key = KEYS[direction]
    extracted(run, tmp_path, Format.SEG_NRRD, scan=[key])
    path = tmp_path / f"{key}.seg.nrrd"
    published = read_labelmap(labelmap_path(run.labelmaps, key))
    segmentation = sitk.ReadImage(str(path))
    assert segmentation.GetPixelID() == sitk.sitkUInt8
    assert sitk.Hash(segmentation) == sitk.Hash(published)
    for name in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
        np.testing.assert_allclose(
            getattr(segmentation, name)(), getattr(published, name)(), rtol=1e-12, atol=1e-12
        )
    assert read_segments(path) == {organ.name: organ.label for organ in ORGANS}


def test_slicer_finds_all_fields_of_its_format(run: DicomRun, tmp_path: Path) -> None:
    key = KEYS["axial"]
    extracted(run, tmp_path, Format.SEG_NRRD, scan=[key])
    header, _, _ = (tmp_path / f"{key}.seg.nrrd").read_bytes().partition(b"\n\n")
    lines = header.decode().splitlines()
    assert lines[0].startswith("NRRD000")
    fields = dict(line.split(": ", 1) for line in lines if ": " in line and ":=" not in line)
    assert fields["dimension"] == "3"
    assert fields["space"] == "left-posterior-superior"
    assert fields["kinds"] == "domain domain domain"
    assert fields["type"] in ("unsigned char", "uint8")
    named = dict(line.split(":=", 1) for line in lines if ":=" in line)
    assert named["Segmentation_ContainedRepresentationNames"] == "Binary labelmap|"
    assert named["Segmentation_SourceRepresentation"] == "Binary labelmap"
    assert named["Segmentation_ReferenceImageExtentOffset"] == "0 0 0"
    labels = sitk.GetArrayFromImage(read_labelmap(labelmap_path(run.labelmaps, key)))
    for number, organ in enumerate(ORGANS):
        segment = {
            name.split("_", 1)[1]: value
            for name, value in named.items()
            if name.startswith(f"Segment{number}_")
        }
        assert segment["ID"] == segment["Name"] == organ.name
        assert segment["LabelValue"] == str(organ.label)
        assert segment["Layer"] == "0"
        assert all(0 <= float(value) <= 1 for value in segment["Color"].split())
        z, y, x = (sorted(set(where)) for where in np.nonzero(labels == organ.label))
        assert segment["Extent"] == f"{x[0]} {x[-1]} {y[0]} {y[-1]} {z[0]} {z[-1]}"
        tag, _, entry = segment["Tags"].rstrip("|").partition(":")
        assert tag == "TerminologyEntry"
        parts = entry.split("~")
        assert len(parts) == 7
        assert all(len(parts[place].split("^")) == 3 for place in (1, 2, 3, 5, 6))
        sided = {"left": "Left", "right": "Right", "none": ""}[organ.side.value]
        assert parts[3].split("^")[2] == sided


def segmentation_of(run: DicomRun, folder: Path, key: str, **more: Any) -> hd.seg.Segmentation:
    summary = extracted(run, folder, Format.DICOM_SEG, scan=[key], **more)
    assert summary.refused == ()
    return hd.seg.segread(folder / f"{key}_seg.dcm")


def labels_in(segmentation: hd.seg.Segmentation) -> sitk.Image:
    """The labels as Organome numbers them, by the names of the segments, on DICOM's own grid."""
    volume = segmentation.get_volume(combine_segments=True)
    table = np.zeros(256, np.uint8)
    for number in segmentation.segment_numbers:
        name = segmentation.get_segment_description(number).SegmentLabel
        table[number] = ORGAN_BY_NAME[name].label
    # highdicom: first axis slices, then rows, then columns; LPS
    image = sitk.GetImageFromArray(table[volume.array])
    matrix = np.asarray(volume.direction)[:, ::-1]
    image.SetDirection(matrix.ravel().tolist())
    image.SetSpacing(tuple(float(one) for one in volume.spacing[::-1]))
    image.SetOrigin(tuple(float(one) for one in volume.position))
    return image


@pytest.mark.parametrize("kind", ["binary", "labelmap"])
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_dicom_gets_every_voxel_at_its_place(
    run: DicomRun, tmp_path: Path, direction: str, kind: Any
) -> None:
    key = KEYS[direction]
    found = labels_in(segmentation_of(run, tmp_path, key, segmentation_type=kind))
    published = read_labelmap(labelmap_path(run.labelmaps, key))
    on_its_grid = sitk.Resample(found, published, sitk.Transform(), sitk.sitkNearestNeighbor, 0)
    np.testing.assert_array_equal(
        sitk.GetArrayFromImage(on_its_grid), sitk.GetArrayFromImage(published)
    )
    assert share_grid(sitk.DICOMOrient(found, "LPS"), sitk.DICOMOrient(published, "LPS"))


def test_dicom_names_structures_by_codes_with_their_side(run: DicomRun, tmp_path: Path) -> None:
    segmentation = segmentation_of(run, tmp_path, KEYS["axial"])
    named = {}
    for segment in segmentation.SegmentSequence:
        (kind,) = segment.SegmentedPropertyTypeCodeSequence
        sides = kind.get("SegmentedPropertyTypeModifierCodeSequence", ())
        named[segment.SegmentLabel] = (kind.CodeValue, *(side.CodeMeaning for side in sides))
    assert set(named) == {organ.name for organ in ORGANS}
    assert len(set(named.values())) == len(ORGANS)
    assert named["left_kidney"] == ("64033007", "Left")
    assert named["right_kidney"] == ("64033007", "Right")
    assert named["liver"] == ("10200004",)


def test_dicom_belongs_to_the_series_and_says_who_made_it(run: DicomRun, tmp_path: Path) -> None:
    segmentation = segmentation_of(run, tmp_path, KEYS["oblique"])
    series = [pydicom.dcmread(path) for path in run.series(3).iterdir()]
    for keyword in ("StudyInstanceUID", "FrameOfReferenceUID", "PatientID"):
        assert segmentation[keyword].value == series[0][keyword].value
    (referred,) = segmentation.ReferencedSeriesSequence
    assert referred.SeriesInstanceUID == series[0].SeriesInstanceUID
    assert segmentation.SeriesInstanceUID != series[0].SeriesInstanceUID
    uids = {one.ReferencedSOPInstanceUID for one in referred.ReferencedInstanceSequence}
    assert uids == {one.SOPInstanceUID for one in series}
    (algorithm,) = segmentation.SegmentSequence[0].SegmentationAlgorithmIdentificationSequence
    assert algorithm.AlgorithmName == "mrsegmentator"  # a labelmap that was given
    assert "scheme mrsegmentator" in segmentation.SegmentSequence[0].SegmentDescription


def test_only_structures_that_are_there_are_segments(tmp_path: Path) -> None:
    run = run_on_series(tmp_path / "run", [AXIAL], n_labels=3)
    segmentation = segmentation_of(run, tmp_path / "out", "0000-0000")
    names = [segment.SegmentLabel for segment in segmentation.SegmentSequence]
    assert names == [organ.name for organ in ORGANS[:3]]
    extracted(run, tmp_path / "out", Format.SEG_NRRD)
    assert set(read_segments(tmp_path / "out" / "0000-0000.seg.nrrd")) == set(names)


def test_an_empty_labelmap_cannot_be_a_dicom_object(tmp_path: Path) -> None:
    run = run_on_series(tmp_path / "run", [AXIAL], n_labels=0)
    summary = extracted(run, tmp_path / "out", Format.DICOM_SEG)
    assert summary.n_written == 0
    assert "no structure was found" in summary.refused[0][1]
    assert not summary.holds
    assert extracted(run, tmp_path / "out", Format.SEG_NRRD).n_written == 1


def test_the_series_can_be_named_by_hand(run: DicomRun, tmp_path: Path) -> None:
    key = KEYS["oblique"]
    given = segmentation_of(run, tmp_path, key, dicom=run.series(3))
    assert given.StudyInstanceUID
    summary = extracted(run, tmp_path, Format.DICOM_SEG, scan=[key], dicom=run.series(0))
    assert "no DICOM series lies on the voxels" in summary.refused[0][1]


def test_an_image_that_came_as_nifti_finds_its_series(run: DicomRun, tmp_path: Path) -> None:
    """Whose axes other programs have turned and flipped."""
    key = KEYS["axial"]
    folder = tmp_path / "results" / "segment_organs" / "0000"
    folder.mkdir(parents=True)
    for name in ("ledger.parquet", "scheme.json"):
        (folder / name).write_bytes((run.labelmaps / name).read_bytes())
    published = read_labelmap(labelmap_path(run.labelmaps, key))
    write_image(labelmap_path(folder, key), sitk.DICOMOrient(published, "SAR"))
    (tmp_path / "scans").symlink_to(run.lists)
    summary = extract.run(
        tmp_path,
        output=tmp_path,
        format=Format.DICOM_SEG,
        scan=[key],
        dicom=run.series(0),
    )
    assert summary.refused == ()
    found = labels_in(hd.seg.segread(tmp_path / f"{key}_seg.dcm"))
    assert sitk.Hash(sitk.DICOMOrient(found, "LPS")) == sitk.Hash(published)


def test_of_several_series_on_the_same_voxels_the_last_is_taken(
    run: DicomRun, tmp_path: Path
) -> None:
    image = read_image(run.results / "prepare_images" / "0000" / f"{KEYS['axial']}_ct.nii.gz")
    for number in (7, 9, 8):
        write_series(tmp_path / "dicom", image, number=number)
    write_series(tmp_path / "dicom", image[:, :, 2:], number=10)
    segmentation = segmentation_of(run, tmp_path / "out", KEYS["axial"], dicom=tmp_path / "dicom")
    (referred,) = segmentation.ReferencedSeriesSequence
    numbers = {
        one.SeriesNumber
        for one in (pydicom.dcmread(path) for path in (tmp_path / "dicom").iterdir())
        if one.SeriesInstanceUID == referred.SeriesInstanceUID
    }
    assert numbers == {9}


def test_a_damaged_labelmap_leaves_only_its_scan_out(
    run: DicomRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged_at_one(format: Format, labelled: Any, *more: Any, **named: Any) -> None:
        if labelled.outcome.scan == KEYS["axial"]:
            raise DamagedFile("damaged since it was published", is_local=False)

    monkeypatch.setattr(extract, "write_as", damaged_at_one)
    summary = extracted(run, tmp_path, Format.NIFTI)
    assert summary.n_written == len(DIRECTIONS) - 1
    assert [key for key, _ in summary.refused] == [KEYS["axial"]]


def test_what_failed_is_named_when_asked_for(run: DicomRun, tmp_path: Path) -> None:
    summary = extracted(run, tmp_path, Format.NIFTI, scan=[FAILED])
    assert summary.n_written == 0
    assert "file_missing" in summary.refused[0][1]
    assert FAILED in str(summary)
    assert not summary.holds


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"scan": ["0000-0999"]}, "--scan 0000-0999: no such scan in .*scans; keys look like"),
        ({"scan": ["0009-0000"]}, "--scan 0009-0000: no such scan"),
        ({"participant": SECRET.upper()}, "--participant: nobody of that name is listed"),
        ({"participant": SECRET, "instance": "9"}, "--instance 9: that participant has 0, 1, 2"),
        ({"instance": "2"}, "--instance: whose"),
        ({"participant": SECRET, "scan": ["0000-0000"]}, "--scan and --participant: name one"),
        ({"format": Format.DICOM_SEG, "dicom": Path("d")}, "--scan"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    run: DicomRun, tmp_path: Path, asked: dict[str, Any], said: str
) -> None:
    with pytest.raises(SetupError, match=said) as caught:
        extract.run(run.folder, output=tmp_path / "out", **asked)
    assert SECRET not in str(caught.value).lower()
    assert not (tmp_path / "out").exists()


def test_a_participant_is_extracted_by_pseudonym_and_by_visit(
    run: DicomRun, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        of_all = extract.run(run.folder, output=tmp_path / "all", participant=SECRET)
        of_one = extract.run(run.folder, output=tmp_path / "one", participant=SECRET, instance="2")
    assert (of_all.n_written, [key for key, _ in of_all.refused]) == (len(DIRECTIONS), [FAILED])
    assert of_one.n_written == 1
    assert names(tmp_path / "one") == {f"{KEYS['coronal']}_labels.nii.gz"}
    assert SECRET not in f"{caplog.text} {of_all} {of_one}"


def test_a_fault_of_the_machine_is_not_taken_for_a_damaged_labelmap(
    run: DicomRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(*_: Any, **_named: Any) -> None:
        raise MachineFault("disk: No space left on device")

    monkeypatch.setattr(extract, "write_as", no_space)
    with pytest.raises(MachineFault, match="No space"):
        extracted(run, tmp_path, Format.NIFTI)


def test_a_scan_that_is_not_segmented_yet_is_named(run: DicomRun, tmp_path: Path) -> None:
    (tmp_path / "scans").symlink_to(run.lists)
    summary = extract.run(tmp_path, output=tmp_path / "out", scan=[KEYS["axial"]])
    assert (summary.n_written, summary.holds) == (0, False)
    assert f"{KEYS['axial']}: not segmented yet" in str(summary)


def test_nothing_published_is_said(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    with pytest.raises(SetupError, match="no labelmaps yet"):
        extract.run(tmp_path, output=tmp_path)


def test_no_log_line_names_a_participant_or_a_path(
    run: DicomRun, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        summary = extracted(run, tmp_path, Format.DICOM_SEG)
    lines = [record.getMessage() for record in caplog.records]
    assert sum("event=extracted" in line for line in lines) == len(DIRECTIONS)
    assert SECRET not in "\n".join([*lines, str(summary)])


def test_body_composition_is_called_by_its_own_names(tmp_path: Path) -> None:
    structures = scheme_by_name("body_composition").structures
    run = run_on_series(
        tmp_path / "run",
        [AXIAL],
        n_labels=len(structures),
        scheme="body_composition",
        contrast=Contrast.T1,
    )
    segmentation = segmentation_of(run, tmp_path / "out", "0000-0000")
    named = [structure.name for structure in structures]
    assert [segment.SegmentLabel for segment in segmentation.SegmentSequence] == named
    kinds = [
        segment.SegmentedPropertyTypeCodeSequence[0] for segment in segmentation.SegmentSequence
    ]
    assert (kinds[0].CodingSchemeDesignator, kinds[0].CodeValue) == ("SCT", "67769002")
    assert (kinds[1].CodingSchemeDesignator, kinds[1].CodeValue) == ("99ORGANOME", "visceral_fat")
    extracted(run, tmp_path / "out", Format.SEG_NRRD)
    segments = read_segments(tmp_path / "out" / "0000-0000.seg.nrrd")
    assert segments == {structure.name: structure.label for structure in structures}

"""Labelmaps as other programs store them: put onto the image, or refused with the reason.

Source: public threads, named at each test.
"""

import gzip
from collections.abc import Mapping
from datetime import datetime
from itertools import permutations, product
from pathlib import Path
from typing import Any

import highdicom as hd
import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian

from doubles.dicom_files import encode_slice
from doubles.odd_niftis import nifti_file
from organome.compute.geometry.grids import share_grid
from organome.compute.geometry.turning import onto_grid
from organome.domain.errors import ScanError
from organome.domain.flags import Flag
from organome.domain.organs import ORGAN_BY_NAME
from organome.domain.outcomes import Outcome, Reason, Status
from organome.domain.rows import scan_row
from organome.domain.scans import Contrast, Scan, Source
from organome.domain.schemes import AMOS22, MRSEGMENTATOR, TOTALSEGMENTATOR_CT, LabelScheme
from organome.io.files.cohort_roots import ANYWHERE
from organome.io.images.image_files import read_delivered, read_image, write_image
from organome.io.images.labelmaps import write_labelmap
from organome.io.viewers.dicom_segmentations import (
    Origin,
    read_headers,
    write_dicom_segmentation,
)
from organome.io.viewers.slicer import write_slicer_segmentation
from organome.steps.segment.labelling import Labelling
from organome.steps.segment.take_labelmaps import TakeLabelmaps

SIZE_XYZ = (12, 10, 8)
SPACING_MM = (2.0, 2.5, 3.0)
ORIGIN_MM = (-30.0, 40.0, 1000.0)
LIVER, SPLEEN = ORGAN_BY_NAME["liver"], ORGAN_BY_NAME["spleen"]
AMOS_LIVER = next(value for value, name in AMOS22.classes.items() if name == "liver")
AMOS_SPLEEN = next(value for value, name in AMOS22.classes.items() if name == "spleen")


def _rotation(seed: int) -> Any:
    if seed == 0:
        return np.eye(3)
    turn, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    turn[:, 0] *= np.linalg.det(turn)
    return turn


def _image(voxels_zyx: Any, direction: Any = None, origin: Any = ORIGIN_MM) -> sitk.Image:
    image = sitk.GetImageFromArray(voxels_zyx)
    image.SetSpacing(SPACING_MM)
    image.SetOrigin(origin)
    image.SetDirection((np.eye(3) if direction is None else direction).ravel().tolist())
    return image


def _noise() -> Any:
    return np.random.default_rng(0).integers(0, 99, SIZE_XYZ[::-1]).astype(np.int16)


def _labels() -> Any:
    """Liver and spleen of AMOS22, alike under no turn."""
    labels = np.zeros(SIZE_XYZ[::-1], np.uint8)
    labels[1:4, 2:7, 3:9] = AMOS_LIVER
    labels[5:7, 6:8, 9:11] = AMOS_SPLEEN
    return labels


def _our_labels() -> Any:
    """The same by our own labels."""
    labels = np.where(_labels() == AMOS_LIVER, LIVER.label, 0).astype(np.uint8)
    labels[_labels() == AMOS_SPLEEN] = SPLEEN.label
    return labels


def _stored(image: sitk.Image, order: tuple[int, ...], flips: tuple[bool, ...]) -> sitk.Image:
    """The same voxels at the same places, axes exchanged and then flipped."""
    steps = np.reshape(image.GetDirection(), (3, 3))[:, order]
    spacing = np.array(image.GetSpacing())[list(order)]
    origin = np.array(image.GetOrigin())
    voxels_xyz = sitk.GetArrayFromImage(image).T.transpose(order)
    for axis, is_flipped in enumerate(flips):
        if is_flipped:
            origin = origin + steps[:, axis] * spacing[axis] * (voxels_xyz.shape[axis] - 1)
            steps[:, axis] *= -1
            voxels_xyz = np.flip(voxels_xyz, axis)
    stored = sitk.GetImageFromArray(np.ascontiguousarray(voxels_xyz.T))
    stored.SetSpacing(spacing.tolist())
    stored.SetOrigin(origin.tolist())
    stored.SetDirection(steps.ravel().tolist())
    return stored


class Taken:
    """The step on one scan, without a shard."""

    def __init__(self, folder: Path, image: sitk.Image, scheme: LabelScheme = AMOS22) -> None:
        self.folder = folder
        write_image(folder / "0000-0000_t1.nii.gz", image)
        labelling = Labelling(images=folder, scheme=scheme, contrasts=(Contrast.T1,))
        self.step = TakeLabelmaps(labelling, ANYWHERE)

    def take(self, path: Path) -> Mapping[str, Any]:
        source = (Source("a.nii", Contrast.T1),)
        scan = Scan("0000-0000", "c", "p", "1", "0", "mr", source, labelmap=str(path))
        facts = {"contrasts": ["t1"], "flags": ["affine_identity"]}
        self.before = Outcome("0000-0000", "prepare_images", Status.DONE, "x", facts=facts)
        found = self.step.run_scan(scan, self.before, lambda name: self.folder / name)
        after = Outcome("0000-0000", "segment_organs", Status.DONE, "x", facts=found)
        self.flags = scan_row(scan, after, [self.before, after])["flags"].split(";")
        return found

    def labels(self, path: Path) -> Any:
        self.take(path)
        return sitk.GetArrayFromImage(read_image(self.folder / "labels.nii.gz", constant=True))

    def refusal(self, path: Path) -> ScanError:
        with pytest.raises(ScanError) as caught:
            self.take(path)
        assert "labelmap" in caught.value.fact
        assert str(self.folder) not in caught.value.fact
        return caught.value


def _check_organs(labels_zyx: Any) -> None:
    np.testing.assert_array_equal(labels_zyx == LIVER.label, _labels() == AMOS_LIVER)
    np.testing.assert_array_equal(labels_zyx == SPLEEN.label, _labels() == AMOS_SPLEEN)


@pytest.mark.odd_input(
    "N-8",
    make="labelmap of the image's own world grid in any of 48 orientations, oblique or not",
    source="pyradiomics 482, 763",
    outcome="turned onto the image, flag `labelmap_turned`; nothing is interpolated",
)
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_any_storage_of_the_same_grid(order: tuple[int, ...], seed: int) -> None:
    image = _image(_noise(), _rotation(seed))
    for flips in product((False, True), repeat=3):
        stored = _stored(_image(_labels(), _rotation(seed)), order, flips)
        turned = onto_grid(stored, image)
        np.testing.assert_array_equal(sitk.GetArrayFromImage(turned), _labels())
        assert turned.GetDirection() == image.GetDirection()
        assert turned.GetOrigin() == image.GetOrigin()


@pytest.mark.odd_input(
    "N-17",
    make="labelmap on dcm2niix's storage of the image's DICOM series (rows flipped)",
    source="what TotalSegmentator writes",
    outcome="turned onto the image, flag `labelmap_turned` beside those of the image",
)
def test_storage_of_dcm2niix(tmp_path: Path) -> None:
    taken = Taken(tmp_path, _image(_noise()))
    affine = np.diag([-2.0, 2.5, 3.0, 1])
    affine[:3, 3] = -ORIGIN_MM[0], -(ORIGIN_MM[1] + 9 * 2.5), ORIGIN_MM[2]
    nib.save(nib.Nifti1Image(_labels().T[:, ::-1], affine), tmp_path / "a.nii.gz")
    _check_organs(taken.labels(tmp_path / "a.nii.gz"))
    assert taken.flags == ["affine_identity", "labelmap_turned"]


@pytest.mark.odd_input(
    "N-25",
    make="labelmap moved by half a voxel, turned by 5 degrees, of another spacing or size",
    source="pyradiomics 482",
    outcome="`labelmap_off_grid`, with the distance in mm",
)
def test_off_grid(tmp_path: Path) -> None:
    taken = Taken(tmp_path, _image(_noise()))
    path = tmp_path / "a.nii.gz"
    moved = _image(_labels(), origin=(ORIGIN_MM[0] + 1, *ORIGIN_MM[1:]))
    angle = np.radians(5)
    turn = np.eye(3)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    wider = _image(_labels())
    wider.SetSpacing((2.2, 2.5, 3.0))
    for labels, fact in (
        (moved, "1.00 mm off"),
        (_stored(moved, (2, 0, 1), (True, False, True)), "1.00 mm off"),
        (_image(_labels(), turn), "mm off"),
        (wider, "2.20 mm off"),
        (_image(_labels()[:, 1:]), "another size"),
        (_image(_labels().transpose(2, 1, 0)), "another size"),
    ):
        write_image(path, labels)
        error = taken.refusal(path)
        assert error.reason is Reason.LABELMAP_OFF_GRID
        assert fact in error.fact


def _qform_only(image: sitk.Image) -> bytes:
    """A NIfTI of the labels on the grid of an image, by its qform alone."""
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    affine = np.diag([-1.0, -1, 1, 1]) @ affine
    return nifti_file(sitk.GetArrayFromImage(image).T, affine, codes=(1, 0))


@pytest.mark.odd_input(
    "N-66",
    make="labelmap of a large grid near half a turn, by its qform alone: single precision turns it "
    "by hundredths of a degree, 0.3 mm at a corner",
    source="nifti1.h (the real part of the quaternion is what the others leave of 1), own",
    outcome="put onto the image; moved by more than rounding does: `labelmap_off_grid`",
)
@pytest.mark.parametrize("tilt_deg", [0.0, 0.02, 0.05, 0.3, 5])
def test_a_qform_that_is_rounded(tmp_path: Path, tilt_deg: float) -> None:
    size = (600, 2, 600)
    turn = np.radians(180 + tilt_deg)
    about_y = np.array(
        [[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]]
    )
    image = sitk.Image(size, sitk.sitkUInt8)
    image.SetSpacing((0.6, 6, 0.6))
    image.SetOrigin((-123.4, 56.7, 987654.3))
    image.SetDirection((np.diag([-1.0, -1, 1]) @ about_y).ravel().tolist())
    path = tmp_path / "a.nii"
    path.write_bytes(_qform_only(image))
    read = read_delivered(path, constant=True)
    assert read.place_error_mm < 1.2
    assert share_grid(read.image, image) is (tilt_deg not in (0.02, 0.05))
    turned = onto_grid(read.image, image, error_mm=read.place_error_mm)
    assert turned.GetDirection() == image.GetDirection()
    moved = sitk.Image(read.image)
    moved.SetOrigin(np.add(read.image.GetOrigin(), (0, 0, 1.8)).tolist())
    with pytest.raises(ScanError) as caught:
        onto_grid(moved, image, error_mm=read.place_error_mm)
    assert caught.value.reason is Reason.LABELMAP_OFF_GRID


@pytest.mark.odd_input(
    "N-7",
    make="labels through float and back: 2.99992; interpolated ones",
    source="nibabel 1344, petprep 152, SCT 3232",
    outcome="rounded within half a step of the header's slope, flag `labels_rounded`; "
    "`label_unknown` if interpolated",
)
def test_labels_beside_whole_numbers(tmp_path: Path) -> None:
    grid = np.diag([-2.0, -2.5, 3.0, 1])
    grid[:3, 3] = -ORIGIN_MM[0], -ORIGIN_MM[1], ORIGIN_MM[2]
    path = tmp_path / "a.nii"
    for stored, slope in (
        (_labels().T * 0.99998, 1),
        (np.rint(_labels().T / 0.059), 0.059),
        (np.rint(_labels().T / 0.00045), 0.00045),
    ):
        taken = Taken(tmp_path, _image(_noise()))
        kind = np.float32 if slope == 1 else np.int16
        path.write_bytes(nifti_file(stored.astype(kind), grid, scl_slope=slope))
        _check_organs(taken.labels(path))
        assert Flag.LABELS_ROUNDED in taken.flags
    blurred = sitk.SmoothingRecursiveGaussian(sitk.Cast(_image(_labels()), sitk.sitkFloat32), 2.0)
    write_image(tmp_path / "b.nii.gz", blurred)
    assert taken.refusal(tmp_path / "b.nii.gz").reason is Reason.LABEL_UNKNOWN
    coarse = np.rint(sitk.GetArrayFromImage(blurred).T / 0.3).astype(np.int16)
    path.write_bytes(nifti_file(coarse, grid, scl_slope=0.3))
    assert taken.refusal(path).reason is Reason.LABEL_UNKNOWN


SLICER = """\
Segment0_ID:=Segment_1
Segment0_LabelValue:={}
Segment0_Layer:={}
Segment0_Name:={}
Segment1_ID:=Segment_2
Segment1_LabelValue:={}
Segment1_Layer:={}
Segment1_Name:={}
"""


def _seg_nrrd(voxels: Any, keys: str, origin: Any = ORIGIN_MM) -> bytes:
    """A NRRD as Slicer writes it; voxels along layer, x, y, z or x, y, z."""
    n_layers = voxels.ndim - 3
    size = " ".join(map(str, voxels.shape))
    header = (
        f"NRRD0004\ntype: unsigned char\ndimension: {voxels.ndim}\n"
        f"space: left-posterior-superior\nsizes: {size}\n"
        f"space directions: {'none ' * n_layers}(2,0,0) (0,2.5,0) (0,0,3)\n"
        f"kinds: {'list ' * n_layers}domain domain domain\nencoding: raw\n"
        f"space origin: ({','.join(map(str, origin))})\n{keys}\n"
    )
    return header.encode() + voxels.astype(np.uint8).tobytes(order="F")


@pytest.mark.odd_input(
    "N-9",
    make=".seg.nrrd whose segment names contradict the values of the scheme; unknown names",
    source="MONAILabel 766, Slicer 4886",
    outcome="names win, whatever their order of words; `label_unknown` for unknown ones",
)
@pytest.mark.parametrize("names", [("spleen", "liver"), ("Spleen", " LIVER ")])
def test_names_of_segments_win(tmp_path: Path, names: tuple[str, str]) -> None:
    taken = Taken(tmp_path, _image(_noise()))
    path = tmp_path / "a.seg.nrrd"
    # 1 is the spleen, 6 the liver in AMOS22.
    renumbered = np.where(_labels() == AMOS_LIVER, 1, np.where(_labels() == AMOS_SPLEEN, 6, 0)).T
    path.write_bytes(_seg_nrrd(renumbered, SLICER.format(6, 0, names[0], 1, 0, names[1])))
    _check_organs(taken.labels(path))
    path.write_bytes(_seg_nrrd(renumbered, SLICER.format(6, 0, names[0], 1, 0, "Hans Mueller")))
    error = taken.refusal(path)
    assert error.reason is Reason.LABEL_UNKNOWN
    assert "value 1 " in error.fact
    assert "Mueller" not in error.fact
    path.write_bytes(_seg_nrrd(renumbered, SLICER.format(1, 0, names[0], 1, 0, names[1])))
    assert taken.refusal(path).reason is Reason.LABEL_UNKNOWN


@pytest.mark.odd_input(
    "N-26",
    make=".seg.nrrd in layers, as of MONAI Label without values, overlapping, or cut to its labels",
    source="Slicer developer guide, monailabel's writer",
    outcome="one labelmap on the image's grid; `not_3d` if voxels have two labels",
)
def test_layers_of_segments(tmp_path: Path) -> None:
    taken = Taken(tmp_path, _image(_noise()))
    path = tmp_path / "a.seg.nrrd"
    layers = np.stack([_labels().T == AMOS_SPLEEN, _labels().T == AMOS_LIVER])
    path.write_bytes(_seg_nrrd(layers, SLICER.format(1, 0, "spleen", 1, 1, "liver")))
    _check_organs(taken.labels(path))
    monai = "Segment0_ID:=a\nSegment0_Name:=spleen\nSegment1_ID:=b\nSegment1_Name:=liver\n"
    path.write_bytes(_seg_nrrd(layers, monai))
    _check_organs(taken.labels(path))
    layers[0, 4, 4, 2] = True
    path.write_bytes(_seg_nrrd(layers, monai))
    assert taken.refusal(path).reason is Reason.NOT_3D
    cut = _labels().T[3:11, 2:8, 1:7]
    origin = np.add(ORIGIN_MM, np.multiply((3, 2, 1), SPACING_MM))
    keys = SLICER.format(AMOS_SPLEEN, 0, "spleen", AMOS_LIVER, 0, "liver")
    path.write_bytes(_seg_nrrd(cut, keys, origin))
    _check_organs(taken.labels(path))
    path.write_bytes(_seg_nrrd(cut, keys, np.add(origin, (20, 0, 0))))
    assert taken.refusal(path).reason is Reason.LABELMAP_OFF_GRID


def test_own_slicer_segmentation_comes_back(tmp_path: Path) -> None:
    extents = dict.fromkeys((LIVER.label, SPLEEN.label), (0, 11, 0, 9, 0, 7))
    path = tmp_path / "a.seg.nrrd"
    write_slicer_segmentation(path, _image(_our_labels()), [LIVER, SPLEEN], extents)
    for scheme in (MRSEGMENTATOR, AMOS22, TOTALSEGMENTATOR_CT):
        _check_organs(Taken(tmp_path, _image(_noise()), scheme).labels(path))


@pytest.mark.odd_input(
    "N-27",
    make="NIfTI with a label table (TotalSegmentator, Workbench) that contradicts the scheme",
    source="own, beside MONAILabel 766",
    outcome="names win; `label_unknown` for unknown ones that have voxels",
)
def test_names_in_a_nifti_win(tmp_path: Path) -> None:
    path = tmp_path / "a.nii.gz"
    write_labelmap(path, _image(_our_labels()), MRSEGMENTATOR)
    assert AMOS22.classes[LIVER.label] != "liver"
    for scheme in (AMOS22, MRSEGMENTATOR, TOTALSEGMENTATOR_CT):
        _check_organs(Taken(tmp_path, _image(_noise()), scheme).labels(path))
    assert read_delivered(path, constant=True).names[LIVER.label] == "liver"
    content = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(content.replace(b">liver<", b">lever<")))
    error = Taken(tmp_path, _image(_noise()), MRSEGMENTATOR).refusal(path)
    assert error.reason is Reason.LABEL_UNKNOWN
    assert "lever" not in error.fact
    path.write_bytes(gzip.compress(content.replace(b">heart<", b">haert<")))
    _check_organs(Taken(tmp_path, _image(_noise()), MRSEGMENTATOR).labels(path))


def test_names_of_real_labelmaps_are_those_of_their_scheme() -> None:
    path = Path(__file__).parents[3] / "shared/data/real/example_seg.nii.gz"
    if not path.exists():
        pytest.skip("no real labelmap in ../shared/data/real")
    names = read_delivered(path, constant=True).names
    assert names
    assert names.items() <= TOTALSEGMENTATOR_CT.classes.items()


def _series(uid: str = "1.2.3") -> dict[str, bytes]:
    """The image as a series of CT slices."""
    return {
        f"{place}.dcm": encode_slice(
            plane.astype(np.uint16),
            syntax=ExplicitVRLittleEndian,
            SOPInstanceUID=f"{uid}.{place}",
            SeriesInstanceUID=uid,
            StudyInstanceUID="1.2",
            FrameOfReferenceUID="1.2.9",
            InstanceNumber=place + 1,
            Modality="CT",
            ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
            ImagePositionPatient=[*ORIGIN_MM[:2], ORIGIN_MM[2] + 3.0 * place],
            PixelSpacing=[2.5, 2.0],
            SliceThickness=3,
        )
        for place, plane in enumerate(_noise())
    }


@pytest.mark.odd_input(
    "N-28",
    make="DICOM SEG, binary or labelmap, of fewer slices than the image; another object",
    source="DICOM PS3.3 A.51",
    outcome="a labelmap by the names of its segments; `format_unknown` for other objects",
)
@pytest.mark.parametrize("kind", ["binary", "labelmap"])
def test_dicom_segmentation(tmp_path: Path, kind: Any) -> None:
    files = _series()
    headers = read_headers(files.items(), list(files))
    path = tmp_path / "seg" / "a.dcm"
    path.parent.mkdir()
    write_dicom_segmentation(
        path,
        _our_labels(),
        headers,
        structures=[SPLEEN, LIVER],
        origin=Origin("x", "1", datetime(2020, 1, 1), "x"),
        kind=kind,
    )
    taken = Taken(tmp_path, _image(_noise()))
    _check_organs(taken.labels(path))
    _check_organs(taken.labels(path.parent))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert taken.refusal(path).reason is Reason.FILE_BROKEN
    path.write_bytes(files["0.dcm"])
    assert taken.refusal(path).reason is Reason.FORMAT_UNKNOWN
    (path.parent / "b.dcm").write_bytes(whole)
    assert taken.refusal(path.parent).reason is Reason.FORMAT_UNKNOWN


@pytest.mark.odd_input(
    "N-30",
    make="DICOM SEG whose segments overlap, of fractions, or whose frames lie kilometres apart",
    source="DICOM PS3.3 A.51",
    outcome="`not_3d`, `format_unknown`, `geometry_implausible`",
)
def test_dicom_segmentations_that_are_no_labelmap(tmp_path: Path) -> None:
    headers = read_headers(_series().items(), list(_series()))
    overlapping = np.zeros((*SIZE_XYZ[::-1], 2), np.uint8)
    overlapping[2:4, 2:6, 2:6] = 1
    apart = np.zeros(SIZE_XYZ[::-1], np.uint8)
    apart[2:4, 2:6, 2:6] = 1
    path = tmp_path / "a.dcm"
    for voxels, kind, reason in (
        (overlapping, "BINARY", Reason.NOT_3D),
        (apart.astype(np.float32) / 2, "FRACTIONAL", Reason.FORMAT_UNKNOWN),
        (apart, "BINARY", Reason.GEOMETRY_IMPLAUSIBLE),
    ):
        made = _segmentation(headers, voxels, kind)
        if reason is Reason.GEOMETRY_IMPLAUSIBLE:
            made.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[
                0
            ].SpacingBetweenSlices = 0.001
            position = made.PerFrameFunctionalGroupsSequence[1].PlanePositionSequence[0]
            position.ImagePositionPatient = [*ORIGIN_MM[:2], 9e5]
        made.save_as(path)
        assert Taken(tmp_path, _image(_noise())).refusal(path).reason is reason


def _segmentation(headers: Any, voxels: Any, kind: str) -> hd.seg.Segmentation:
    coded = hd.sr.CodedConcept("10200004", "SCT", "Liver")
    algorithm = hd.AlgorithmIdentificationSequence("x", codes.cid7162.ArtificialIntelligence, "1")
    n_segments = voxels.shape[3] if voxels.ndim == 4 else 1
    described = [
        hd.seg.SegmentDescription(
            n + 1, ("liver", "spleen")[n], coded, coded, "AUTOMATIC", algorithm
        )
        for n in range(n_segments)
    ]
    return hd.seg.Segmentation(
        source_images=headers,
        pixel_array=voxels,
        segmentation_type=kind,
        segment_descriptions=described,
        series_instance_uid="1.2.4",
        series_number=1,
        sop_instance_uid="1.2.4.1",
        instance_number=1,
        manufacturer="x",
        manufacturer_model_name="x",
        software_versions="1",
        device_serial_number="1",
    )


@pytest.mark.odd_input(
    "N-19",
    make="labelmap that is missing, not fetched, broken, 4D, of unknown values",
    source="own",
    outcome="`labelmap_missing`, or the reason of the fault; the fact says that it is the labelmap",
)
def test_the_fact_says_that_it_is_the_labelmap(tmp_path: Path) -> None:
    taken = Taken(tmp_path, _image(_noise()))
    assert taken.refusal(tmp_path / "gone.nii.gz").reason is Reason.LABELMAP_MISSING
    assert taken.refusal(tmp_path / "gone.dcm").reason is Reason.LABELMAP_MISSING
    path = tmp_path / "a.nii.gz"
    path.write_bytes(b"/annex/objects/SHA256E-s5--4d7a.nii.gz\n")
    assert taken.refusal(path).reason is Reason.CONTENT_NOT_FETCHED
    path.write_bytes(nifti_file(np.zeros((9, 9, 9, 2), np.uint8)))
    assert taken.refusal(path).reason is Reason.NOT_3D
    path.write_bytes(nifti_file(codes=(0, 0)))
    assert taken.refusal(path).reason is Reason.ORIENTATION_UNKNOWN
    write_image(path, _image(np.full(SIZE_XYZ[::-1], 77, np.uint8)))
    assert taken.refusal(path).reason is Reason.LABEL_UNKNOWN

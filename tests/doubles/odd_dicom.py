"""Series of DICOM files as they are delivered now and then, and how they are read."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pydicom
import SimpleITK as sitk
from pydicom.dataset import Dataset
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
)

from doubles.dicom_files import encode_slice
from organome.cohorts.dicom_series import choose_single_series
from organome.domain.flags import Flag
from organome.domain.scans import Contrast, MissingRescale
from organome.io.dicom.slices import parse_files
from organome.io.dicom.voxels import stack_slices

Files: TypeAlias = dict[str, bytes]
Voxels: TypeAlias = npt.NDArray[Any]

SIZE_YX = (36, 40)
STEP_MM = 3.0


def stored_values(n: int = 20, *, seed: int = 0, high: int = 4096) -> Voxels:
    """Noise of unsigned 12 bits, ``n`` slices of 36 x 40."""
    return np.random.default_rng(seed).integers(0, high, (n, *SIZE_YX)).astype(np.uint16)


def series(
    voxels_zyx: Voxels,
    *,
    first: int = 0,
    instance: int = 1,
    prefix: str = "",
    modality: str = "CT",
    syntax: str = ExplicitVRLittleEndian,
    **elements: Any,
) -> Files:
    """A series of slices 3 mm apart, a CT unless it says otherwise.

    Args:
        voxels_zyx: Stored values.
        first: Place of the first slice in the stack, in steps.
        instance: Number of the first slice.
        prefix: Of the names of the files, and part of their UIDs.
        modality: CT, MR or anything else.
        syntax: Transfer syntax; of uncompressed voxels.
        elements: DICOM keywords; None leaves one out, a function is asked for that of each slice.
    """
    standard: dict[str, Any] = {
        "SOPClassUID": CTImageStorage if modality == "CT" else MRImageStorage,
        "Modality": modality,
        "SeriesInstanceUID": "1.2",
        "SeriesNumber": 1,
        "SeriesDescription": "abdomen",
        "ImageType": ["ORIGINAL", "PRIMARY"],
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "PixelSpacing": [2.0, 2.0],
        "SliceThickness": STEP_MM,
    }
    if modality == "CT":
        standard |= {"RescaleSlope": 1, "RescaleIntercept": -1024}
    files = {}
    for index, plane in enumerate(voxels_zyx):
        own = {
            key: value(index) if callable(value) else value
            for key, value in (standard | elements).items()
        }
        number = instance + index
        place = {
            "SOPInstanceUID": f"1.2.{number}",
            "InstanceNumber": number,
            "ImagePositionPatient": [0.0, 0.0, STEP_MM * (first + index)],
        }
        files[f"{prefix}{number:03d}.dcm"] = encode_slice(plane, syntax=syntax, **(place | own))
    return files


def changed(content: bytes, **elements: Any) -> bytes:
    """Change elements of a DICOM file; None removes one."""
    dataset = pydicom.dcmread(BytesIO(content))
    for keyword, value in elements.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    changed_content = BytesIO()
    dataset.save_as(changed_content)
    return changed_content.getvalue()


class ReadSeries:
    """What is made of the files of a folder.

    Attributes:
        image: The image.
        flags: What was odd.
        n_left_out: Files that are not slices.
        scalings: How stored values became intensities.
    """

    def __init__(
        self,
        files: Mapping[str, bytes],
        contrast: Contrast | None = Contrast.CT,
        missing_rescale: MissingRescale = MissingRescale.REFUSE,
    ) -> None:
        found = parse_files(files.items())
        slices = {one.header: one for one in found.slices}
        chosen = choose_single_series(slices, contrast)
        stack = stack_slices(
            [slices[one] for one in chosen.series.slices],
            hounsfield=chosen.contrast is Contrast.CT,
            missing_rescale=missing_rescale,
        )
        self.image: sitk.Image = stack.image
        self.flags: frozenset[Flag] = found.flags | chosen.flags | stack.flags
        self.n_left_out = found.n_left_out
        self.scalings = stack.scalings
        self.header = chosen.series.first

    @property
    def voxels_zyx(self) -> Voxels:
        """Its voxels."""
        voxels_zyx: Voxels = sitk.GetArrayFromImage(self.image)
        return voxels_zyx


def enhanced(
    voxels_zyx: Voxels,
    *,
    order: Sequence[int],
    modality: str = "MR",
    echo_ms: Sequence[float] | None = None,
    is_shared: bool = True,
    **elements: Any,
) -> bytes:
    """An enhanced multi-frame object as Siemens XA and Philips write it.

    Args:
        voxels_zyx: Stored values of the stack, one plane a frame.
        order: Which plane each frame is.
        modality: MR or CT.
        echo_ms: Effective echo time of each frame.
        is_shared: Whether orientation, spacing and rescaling are in the groups that all share.
        elements: DICOM keywords of the file.
    """

    def sequence(**inner: Any) -> list[Dataset]:
        item = Dataset()
        for keyword, value in inner.items():
            setattr(item, keyword, value)
        return [item]

    def common() -> Dataset:
        group = Dataset()
        group.PlaneOrientationSequence = sequence(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
        group.PixelMeasuresSequence = sequence(PixelSpacing=[2.0, 2.0], SliceThickness=STEP_MM)
        group.PixelValueTransformationSequence = sequence(
            RescaleSlope=2 if modality == "MR" else 1,
            RescaleIntercept=0 if modality == "MR" else -1024,
            RescaleType="US" if modality == "MR" else "HU",
        )
        return group

    frames = []
    for frame, place in enumerate(order):
        group = Dataset() if is_shared else common()
        group.PlanePositionSequence = sequence(ImagePositionPatient=[0.0, 0.0, STEP_MM * place])
        group.FrameContentSequence = sequence(
            StackID="1",
            InStackPositionNumber=place + 1,
            FrameAcquisitionDateTime=f"202001011200{frame:02d}",
        )
        if echo_ms is not None:
            group.MREchoSequence = sequence(EffectiveEchoTime=echo_ms[frame])
        frames.append(group)
    (content,) = series(
        voxels_zyx[:1],
        modality=modality,
        RescaleSlope=None,
        RescaleIntercept=None,
        ImagePositionPatient=None,
        ImageOrientationPatient=None,
        PixelSpacing=None,
        NumberOfFrames=len(order),
        FrameOfReferenceUID="1.4",
        SOPClassUID=EnhancedMRImageStorage if modality == "MR" else EnhancedCTImageStorage,
        SharedFunctionalGroupsSequence=[common() if is_shared else Dataset()],
        PerFrameFunctionalGroupsSequence=frames,
        PixelData=voxels_zyx[list(order)].tobytes(),
        **elements,
    ).values()
    return content

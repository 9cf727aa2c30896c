"""Write images as series of single-slice DICOM files, the same bytes every time.

Identifiers are digests of a seed, times come from the caller, and the name of the implementation
is fixed, so that neither the clock nor the version of pydicom shows in a file.

Source: DICOM PS3.3 C.7.6.2 (image plane), C.8.2 and C.8.3 (CT and MR image); PS3.5 A.2 (explicit
VR little endian).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from io import BytesIO
from typing import Any, Final

import numpy as np
import pydicom
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    generate_uid,
)
from pydicom.valuerep import DSfloat

IMPLEMENTATION_UID: Final = generate_uid(entropy_srcs=["organome", "dicom_writing"])
STORAGE_CLASSES: Final = {"MR": MRImageStorage, "CT": CTImageStorage}
MAX_STORED: Final = 65535


@dataclass(frozen=True, slots=True)
class Examination:
    """What all series of one visit to the scanner share.

    Attributes:
        uid_seed: All identifiers are digests of it; another seed gives other identifiers.
        participant: Pseudonym, as PatientID.
        sex: ``female`` or ``male``.
        age_years: Age on the day.
        height_m: Height.
        weight_kg: Weight.
        started: Day and time of the examination.
        equipment: DICOM keywords of scanner and site, such as ``Manufacturer``.
    """

    uid_seed: str
    participant: str
    sex: str
    age_years: float
    height_m: float
    weight_kg: float
    started: datetime
    equipment: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SeriesHeader:
    """What all slices of one series share.

    Attributes:
        examination: The visit that it belongs to.
        modality: ``MR`` or ``CT``.
        number: SeriesNumber.
        description: SeriesDescription.
        image_type: ImageType.
        started: Day and time at which the series was acquired.
        acquisition: DICOM keywords of the acquisition, such as ``EchoTime``.
        rescale_intercept: What readers add to a stored value; None leaves the rescaling out.
    """

    examination: Examination
    modality: str
    number: int
    description: str
    image_type: tuple[str, ...]
    started: datetime
    acquisition: Mapping[str, Any] = field(default_factory=dict)
    rescale_intercept: int | None = None


@dataclass(frozen=True, slots=True)
class DicomFile:
    """One slice as it stands on disk.

    Attributes:
        name: SOP instance UID with ``.dcm``, as scanners and biobanks name files.
        series_uid: SeriesInstanceUID.
        content: The bytes of the file.
    """

    name: str
    series_uid: str
    content: bytes


def encode_series(
    image: sitk.Image, header: SeriesHeader, *, slice_order: Sequence[int] | None = None
) -> Iterator[DicomFile]:
    """Encode an image as one DICOM file per slice.

    Args:
        image: Integer voxels and grid (LPS), 3D, any direction. Its z axis becomes the stack.
        header: What all slices share.
        slice_order: Slice indices in the order of their instance numbers, from 1 on; all slices,
            upwards, if None. Slices left out are not written. Positions never change with it.

    Yields:
        The files in the order of their instance numbers.

    Raises:
        ValueError: If the image is not 3D, or a stored value is not an integer from 0 to 65535.
    """
    stored_zyx = _stored_voxels(image, header.rescale_intercept or 0)
    template = _series_template(image, header)
    normal = np.cross(*np.reshape(_orientation(image), (2, 3)))
    for number, index in enumerate(slice_order or range(len(stored_zyx)), start=1):
        position = np.asarray(image.TransformIndexToPhysicalPoint((0, 0, int(index))))
        sop_uid = _uid(template.SeriesInstanceUID, str(index))
        template.file_meta.MediaStorageSOPInstanceUID = sop_uid
        template.SOPInstanceUID = sop_uid
        template.InstanceNumber = number
        template.ImagePositionPatient = [_decimal(value) for value in position]
        template.SliceLocation = _decimal(float(position @ normal))
        template.PixelData = stored_zyx[index].tobytes()
        buffer = BytesIO()
        pydicom.dcmwrite(buffer, template, enforce_file_format=True)
        yield DicomFile(f"{sop_uid}.dcm", template.SeriesInstanceUID, buffer.getvalue())


def _stored_voxels(image: sitk.Image, intercept: int) -> NDArray[np.uint16]:
    voxels_zyx = sitk.GetArrayViewFromImage(image)
    if voxels_zyx.ndim != 3 or not np.issubdtype(voxels_zyx.dtype, np.integer):
        raise ValueError(f"{voxels_zyx.ndim}D image of {voxels_zyx.dtype}, 3D of integers needed")
    lowest, highest = int(voxels_zyx.min()) - intercept, int(voxels_zyx.max()) - intercept
    if lowest < 0 or highest > MAX_STORED:
        raise ValueError(f"stored values {lowest} to {highest}, 0 to {MAX_STORED} possible")
    stored_zyx: NDArray[np.uint16] = (voxels_zyx.astype(np.int32) - intercept).astype("<u2")
    return stored_zyx


def _series_template(image: sitk.Image, header: SeriesHeader) -> Dataset:
    examination = header.examination
    template = Dataset()
    template.SOPClassUID = STORAGE_CLASSES[header.modality]
    template.Modality = header.modality
    template.SeriesInstanceUID = _uid(examination.uid_seed, "series", str(header.number))
    template.SeriesNumber = header.number
    template.SeriesDescription = header.description
    template.ProtocolName = header.description
    template.ImageType = list(header.image_type)
    for keyword, value in (*examination.equipment.items(), *header.acquisition.items()):
        setattr(template, keyword, value)
    _describe_examination(template, examination)
    for event in ("Series", "Acquisition", "Content"):
        setattr(template, f"{event}Date", f"{header.started:%Y%m%d}")
        setattr(template, f"{event}Time", f"{header.started:%H%M%S.%f}")
    _describe_pixels(template, image)
    if header.rescale_intercept is not None:
        template.RescaleIntercept = header.rescale_intercept
        template.RescaleSlope = 1
    template.file_meta = _file_meta(template.SOPClassUID)
    return template


def _describe_examination(template: Dataset, examination: Examination) -> None:
    template.PatientID = examination.participant
    template.PatientName = examination.participant
    template.PatientSex = examination.sex[0].upper()
    birth_year = examination.started.year - int(examination.age_years)
    template.PatientBirthDate = f"{birth_year}0101"  # to the year, as it may be delivered
    template.PatientAge = f"{int(examination.age_years):03d}Y"
    template.PatientSize = _decimal(examination.height_m)
    template.PatientWeight = _decimal(examination.weight_kg)
    template.StudyDate = f"{examination.started:%Y%m%d}"
    template.StudyTime = f"{examination.started:%H%M%S.%f}"
    template.StudyID = "1"
    template.StudyInstanceUID = _uid(examination.uid_seed, "study")
    template.FrameOfReferenceUID = _uid(examination.uid_seed, "frame of reference")
    template.PatientPosition = "HFS"


def _describe_pixels(template: Dataset, image: sitk.Image) -> None:
    n_columns, n_rows, _ = image.GetSize()
    column_mm, row_mm, slice_mm = image.GetSpacing()
    template.ImageOrientationPatient = [_decimal(value) for value in _orientation(image)]
    template.PixelSpacing = [_decimal(row_mm), _decimal(column_mm)]
    template.SliceThickness = _decimal(slice_mm)
    template.SpacingBetweenSlices = _decimal(slice_mm)
    template.Rows, template.Columns = n_rows, n_columns
    template.SamplesPerPixel = 1
    template.PhotometricInterpretation = "MONOCHROME2"
    template.BitsAllocated = template.BitsStored = 16
    template.HighBit = 15
    template.PixelRepresentation = 0
    template.add_new("PixelData", "OW", b"")


def _file_meta(storage_class: UID) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = storage_class
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = IMPLEMENTATION_UID
    meta.ImplementationVersionName = "ORGANOME"
    return meta


def _orientation(image: sitk.Image) -> tuple[float, ...]:
    direction = np.reshape(image.GetDirection(), (3, 3))
    return (*direction[:, 0], *direction[:, 1])  # along a row, then along a column


def _uid(*parts: str) -> UID:
    return generate_uid(entropy_srcs=["/".join(parts)])


def _decimal(value: float) -> DSfloat:
    return DSfloat(float(value), auto_format=True)  # at most 16 characters, as DS demands

"""Write images as series of single-slice DICOM files, the same bytes every time.

Headers are plausible, complete, and recognisably nobody's. Identifiers are digests of a seed, times
come from the visit, and the name of the implementation is fixed, so that neither the clock nor the
version of pydicom shows in a file.

Source: DICOM PS3.3 C.7.6.2 (image plane), C.8.2 and C.8.3 (CT and MR image); PS3.5 A.2 (explicit
VR little endian).
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Final

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element, write_dataset, write_file_meta_info
from pydicom.tag import Tag
from pydicom.uid import (
    UID,
    CTImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    generate_uid,
)
from pydicom.valuerep import DSfloat

from organome.domain import ukb_protocol
from organome.domain.scans import DIXON_CONTRASTS, Contrast, Modality
from organome.domain.ukb_protocol import STATIONS
from organome.phantoms.bodies.people import Covariates
from organome.phantoms.delivery.cohort import Visit
from organome.phantoms.delivery.defects import PhantomSeries

IMPLEMENTATION_UID: Final = generate_uid(entropy_srcs=["organome", "dicom_writing"])
MAX_STORED: Final = 65535
_PREAMBLE: Final = bytes(128) + b"DICM"
# What a slice has of its own, in the order of tags; nothing comes after the voxels.
_OWN_TAGS: Final = [
    Tag(keyword)
    for keyword in (
        *("SOPInstanceUID", "InstanceNumber", "ImagePositionPatient"),
        *("SliceLocation", "PixelData"),
    )
]
STATION_TAKES: Final = timedelta(seconds=25)  # a breath-hold of 17 s and a table move
FIRST_ECHO_NUMBER: Final = 40  # after all that a Dixon scan can have
CT_SERIES_NUMBER: Final = 2  # after the localizer
IMAGE_TYPES: Final = {
    Contrast.IN_PHASE: ["ORIGINAL", "PRIMARY", "DIXON", "IN_PHASE"],
    Contrast.OPPOSED_PHASE: ["ORIGINAL", "PRIMARY", "DIXON", "OPP_PHASE"],
    Contrast.FAT: ["DERIVED", "PRIMARY", "DIXON", "FAT"],
    Contrast.WATER: ["DERIVED", "PRIMARY", "DIXON", "WATER"],
}
# Site and serial number identify a person's hospital: they are here so that tests can show that
# no table repeats them.
SITE: Final = {
    "InstitutionName": "Phantom Imaging Centre",
    "InstitutionAddress": "1 Phantom Road,Nowhere,GB",
    "DeviceSerialNumber": "00000",
}
SCANNERS: Final[dict[Modality, dict[str, Any]]] = {
    Modality.MRI: {
        "SOPClassUID": MRImageStorage,
        "Modality": "MR",
        "Manufacturer": ukb_protocol.MANUFACTURER,
        "ManufacturerModelName": ukb_protocol.MODEL_NAME,
        "MagneticFieldStrength": ukb_protocol.FIELD_STRENGTH_T,
        "SoftwareVersions": "syngo MR D13",
    },
    Modality.CT: {
        "SOPClassUID": CTImageStorage,
        "Modality": "CT",
        "Manufacturer": "SIEMENS",
        "ManufacturerModelName": "SOMATOM Force",
        "SoftwareVersions": "syngo CT VB20",
    },
}
CT_ACQUISITION: Final[dict[str, Any]] = {
    "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
    "KVP": 120,
    "ConvolutionKernel": "Br40",
    "BodyPartExamined": "ABDOMEN",
    "RescaleIntercept": -1024,
    "RescaleSlope": 1,
}
DIXON_ACQUISITION: Final[dict[str, Any]] = {
    "ScanningSequence": "GR",
    "SequenceVariant": "SP",
    "ScanOptions": "DIXON",
    "MRAcquisitionType": "3D",
    "SequenceName": "*fl3d2",
    "RepetitionTime": ukb_protocol.REPETITION_TIME_MS,
    "FlipAngle": ukb_protocol.FLIP_ANGLE_DEG,
    "PixelBandwidth": ukb_protocol.PIXEL_BANDWIDTH_HZ,
    "ImagedNucleus": "1H",
}


def ct_header(visit: Visit, covariates: Covariates) -> dict[str, Any]:
    """Return what all slices of the CT of a visit share, by DICOM keyword."""
    return CT_ACQUISITION | _series_header(
        visit,
        covariates,
        Modality.CT,
        number=CT_SERIES_NUMBER,
        description="Chest Abdomen Pelvis 4.0 Br40",
        started=visit.started,
    )


def dixon_header(visit: Visit, covariates: Covariates, series: PhantomSeries) -> dict[str, Any]:
    """Return what all slices of a series share; a second take comes last, after all stations.

    Raises:
        ValueError: If the series belongs to no station.
    """
    if series.station is None:
        raise ValueError(f"{series.contrast}: no station")
    station = STATIONS[series.station - 1]
    n_before = station.number - 1 if series.take == 1 else len(STATIONS)
    number = station.series_number(series.contrast)
    if series.take > 1:
        number = len(DIXON_CONTRASTS) * len(STATIONS) + (number - 1) % len(DIXON_CONTRASTS) + 1
    common = _series_header(
        visit,
        covariates,
        Modality.MRI,
        number=number,
        description=station.series_description(series.contrast),
        started=visit.started + n_before * STATION_TAKES,
    )
    # fat and water come of both echoes; which one their header names is our choice
    in_phase = series.contrast is Contrast.IN_PHASE
    echo_ms = (
        ukb_protocol.IN_PHASE_ECHO_TIME_MS if in_phase else ukb_protocol.OPPOSED_PHASE_ECHO_TIME_MS
    )
    of_contrast = {"ImageType": IMAGE_TYPES[series.contrast], "EchoTime": echo_ms}
    return common | DIXON_ACQUISITION | of_contrast


def echo_header(
    visit: Visit, covariates: Covariates, *, echo: int, echo_time_ms: float
) -> dict[str, Any]:
    """Return what the slices of one echo of a multi-echo acquisition share; a series an echo."""
    common = _series_header(
        visit,
        covariates,
        Modality.MRI,
        number=FIRST_ECHO_NUMBER + echo,
        description="LMS IDEAL OPTIMISED LOW FLIP 6DYN",
        started=visit.started + (len(STATIONS) + 1) * STATION_TAKES,
    )
    return common | {
        "ScanningSequence": "GR",
        "ImageType": ["ORIGINAL", "PRIMARY", "M", "ND"],
        "RepetitionTime": ukb_protocol.MULTI_ECHO_REPETITION_TIME_MS,
        "FlipAngle": ukb_protocol.MULTI_ECHO_FLIP_ANGLE_DEG,
        "EchoTime": echo_time_ms,
        "EchoNumbers": echo,
    }


def encode_series(
    image: sitk.Image, header: Mapping[str, Any], *, slice_order: Sequence[int] | None = None
) -> Iterator[tuple[str, bytes]]:
    """Encode an image as one DICOM file per slice.

    Args:
        image: Integer voxels and grid (LPS), 3D, any direction. Its z axis becomes the stack.
        header: What all slices share, by DICOM keyword.
        slice_order: Slice indices in the order of their instance numbers, from 1 on; all slices,
            upwards, if None. Slices left out are not written. Positions never change with it.

    Yields:
        Name (the SOP instance UID with ``.dcm``, as scanners and biobanks name files) and content
        of each file, in the order of their instance numbers.

    Raises:
        ValueError: If the image is not 3D, or a stored value is not an integer from 0 to 65535.
    """
    stored_zyx = _stored_voxels(image, header.get("RescaleIntercept", 0))
    direction = np.reshape(image.GetDirection(), (3, 3))
    along_row, along_column = direction[:, 0], direction[:, 1]
    normal = np.cross(along_row, along_column)
    shared = Dataset()
    for keyword, value in header.items():
        setattr(shared, keyword, value)
    shared.ImageOrientationPatient = [_decimal(one) for one in (*along_row, *along_column)]
    _describe_pixels(shared, image)
    meta = _file_meta(shared.SOPClassUID)
    before_own = _encode_between(shared, _OWN_TAGS)
    for number, index in enumerate(slice_order or range(len(stored_zyx)), start=1):
        position = np.asarray(image.TransformIndexToPhysicalPoint((0, 0, int(index))))
        sop_uid = _uid(shared.SeriesInstanceUID, str(index))
        meta.MediaStorageSOPInstanceUID = sop_uid
        own = Dataset()
        own.SOPInstanceUID = sop_uid
        own.InstanceNumber = number
        own.ImagePositionPatient = [_decimal(value) for value in position]
        own.SliceLocation = _decimal(float(position @ normal))
        own.add_new("PixelData", "OW", stored_zyx[index].tobytes())
        file = _new_file()
        file.write(_PREAMBLE)
        write_file_meta_info(file, meta)
        for encoded, element in zip(before_own, own, strict=True):
            file.write(encoded)
            write_data_element(file, element)
        yield f"{sop_uid}.dcm", file.getvalue()


def _encode_between(shared: Dataset, tags: Sequence[int]) -> list[bytes]:
    """Encode what stands before each of these tags: once, a series has hundreds of slices."""
    encoded = []
    for start, stop in pairwise((None, *tags)):
        file = _new_file()
        write_dataset(file, shared[start:stop])
        encoded.append(file.getvalue())
    return encoded


def _new_file() -> DicomBytesIO:
    file = DicomBytesIO()
    file.is_implicit_VR, file.is_little_endian = False, True
    return file


def _series_header(
    visit: Visit,
    covariates: Covariates,
    modality: Modality,
    *,
    number: int,
    description: str,
    started: datetime,
) -> dict[str, Any]:
    seed = f"{visit.body_seed}/{visit.participant}/{visit.instance}/{modality}"
    age_years = int(covariates.age_years)
    header = {
        **SCANNERS[modality],
        **SITE,
        "PatientID": visit.participant,
        "PatientName": visit.participant,
        "PatientSex": covariates.sex[0].upper(),
        "PatientBirthDate": f"{visit.started.year - age_years}0101",  # as it may be delivered
        "PatientAge": f"{age_years:03d}Y",
        "PatientSize": _decimal(covariates.height_m),
        "PatientWeight": _decimal(covariates.weight_kg),
        "PatientPosition": "HFS",
        "StudyID": "1",
        "StudyInstanceUID": _uid(seed, "study"),
        "FrameOfReferenceUID": _uid(seed, "frame of reference"),
        "SeriesInstanceUID": _uid(seed, "series", str(number)),
        "SeriesNumber": number,
        "SeriesDescription": description,
        "ProtocolName": description,
    }
    times = {"Study": visit.started, "Series": started, "Acquisition": started, "Content": started}
    for event, time in times.items():
        header |= {f"{event}Date": f"{time:%Y%m%d}", f"{event}Time": f"{time:%H%M%S.%f}"}
    return header


def _stored_voxels(image: sitk.Image, intercept: int) -> NDArray[np.uint16]:
    voxels_zyx = sitk.GetArrayViewFromImage(image)
    if voxels_zyx.ndim != 3 or not np.issubdtype(voxels_zyx.dtype, np.integer):
        raise ValueError(f"{voxels_zyx.ndim}D image of {voxels_zyx.dtype}, 3D of integers needed")
    lowest, highest = int(voxels_zyx.min()) - intercept, int(voxels_zyx.max()) - intercept
    if lowest < 0 or highest > MAX_STORED:
        raise ValueError(f"stored values {lowest} to {highest}, 0 to {MAX_STORED} possible")
    stored_zyx: NDArray[np.uint16] = (voxels_zyx.astype(np.int32) - intercept).astype("<u2")
    return stored_zyx


def _describe_pixels(shared: Dataset, image: sitk.Image) -> None:
    shared.Columns, shared.Rows, _ = image.GetSize()
    column_mm, row_mm, slice_mm = image.GetSpacing()
    shared.PixelSpacing = [_decimal(row_mm), _decimal(column_mm)]
    shared.SliceThickness = shared.SpacingBetweenSlices = _decimal(slice_mm)
    shared.SamplesPerPixel = 1
    shared.PhotometricInterpretation = "MONOCHROME2"
    shared.BitsAllocated = shared.BitsStored = 16
    shared.HighBit = 15
    shared.PixelRepresentation = 0


def _file_meta(storage_class: UID) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = storage_class
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = IMPLEMENTATION_UID
    meta.ImplementationVersionName = "ORGANOME"
    return meta


def _uid(*parts: str) -> UID:
    return generate_uid(entropy_srcs=["/".join(parts)])


def _decimal(value: float) -> DSfloat:
    return DSfloat(float(value), auto_format=True)  # at most 16 characters, as DS demands

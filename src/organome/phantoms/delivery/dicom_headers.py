"""DICOM headers of phantom scans: plausible, complete, and recognisably nobody's."""

from datetime import timedelta
from typing import Any, Final

from organome.domain.scans import DIXON_CONTRASTS, Contrast
from organome.domain.ukb_protocol import ACQUISITION, STATIONS
from organome.phantoms.bodies.people import Covariates
from organome.phantoms.delivery.cohort import Visit
from organome.phantoms.delivery.defects import PhantomSeries
from organome.phantoms.delivery.dicom_writing import Examination, SeriesHeader

STATION_TAKES: Final = timedelta(seconds=25)  # a breath-hold of 17 s and a table move
CT_SERIES_NUMBER: Final = 2  # after the localizer
CT_INTERCEPT: Final = -1024
IMAGE_TYPES: Final = {
    Contrast.IN_PHASE: ("ORIGINAL", "PRIMARY", "DIXON", "IN_PHASE"),
    Contrast.OPPOSED_PHASE: ("ORIGINAL", "PRIMARY", "DIXON", "OPP_PHASE"),
    Contrast.FAT: ("DERIVED", "PRIMARY", "DIXON", "FAT"),
    Contrast.WATER: ("DERIVED", "PRIMARY", "DIXON", "WATER"),
}
# Site and serial number identify a person's hospital: they are here so that tests can show that
# no table repeats them.
SITE: Final[dict[str, Any]] = {
    "InstitutionName": "Phantom Imaging Centre",
    "InstitutionAddress": "1 Phantom Road,Nowhere,GB",
    "DeviceSerialNumber": "00000",
}
MRI_SCANNER: Final[dict[str, Any]] = {
    "Manufacturer": ACQUISITION.manufacturer,
    "ManufacturerModelName": ACQUISITION.model_name,
    "MagneticFieldStrength": ACQUISITION.field_strength_t,
    "SoftwareVersions": "syngo MR D13",
}
CT_SCANNER: Final[dict[str, Any]] = {
    "Manufacturer": "SIEMENS",
    "ManufacturerModelName": "SOMATOM Force",
    "SoftwareVersions": "syngo CT VB20",
}
CT_ACQUISITION: Final[dict[str, Any]] = {
    "KVP": 120,
    "ConvolutionKernel": "Br40",
    "BodyPartExamined": "ABDOMEN",
}


def mri_examination(visit: Visit, covariates: Covariates) -> Examination:
    """Describe a visit to the MRI scanner."""
    return _examination(visit, covariates, "mri", MRI_SCANNER)


def ct_header(visit: Visit, covariates: Covariates) -> SeriesHeader:
    """Describe the CT series of a visit."""
    return SeriesHeader(
        examination=_examination(visit, covariates, "ct", CT_SCANNER),
        modality="CT",
        number=CT_SERIES_NUMBER,
        description="Chest Abdomen Pelvis 4.0 Br40",
        image_type=("ORIGINAL", "PRIMARY", "AXIAL"),
        started=visit.started,
        acquisition=CT_ACQUISITION,
        rescale_intercept=CT_INTERCEPT,
    )


def dixon_header(examination: Examination, series: PhantomSeries) -> SeriesHeader:
    """Describe one series of a Dixon station; a second take comes last, after all stations.

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
    return SeriesHeader(
        examination=examination,
        modality="MR",
        number=number,
        description=station.series_description(series.contrast),
        image_type=IMAGE_TYPES[series.contrast],
        started=examination.started + n_before * STATION_TAKES,
        acquisition=_dixon_acquisition(series.contrast),
    )


def _dixon_acquisition(contrast: Contrast) -> dict[str, Any]:
    in_phase = contrast is Contrast.IN_PHASE
    return {
        "ScanningSequence": "GR",
        "SequenceVariant": "SP",
        "ScanOptions": "DIXON",
        "MRAcquisitionType": "3D",
        "SequenceName": "*fl3d2",
        "RepetitionTime": ACQUISITION.repetition_time_ms,
        # fat and water come of both echoes; which one their header names is our choice
        "EchoTime": ACQUISITION.in_phase_echo_time_ms
        if in_phase
        else ACQUISITION.opposed_phase_echo_time_ms,
        "FlipAngle": ACQUISITION.flip_angle_deg,
        "PixelBandwidth": ACQUISITION.pixel_bandwidth_hz,
        "ImagedNucleus": "1H",
    }


def _examination(
    visit: Visit, covariates: Covariates, modality: str, scanner: dict[str, Any]
) -> Examination:
    return Examination(
        uid_seed=f"{visit.body_seed}/{visit.participant}/{visit.instance}/{modality}",
        participant=visit.participant,
        sex=covariates.sex,
        age_years=covariates.age_years,
        height_m=covariates.height_m,
        weight_kg=covariates.weight_kg,
        started=visit.started,
        equipment=scanner | SITE,
    )

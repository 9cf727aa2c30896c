"""Deliver the CT of a phantom as a folder that holds one DICOM series."""

import shutil
from pathlib import Path

import SimpleITK as sitk

from organome.domain.scans import Contrast
from organome.io.files.atomic import ATTEMPT, publish_folder
from organome.phantoms.bodies.people import Covariates
from organome.phantoms.delivery.cohort import Visit
from organome.phantoms.delivery.dicom_headers import ct_header
from organome.phantoms.delivery.dicom_writing import encode_series
from organome.phantoms.delivery.formats import Format
from organome.phantoms.delivery.records import DeliveredImage, DeliveredScan


def deliver_ct_series(
    image: sitk.Image, visit: Visit, covariates: Covariates, *, output: Path
) -> DeliveredScan:
    """Write a CT below ``ct/<participant>/``, one file per slice.

    Args:
        image: Hounsfield units.
        visit: Who and when.
        covariates: For the header.
        output: The phantom folder.
    """
    path = Path(Format.CT, visit.participant, f"ct_{visit.instance}")
    folder = output / path
    beside = folder.with_name(f".{folder.name}.{ATTEMPT}.tmp")
    try:
        beside.mkdir(parents=True)
        for file in encode_series(image, ct_header(visit, covariates)):
            (beside / file.name).write_bytes(file.content)
        publish_folder(beside, folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return DeliveredScan(Format.CT, "ct", (DeliveredImage(path.as_posix(), Contrast.CT),))

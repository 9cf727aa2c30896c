"""Tiny DICOM series and archives, made with pydicom alone."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import numpy.typing as npt
import pytest
from pydicom.uid import ExplicitVRLittleEndian

from doubles.dicom_files import encode_slice

Files = dict[str, bytes]


@pytest.fixture
def make_dicom() -> Callable[..., Files]:
    """A function that makes the files of one axial series, bottom slice first."""

    def make(
        voxels_zyx: npt.NDArray[Any],
        *,
        number: int = 1,
        first_xyz_mm: tuple[float, float, float] = (0.0, 0.0, 0.0),
        spacing_xyz_mm: tuple[float, float, float] = (4.0, 4.0, 5.0),
        syntax: str = ExplicitVRLittleEndian,
        **elements: Any,
    ) -> Files:
        x_mm, y_mm, z_mm = first_xyz_mm
        dx_mm, dy_mm, dz_mm = spacing_xyz_mm
        files = {}
        for index, voxels_yx in enumerate(voxels_zyx):
            uid = f"1.2.{number}.{index + 1}"
            standard: dict[str, Any] = {
                "SOPInstanceUID": uid,
                "SeriesInstanceUID": f"1.2.{number}",
                "SeriesNumber": number,
                "InstanceNumber": index + 1,
                "SeriesDescription": "series",
                "ImageType": ["ORIGINAL", "PRIMARY"],
                "ImagePositionPatient": [x_mm, y_mm, z_mm + index * dz_mm],
                "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
                "PixelSpacing": [dy_mm, dx_mm],
            }
            files[f"{uid}.dcm"] = encode_slice(voxels_yx, syntax=syntax, **(standard | elements))
        return files

    return make


@pytest.fixture
def make_ukb(make_dicom: Callable[..., Files]) -> Callable[..., Files]:
    """A function that makes the 24 series of a small Dixon archive; 4 slices overlap at a seam.

    Fat is 0.25 of the in-phase signal in the body. ``gains`` are one per station; ``offset`` moves
    the series numbers, as those of a repeat.
    """

    def make(
        *,
        gains: Sequence[float] = (1,) * 6,
        n_slices: int = 12,
        stations: Sequence[int] = range(6),
        offset: int = 0,
    ) -> Files:
        files: Files = {}
        for station in stations:
            base = np.full((n_slices, 12, 16), 400.0 * gains[station])
            base[:, :, :3] = 4.0 * gains[station]  # air
            base[0, 0, 0] = 8.0 * (station + 1)  # no two stations have the same voxels
            shown = {"in": base, "opp": base / 2, "F": base / 4, "W": base * 3 / 4}
            for place, (suffix, signal) in enumerate(shown.items()):
                files |= make_dicom(
                    np.rint(signal).astype(np.uint16),
                    number=4 * station + place + 1 + offset,
                    first_xyz_mm=(0.0, 0.0, -5.0 * (n_slices - 4) * station),
                    SeriesDescription=f"Dixon_BH_17s_{suffix}",
                    SeriesDate="20200101",
                    SeriesTime=f"1200{station:02d}.5",
                    Manufacturer="SIEMENS",
                    ManufacturerModelName="Aera",
                    MagneticFieldStrength="1.5",
                    PatientSize="1.71",
                    PatientWeight="68.5",
                    PatientName="SECRET^NAME",
                )
        return files

    return make


@pytest.fixture
def pack() -> Callable[[Path, Mapping[str, bytes]], Path]:
    """A function that packs files into a zip archive."""

    def write(path: Path, files: Mapping[str, bytes]) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        with ZipFile(path, "w", ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return path

    return write

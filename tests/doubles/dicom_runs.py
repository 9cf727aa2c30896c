"""A run on CTs delivered as DICOM series, with labelmaps that the cohort brings along."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from pydicom.uid import generate_uid

from organome.domain.scans import Contrast, Scan, Source, scan_key
from organome.io.images.image_files import write_image
from organome.io.tables.scan_lists import write_shard
from organome.phantoms.bodies.people import Covariates
from organome.phantoms.delivery.cohort import Visit
from organome.phantoms.delivery.dicom_writing import ct_header, encode_series
from organome.steps.prepare import prepare_images
from organome.steps.segment import segment_organs

SIZE_ZYX = (12, 15, 20)
SPACING_XYZ_MM = (2.5, 2.25, 3.0)
ORIGIN_XYZ_MM = (-31.5, 12.25, -201.75)
AXIAL = (1.0, 0, 0, 0, 1, 0, 0, 0, 1)
SECRET = "p-secret"

HEADER = ct_header(
    Visit(SECRET, "2", 0, "female", 0.0, datetime(2020, 2, 3, 4, 5, 6), with_ct=True),
    Covariates("female", age_years=50.0, height_m=1.7, weight_kg=70.0),
)


@dataclass(frozen=True)
class DicomRun:
    """A run folder with one shard and a scan for each direction."""

    folder: Path

    @property
    def results(self) -> Path:
        return self.folder / "results"

    @property
    def lists(self) -> Path:
        return self.folder / "scans"

    @property
    def labelmaps(self) -> Path:
        return self.results / "segment_organs" / "0000"

    def series(self, place: int) -> Path:
        return self.folder / SECRET / str(place)


def run_on_series(
    folder: Path,
    directions: Sequence[tuple[float, ...]],
    *,
    n_labels: int = 40,
    scheme: str = "mrsegmentator",
    contrast: Contrast = Contrast.CT,
    pack: bool = False,
) -> DicomRun:
    """Make a run: CTs of noise, labelled by noise, in some directions; one scan more fails."""
    run = DicomRun(folder)
    scans = []
    for place, direction in enumerate(directions):
        image = image_of(noise(place, 3000).astype(np.int16) - 1000, direction)
        labels = noise(100 + place, 8 * n_labels + 1)
        labels[labels > n_labels] = 0
        labelmap = folder / SECRET / f"{place}_seg.nii.gz"
        write_image(labelmap, image_of(labels.astype(np.uint8), direction))
        modality = "CT" if contrast is Contrast.CT else "MR"
        write_series(run.series(place), image, number=place + 1, modality=modality)
        scans.append(_scan(place, run.series(place), labelmap, contrast))
    scans.append(_scan(len(directions), folder / SECRET / "none", None, contrast))
    shard = run.lists / "0000.parquet"
    write_shard(shard, scans)
    prepare_images.run(
        shard=shard,
        output=run.results / "prepare_images" / "0000",
        work=folder / "work" / "prepare_images",
        kind="folder",
    )
    segment_organs.run(
        shard=shard,
        images=run.results / "prepare_images" / "0000",
        output=run.labelmaps,
        work=folder / "work" / "segment_organs",
        source="labelmaps",
        scheme=scheme,
        contrasts=(contrast,),
        pack=pack,
    )
    return run


def write_series(folder: Path, image: sitk.Image, *, number: int, modality: str = "CT") -> None:
    """Write a series, a file a slice."""
    folder.mkdir(parents=True, exist_ok=True)
    uid = generate_uid(entropy_srcs=[str(number)])
    header = HEADER | {"SeriesNumber": number, "SeriesInstanceUID": uid, "Modality": modality}
    for name, content in encode_series(image, header):
        (folder / name).write_bytes(content)


def image_of(voxels_zyx: np.ndarray, direction: tuple[float, ...]) -> sitk.Image:
    image = sitk.GetImageFromArray(voxels_zyx)
    image.SetSpacing(SPACING_XYZ_MM)
    image.SetOrigin(ORIGIN_XYZ_MM)
    image.SetDirection(direction)
    return image


def noise(seed: int, n_values: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, n_values, SIZE_ZYX)


def _scan(place: int, series: Path, labelmap: Path | None, contrast: Contrast) -> Scan:
    return Scan(
        scan=scan_key(0, place),
        cohort="c",
        participant=SECRET,
        instance=str(place),
        array="0",
        protocol="ct",
        sources=(Source(str(series), contrast),),
        labelmap=None if labelmap is None else str(labelmap),
    )

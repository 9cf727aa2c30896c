"""A scan by the programs that people use without Organome, a stage a call, in a process of its own.

    python -m benchmarks.whole_scan_peers unpack ARCHIVE FOLDER
    python -m benchmarks.whole_scan_peers stitch FOLDER OUTPUT
    python -m benchmarks.whole_scan_peers volumes LABELMAP FAT WATER
    python -m benchmarks.whole_scan_peers radiomics LABELMAP IMAGE PARAMETERS LABELS
    python -m benchmarks.whole_scan_peers bytes ARCHIVE_OR_FOLDER IMAGES LABELMAPS

What a careful user would write with zipfile, nibabel, scipy and pyradiomics, as short as that.
``bytes`` is nobody's way: it does nothing but unzip what was delivered, and deflate and inflate
what Organome publishes of it once, by the same libraries at the same levels.
"""

import sys
import zlib
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from zipfile import ZipFile

import nibabel as nib
import numpy as np
from isal import isal_zlib
from scipy.ndimage import label, map_coordinates

load: Any = nib.load
GZIP: Final = 31
LEVEL_OF_IMAGES: Final = 1
LEVEL_OF_LABELMAPS: Final = 6
PIECE_BYTES: Final = 1 << 24


def unpack(archive: str, folder: str) -> None:
    """Unzip an archive."""
    with ZipFile(archive) as members:
        members.extractall(folder)


def stitch(folder: str, output: str) -> None:
    """Bring the stations that dcm2niix has made onto one grid, fade them, write an image each.

    Series come in the order of the stations and, within each, of the contrasts.
    """
    series = sorted(Path(folder).glob("*.nii.gz"), key=lambda path: int(path.name.split("_")[0]))
    by_contrast: dict[int, list[Any]] = defaultdict(list)
    for place, path in enumerate(series):
        by_contrast[place % 4].append(load(path))
    for number, images in by_contrast.items():
        widest = max(images, key=lambda one: one.shape[0] * one.header.get_zooms()[0])
        steps = np.array(widest.affine[:3, :3])
        steps[:, 2] *= min(one.header.get_zooms()[2] for one in images) / np.linalg.norm(
            steps[:, 2]
        )
        affine = np.eye(4)
        affine[:3, :3] = steps
        ends = [one.affine @ (0, 0, edge, 1) for one in images for edge in (0, one.shape[2] - 1)]
        heights_mm = [end[2] for end in ends]
        affine[:3, 3] = widest.affine[:3, 3]
        affine[2, 3] = min(heights_mm) if steps[2, 2] > 0 else max(heights_mm)
        n_slices = round((max(heights_mm) - min(heights_mm)) / abs(steps[2, 2])) + 1
        fused = np.zeros((*widest.shape[:2], n_slices), np.float32)
        total = np.zeros(n_slices, np.float32)
        for one in images:
            to_station = np.linalg.inv(one.affine) @ affine
            along = to_station[2, 2] * np.arange(n_slices) + to_station[2, 3]
            seen = np.flatnonzero((along >= 0) & (along <= one.shape[2] - 1))
            weight = np.minimum(along[seen], one.shape[2] - 1 - along[seen]) + 1
            index = np.indices((*fused.shape[:2], len(seen)), np.float32)
            index[2] += seen[0]
            places = (
                np.tensordot(to_station[:3, :3], index, 1) + to_station[:3, 3, None, None, None]
            )
            values = map_coordinates(one.get_fdata(dtype=np.float32), places, order=1)
            fused[:, :, seen] += values * weight
            total[seen] += weight
        fused /= np.maximum(total, 1e-6)
        nib.save(nib.Nifti1Image(fused, affine), Path(output) / f"{number}.nii.gz")


def volumes(labelmap: str, *images: str) -> None:
    """Measure volume, pieces and intensities of each organ."""
    labels = load(labelmap)
    labels_xyz = np.asarray(labels.dataobj)
    one_ml = np.prod(labels.header.get_zooms()) / 1000
    intensities = [load(image).get_fdata(dtype=np.float32) for image in images]
    for organ in np.unique(labels_xyz)[1:]:
        mask = labels_xyz == organ
        found = [mask.sum() * one_ml, label(mask)[1]]
        for image in intensities:
            found += [image[mask].mean(), image[mask].std(), *np.percentile(image[mask], (10, 90))]


def radiomics(labelmap: str, image: str, parameters: str, labels: str) -> None:
    """Measure the features of some organs by pyradiomics."""
    import SimpleITK as sitk
    import yaml
    from radiomics.featureextractor import RadiomicsFeatureExtractor

    settings = yaml.safe_load(Path(parameters).read_text())
    settings.pop("organome", None)
    settings["setting"].update(minimumROIDimensions=1)
    extractor = RadiomicsFeatureExtractor(settings)
    of_image, of_labels = sitk.ReadImage(image), sitk.ReadImage(labelmap)
    of_labels.CopyInformation(of_image)
    for organ in map(int, labels.split(",")):
        try:
            extractor.execute(of_image, of_labels, label=organ)
        except (ValueError, RuntimeError):  # too few voxels
            continue


def handle_bytes(delivered: str, images: str, labelmaps: str) -> None:
    """Unzip, deflate and inflate, and nothing else."""
    if delivered.endswith(".zip"):
        with ZipFile(delivered) as archive:
            for member in archive.infolist():
                with archive.open(member) as file:
                    file._decompressor = isal_zlib.decompressobj(-15)  # type: ignore[attr-defined]
                    while file.read(PIECE_BYTES):
                        pass
    else:
        for path in Path(delivered).iterdir():
            path.read_bytes()
    for folder, engine, level in (
        (images, isal_zlib, LEVEL_OF_IMAGES),
        (labelmaps, zlib, LEVEL_OF_LABELMAPS),
    ):
        for path in Path(folder).glob("*.nii.gz"):
            plain = isal_zlib.decompress(path.read_bytes(), GZIP)
            encoder = engine.compressobj(level, engine.DEFLATED, GZIP)
            for start in range(0, len(plain), PIECE_BYTES):
                encoder.compress(plain[start : start + PIECE_BYTES])
            encoder.flush()


STAGES: Final[dict[str, Callable[..., None]]] = {
    "unpack": unpack,
    "stitch": stitch,
    "volumes": volumes,
    "radiomics": radiomics,
    "bytes": handle_bytes,
}

if __name__ == "__main__":
    STAGES[sys.argv[1]](*sys.argv[2:])

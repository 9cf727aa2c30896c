"""Real DICOM read by Organome and by dcm2niix: the same voxels at the same places, or a reason.

    python benchmarks/dicom_readers.py FOLDER [FOLDER ...] [--dcm2niix COMMAND]

Every folder with files below a given one is read as one series. The table says what Organome makes
of it and, where it makes an image, how far that is from the nearest of dcm2niix's images of that
folder. Public sets to try are neurolabusc's dcm_qa_ct, dcm_qa_enh, dcm_qa_me, dcm_qa_uih,
dcm_qa_philips_enh and dcm_qa_xa30 on GitHub, of which the figures in dicom_readers.txt are;
dcm2niix comes from PyPI (`pip install dcm2niix`). image_readers.py compares with nibabel, pydicom.
"""

import argparse
import json
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations, product
from pathlib import Path
from typing import Final

import nibabel as nib
import numpy as np
import numpy.typing as npt
import pydicom
import SimpleITK as sitk

from organome.domain.errors import ScanError
from organome.domain.scans import Contrast, Scan, Source
from organome.steps.prepare.deliveries import Deliveries

SAME_PLACE_MM: Final = 0.1
SAME_VOXELS: Final = 1e-6  # of the largest; single precision
RAS_FROM_LPS: Final = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Difference:
    """How far two images are apart.

    Attributes:
        factor: What their voxels are to ours, in the mean.
        voxels: Largest difference of a voxel after that factor, as a share of the largest voxel.
        place_mm: Largest distance between corners.
    """

    factor: float
    voxels: float
    place_mm: float

    @property
    def is_none(self) -> bool:
        """Whether voxels and places are the same."""
        return (
            abs(self.factor - 1) < SAME_VOXELS
            and self.voxels < SAME_VOXELS
            and self.place_mm < SAME_PLACE_MM
        )

    def __str__(self) -> str:
        """In words."""
        factor = "" if abs(self.factor - 1) < SAME_VOXELS else f"times {self.factor:.6g}, "
        return (
            f"{factor}voxels by {self.voxels:.1e} of the largest, places by {self.place_mm:.3f} mm"
        )


def main() -> None:
    """Print the table, and figures as JSON in the last line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--dcm2niix", default="dcm2niix")
    arguments = parser.parse_args()
    counts = {"read": 0, "equal": 0, "refused": 0}
    print(f"{'series':44} {'files':>5}  Organome, and its distance to dcm2niix")
    for top, folder in _series_folders(arguments.folders):
        n_files = sum(one.is_file() for one in folder.iterdir())
        try:
            image, flags = _ours(folder)
        except ScanError as error:
            counts["refused"] += 1
            found = f"{error.reason}: {error.fact}"
        else:
            counts["read"] += 1
            theirs = _theirs(folder, arguments.dcm2niix)
            nearest = _nearest(image, theirs)
            found = f"{image.GetSize()} {' '.join(flags)} "
            if nearest is None:
                found += f"none of dcm2niix's {len(theirs)} images has this size"
            else:
                counts["equal"] += nearest.is_none
                found += "equal" if nearest.is_none else f"differs: {nearest}"
        print(f"{str(folder.relative_to(top.parents[1]))[-44:]:44} {n_files:5}  {found}")
    print(json.dumps(counts))


def _series_folders(tops: list[Path]) -> Iterator[tuple[Path, Path]]:
    for top in tops:
        for folder in (top, *sorted(one for one in top.rglob("*") if one.is_dir())):
            if any(one.is_file() for one in folder.iterdir()):
                yield top, folder


def _ours(folder: Path) -> tuple[sitk.Image, list[str]]:
    modality = _modality(folder)
    contrast = Contrast.CT if modality == "CT" else Contrast.T1
    scan = Scan("0000-0000", "c", "p", "1", "1", "any", (Source(str(folder), contrast),))
    delivery = Deliveries("folder", tuple(Contrast)).read(scan)
    ((image,),) = (tuple(one.values()) for one in delivery.stations)
    return image, sorted(delivery.flags)


def _modality(folder: Path) -> str:
    for path in sorted(folder.iterdir()):
        try:
            return str(pydicom.dcmread(path, stop_before_pixels=True).get("Modality"))
        except Exception:  # a DICOMDIR, a text
            continue
    return ""


def _theirs(folder: Path, command: str) -> list[nib.Nifti1Image]:
    with tempfile.TemporaryDirectory() as output:
        subprocess.run(
            [command, "-d", "0", "-b", "n", "-z", "n", "-f", "%s_%d", "-o", output, folder],
            stdout=subprocess.DEVNULL,
            check=False,
        )
        return [
            nib.Nifti1Image.from_bytes(path.read_bytes())
            for path in sorted(Path(output).glob("*.nii"))
        ]


def _nearest(image: sitk.Image, others: list[nib.Nifti1Image]) -> Difference | None:
    ours_xyz = sitk.GetArrayViewFromImage(image).T.astype(np.float64)
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    affine = RAS_FROM_LPS @ affine
    differences = [
        each
        for one in others
        if one.ndim == 3 or one.shape[3:] == (1,)
        if (each := _difference(ours_xyz, affine, one)) is not None
    ]
    return min(differences, key=lambda one: (one.voxels, one.place_mm), default=None)


def _difference(
    ours_xyz: npt.NDArray[np.float64], affine: npt.NDArray[np.float64], other: nib.Nifti1Image
) -> Difference | None:
    """Compare with another storage of the image: axes flipped or in another order."""
    to_ours = np.linalg.inv(affine) @ other.affine  # index of theirs -> index of ours
    rounded = np.rint(to_ours[:3, :3])
    order = tuple(int(np.argmax(np.abs(row))) for row in to_ours[:3, :3])
    if order not in permutations(range(3)):
        return None
    voxels = np.asarray(other.dataobj, np.float64).reshape(other.shape[:3]).transpose(order)
    if voxels.shape != ours_xyz.shape:
        return None
    flips = tuple(slice(None, None, int(rounded[axis, order[axis]]) or 1) for axis in range(3))
    corners = np.array([(*corner, 1) for corner in product(*((0, n - 1) for n in other.shape[:3]))])
    places = corners @ to_ours.T  # where theirs lie, in our voxels
    nearest = np.rint(places)
    nearest[:, :3] = np.clip(nearest[:, :3], 0, np.array(ours_xyz.shape) - 1)
    apart_mm = np.linalg.norm((places - nearest)[:, :3] @ affine[:3, :3].T, axis=1)
    factor = float((voxels[flips] * ours_xyz).sum() / max((ours_xyz**2).sum(), 1))
    return Difference(
        factor=factor,
        voxels=float(np.abs(voxels[flips] - factor * ours_xyz).max() / np.abs(voxels).max()),
        place_mm=float(apart_mm.max()),
    )


if __name__ == "__main__":
    main()

"""Files that other packages are tested with: listed and read by Organome, and by their own reader.

    python benchmarks/image_readers.py [FOLDER ...]

Every NIfTI, NRRD, MetaImage and DICOM file of nibabel and pydicom, and of the folders, is a scan of
its own, and so is every folder of several DICOM files. The table says what becomes of each in
listing and preparation: the flags, or the reason and the fact. What is read is compared, in values
(scaled) and, of image files, in affine: NIfTI with nibabel, NRRD and MetaImage with SimpleITK,
DICOM with pydicom. A single DICOM slice is not a scan; its values are compared all the same.

The figures in image_readers.txt are of both packages, of pydicom-data
(github.com/pydicom/pydicom-data), and of the test images of TotalSegmentator, pyradiomics and IBSI.
"""

import argparse
import gzip
import json
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import nibabel as nib
import numpy as np
import pydicom
import pydicom.data
import SimpleITK as sitk
from pydicom.pixels.processing import apply_modality_lut

from organome.domain.errors import ScanError
from organome.domain.scans import Contrast, Scan
from organome.io.dicom.slices import parse_files
from organome.io.dicom.voxels import rescaled_voxels
from organome.io.files.itk import quiet_itk
from organome.io.tables.scan_lists import read_shard
from organome.steps.listing import list_scans
from organome.steps.prepare.deliveries import Deliveries

PACKAGES: Final = {
    "nibabel": Path(nib.__file__).parent,
    "pydicom": Path(pydicom.data.__file__).parent,
}
NIFTI: Final = (".nii", ".nii.gz")
IMAGES: Final = (*NIFTI, ".nrrd", ".mha")
SAME_PLACE_MM: Final = 1e-3
SAME_VALUE: Final = 1e-6  # of a value: single precision
RAS_FROM_LPS: Final = np.diag([-1.0, -1.0, 1.0, 1.0])


class Row(NamedTuple):
    """What became of a file.

    Attributes:
        source: The package or folder that it is of.
        name: Of the file.
        outcome: ``read``, or the reason why not.
        said: The flags, or the fact.
        compared: ``equal``, how it differs, or empty where nothing was read.
    """

    source: str
    name: str
    outcome: str
    said: str
    compared: str


def read_files(folders: dict[str, Path], work: Path) -> list[Row]:
    """List and read all files below some folders.

    Args:
        folders: By the name in the table.
        work: An empty folder for the list and for links.
    """
    found = [
        (source, name, path)
        for source, folder in folders.items()
        for name, path in _scans_below(folder, work / source)
    ]
    lines = ["participant\tinstance\tprotocol\tcontrast\timage"]
    lines += [
        f"{place}\t0\tmr\t{_contrast(path)}\t{path}" for place, (*_, path) in enumerate(found)
    ]
    (work / "scans.tsv").write_text("\n".join(lines) + "\n")
    list_scans.run(
        kind="folder", cohort="files", root=work / "scans.tsv", scans=work / "scans",
        shard_size=len(found),
    )  # fmt: skip
    scans = {int(one.participant): one for one in read_shard(work / "scans" / "0000.parquet")}
    return [
        _row(source, name, path, scans[place]) for place, (source, name, path) in enumerate(found)
    ]


def _scans_below(folder: Path, links: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(one for one in folder.rglob("*") if one.is_file()):
        name = path.relative_to(folder).as_posix()
        if path.name.endswith(IMAGES):
            yield name, path
        elif _is_dicom(path):
            alone = links / name
            alone.mkdir(parents=True)
            content = path.read_bytes()
            (alone / "1.dcm").write_bytes(
                gzip.decompress(content) if path.suffix == ".gz" else content
            )
            yield name, alone
    for one in sorted(one for one in folder.rglob("*") if one.is_dir()):
        if sum(map(_is_dicom, _files(one))) > 1:
            yield f"{one.relative_to(folder).as_posix()}/", one


def _files(folder: Path) -> list[Path]:
    return sorted(one for one in folder.iterdir() if one.is_file())


def _is_dicom(path: Path) -> bool:
    with path.open("rb") as file:
        return path.name.endswith((".dcm", ".dcm.gz")) or file.read(132)[128:] == b"DICM"


def _contrast(path: Path) -> Contrast:
    """Return CT for what says that it is one; the list would otherwise contradict it."""
    is_ct = "ct" in path.name.lower().replace(".", "_").split("_")
    for one in _files(path) if path.is_dir() else ():
        try:
            is_ct |= pydicom.dcmread(one, stop_before_pixels=True, force=True).Modality == "CT"
        except Exception:  # whatever such a file raises
            continue
    return Contrast.CT if is_ct else Contrast.T1


def _row(source: str, name: str, path: Path, scan: Scan) -> Row:
    with warnings.catch_warnings(action="ignore"), quiet_itk():
        try:
            delivery = Deliveries("folder", tuple(Contrast)).read(scan)
        except ScanError as error:
            alone = _slice_compared(path) if path.is_dir() else ""
            return Row(source, name, error.reason.value, error.fact, alone)
        ((image,),) = (tuple(one.values()) for one in delivery.stations)
        compared = _frames_compared(image, path) if path.is_dir() else _image_compared(image, path)
    return Row(source, name, "read", " ".join(sorted(delivery.flags)), compared)


def _image_compared(image: sitk.Image, path: Path) -> str:
    if path.name.endswith(NIFTI):
        theirs: Any = nib.load(path)
        values = np.asarray(theirs.dataobj, np.float64)
        affine = theirs.affine
    else:
        theirs = sitk.ReadImage(path)
        values = sitk.GetArrayFromImage(theirs).T
        affine = _affine(theirs)
    values = values.reshape(values.shape[:3])
    differences = []
    apart_mm = np.abs(_affine(image) - affine).max()
    if apart_mm > SAME_PLACE_MM:
        differences.append(f"affine by {apart_mm:.2g} mm")
    ours = sitk.GetArrayFromImage(image).T
    if not np.allclose(ours, values, rtol=SAME_VALUE, atol=0):
        differences.append(f"values by {np.abs(ours - values).max():.2g}")
    return ", ".join(differences) or "equal"


def _affine(image: sitk.Image) -> Any:
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return RAS_FROM_LPS @ affine


def _slice_compared(folder: Path) -> str:
    """Compare the one slice of a folder; nothing where there is none, or several."""
    paths = _files(folder)
    try:
        (one,) = parse_files((path.name, path.read_bytes()) for path in paths).slices
        ours = rescaled_voxels([one])[0]
    except (ScanError, ValueError):
        return ""
    return "slice equal" if _is_among(ours, _frames(paths)) else "slice differs"


def _frames_compared(image: sitk.Image, folder: Path) -> str:
    frames = _frames(_files(folder))
    n_equal = sum(_is_among(one, frames) for one in sitk.GetArrayViewFromImage(image))
    return "equal" if n_equal == image.GetDepth() else f"{n_equal} of {image.GetDepth()} slices"


def _frames(paths: Sequence[Path]) -> list[Any]:
    frames = []
    for path in paths:
        try:
            dataset = pydicom.dcmread(path, force=True)
            shared = dataset.get("SharedFunctionalGroupsSequence", [dataset])[0]
            each = dataset.get("PerFrameFunctionalGroupsSequence", [dataset])
            pixels = np.atleast_3d(dataset.pixel_array.T).T
        except Exception:  # whatever such a file raises
            continue
        for frame, groups in zip(pixels, each, strict=False):
            stated = [groups, shared]
            rescale = next(
                (
                    one.PixelValueTransformationSequence[0]
                    for one in stated
                    if "PixelValueTransformationSequence" in one
                ),
                dataset,
            )
            frames.append(apply_modality_lut(frame, rescale))
    return frames


def _is_among(plane: Any, frames: Sequence[Any]) -> bool:
    return any(
        plane.shape == one.shape and np.allclose(plane, one, rtol=SAME_VALUE) for one in frames
    )


def main() -> None:
    """Print the table, and figures as JSON in the last line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folders", nargs="*", type=Path)
    folders = PACKAGES | {one.name: one.resolve() for one in parser.parse_args().folders}
    with tempfile.TemporaryDirectory() as work:
        rows = read_files(folders, Path(work))
    for one in rows:
        print(f"{one.source}/{one.name:60.60} {one.compared:14} {one.outcome}: {one.said}")
    figures = {
        "files": len(rows),
        **Counter("read" if one.outcome == "read" else "refused" for one in rows),
        "equal": sum(one.compared == "equal" for one in rows),
        "slices_equal": sum(one.compared == "slice equal" for one in rows),
        "different": sum("equal" not in one.compared and one.compared != "" for one in rows),
        "unforeseen": sum(one.outcome == "unexpected_error" for one in rows),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()

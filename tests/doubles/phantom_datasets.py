"""A phantom cohort, delivered in the layouts of training datasets, each turned another way."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import SimpleITK as sitk

from organome.domain.organs import ORGANS
from organome.domain.scans import Contrast
from organome.domain.schemes import (
    TOTALSEGMENTATOR_CT_CLASSES,
    TOTALSEGMENTATOR_MR_CLASSES,
)
from organome.phantoms import make_phantoms
from organome.phantoms.delivery.defects import Format
from organome.steps.listing import list_scans
from organome.steps.prepare import prepare_images
from organome.steps.segment import segment_organs

# As AMOS22 numbers them, from 1 on; the last is prostate or uterus, which no phantom has.
AMOS_ORGANS = (
    *("spleen", "right_kidney", "left_kidney", "gallbladder", "esophagus", "liver", "stomach"),
    *("aorta", "inferior_vena_cava", "pancreas", "right_adrenal_gland", "left_adrenal_gland"),
    *("duodenum", "urinary_bladder", "prostate_or_uterus"),
)
_NUMBERS = {organ.name: organ.label for organ in ORGANS}


@dataclass(frozen=True)
class Truth:
    """What an image of a dataset shows, towards left, posterior, superior."""

    participant: str
    contrast: Contrast
    image: sitk.Image
    labels: sitk.Image


@dataclass(frozen=True)
class PhantomImage:
    """One image of the phantom cohort."""

    participant: str
    instance: str
    protocol: str
    contrast: Contrast
    path: Path
    truth: Truth


Delivered: TypeAlias = dict[Path, Truth]


def make(folder: Path) -> None:
    """Make two people with MRI, the first of them seen twice, and two with CT."""
    make_phantoms.run(
        output=folder,
        preset="tiny",
        n_participants=2,
        n_repeats=1,
        n_ct=2,
        formats=(Format.NIFTI,),
        defects=(),
        reduce=8,
        n_processes=1,
    )


def images(phantoms: Path, *contrasts: Contrast) -> list[PhantomImage]:
    """Read the images of the phantom cohort with their truth, all if no contrast is named."""
    heading, *rows = (phantoms / "nifti" / "scans.tsv").read_text().splitlines()
    return [
        _image(phantoms, dict(zip(heading.split("\t"), row.split("\t"), strict=True)))
        for row in rows
        if not contrasts or row.split("\t")[3] in contrasts
    ]


def _image(phantoms: Path, row: dict[str, str]) -> PhantomImage:
    path = phantoms / "nifti" / row["image"]
    scan = (row["participant"], row["instance"], row["protocol"])
    labels = sitk.ReadImage(str(phantoms / "truth" / "labelmaps" / f"{'_'.join(scan)}.nii.gz"))
    truth = Truth(scan[0], Contrast(row["contrast"]), sitk.ReadImage(str(path)), labels)
    return PhantomImage(*scan, truth.contrast, path, truth)


def amos22(phantoms: Path, root: Path) -> Delivered:
    """CT below 500 and MRI from there on, with 15 classes; one image a person."""
    made = {}
    numbers = {Contrast.CT: iter((4, 410)), Contrast.T1: iter((507, 600))}
    parts = iter(("Tr", "Va", "Tr", "Va"))
    for one in _first_visits(images(phantoms, Contrast.CT, Contrast.T1)):
        name, part = f"amos_{next(numbers[one.contrast]):04d}", next(parts)
        theirs = {_NUMBERS[organ]: n for n, organ in enumerate(AMOS_ORGANS[:-1], 1)}
        labels = _relabelled(one.truth.labels, theirs)
        labels.reshape(-1)[_background(one.truth.labels)[:5]] = len(AMOS_ORGANS)
        path = root / f"images{part}" / f"{name}.nii.gz"
        _write(path, one.truth.image, "RAS")
        _write(root / f"labels{part}" / f"{name}.nii.gz", _like(one.truth.labels, labels), "RAS")
        made[path] = Truth(name, one.contrast, one.truth.image, one.truth.labels)
    return made


def totalsegmentator(phantoms: Path, root: Path) -> Delivered:
    """CT with a mask for each of 117 classes: lobes, vertebrae, and what the 40 organs lack."""
    made = {}
    for number, one in enumerate(images(phantoms, Contrast.CT)):
        folder = root / f"s{number:04d}"
        classes = _classes(one.truth.labels, TOTALSEGMENTATOR_CT_CLASSES)
        masks = folder / "segmentations"
        _write(masks / "empty.nii.gz", _like(one.truth.labels, np.zeros_like(classes)), "LAS")
        for label, name in enumerate(TOTALSEGMENTATOR_CT_CLASSES, 1):
            if (mask := classes == label).any():
                mask = _like(one.truth.labels, mask.astype(np.uint8))
                _write(masks / f"{name}.nii.gz", mask, "LAS")
            else:
                shutil.copy(masks / "empty.nii.gz", masks / f"{name}.nii.gz")
        (masks / "empty.nii.gz").unlink()
        _write(folder / "ct.nii.gz", one.truth.image, "LAS")
        made[folder / "ct.nii.gz"] = _renamed(one.truth, folder.name)
    (root / "meta.csv").write_text("image_id;age;gender\ns0000;50;f\ns0001;;m\n")
    return made


def totalsegmentator_mr(phantoms: Path, root: Path) -> Delivered:
    """MRI with a labelmap of 50 classes."""
    made = {}
    for number, one in enumerate(_first_visits(images(phantoms, Contrast.T2))):
        folder = root / f"s{number:04d}"
        classes = _classes(one.truth.labels, TOTALSEGMENTATOR_MR_CLASSES)
        _write(folder / "mri.nii.gz", one.truth.image, "RSA")
        _write(folder / "segmentations.nii.gz", _like(one.truth.labels, classes), "RSA")
        made[folder / "mri.nii.gz"] = _renamed(one.truth, folder.name)
    return made


def nnunet(phantoms: Path, root: Path, *, suffix: str = ".nii.gz") -> Delivered:
    """Two cases with names that hold numbers."""
    made = {}
    for number, one in enumerate(_first_visits(images(phantoms, Contrast.T1))):
        case = f"liver_0000_{number}"
        path = root / "imagesTr" / f"{case}_0000{suffix}"
        _write(path, one.truth.image, "PIR")
        _write(root / "labelsTr" / f"{case}{suffix}", one.truth.labels, "PIR")
        made[path] = _renamed(one.truth, case)
    (root / "dataset.json").write_text('{"channel_names": {"0": "MRI"}}')
    return made


def nako(phantoms: Path, root: Path, *, beside: bool = True) -> Delivered:
    """Stitched Dixon images and T2 haste as TPTBox names them.

    Args:
        phantoms: The phantom cohort.
        root: Where.
        beside: Whether labelmaps lie beside their images, and not in ``labels`` for ``images``.
    """
    made = {}
    parts = {"in_phase": "inphase", "opposed_phase": "outphase", "fat": "fat", "water": "water"}
    for one in _first_visits(images(phantoms, Contrast.T2, *map(Contrast, parts))):
        of = f"sub-{one.participant}"
        part = parts.get(one.contrast)
        kind = "vibe" if part else "T2haste"
        stem = f"{of}_sequ-stitched_acq-ax" + (f"_part-{part}" if part else "") + f"_{kind}"
        folder, name = Path(of, kind), f"{stem}.nii.gz"
        image = root / folder / name if beside else root / "images" / folder / name
        labels = root / folder / f"{stem}_seg.nii.gz" if beside else root / "labels" / folder / name
        _write(image, one.truth.image, "PSR")
        _write(labels, one.truth.labels, "PSR")
        made[image] = one.truth
    return made


def ukb(phantoms: Path, root: Path) -> Delivered:
    """Stations of Dixon; at instance 3 only water is labelled, before that one for all four."""
    made = {}
    words = {"in_phase": "in", "opposed_phase": "opp", "fat": "F", "water": "W"}
    for one in images(phantoms, *map(Contrast, words)):
        for station, (image, labels) in enumerate(_stations(one.truth), 1):
            scan = f"{one.participant}_20201_{one.instance}_0_station{station}"
            stem = f"{scan}_{words[one.contrast]}"
            path = root / one.participant / f"{stem}.nii.gz"
            _write(path, image, "LPS")
            if one.instance == "3" and one.contrast is not Contrast.WATER:
                continue
            reference = stem if one.instance == "3" else scan
            _write(path.with_name(f"{reference}_seg.nii.gz"), labels, "LPS")
            made[path] = Truth(one.participant, one.contrast, image, labels)
    return made


def make_run(phantoms: Path, root: Path) -> None:
    """Have a run take the labelmaps of the cohort, and pack those of the first shard."""
    scans = phantoms / "nifti" / "scans.tsv"
    list_scans.run(kind="folder", cohort="p", root=scans, scans=root / "scans", shard_size=4)
    for shard in sorted((root / "scans").glob("*.parquet")):
        prepared, labelled = (
            root / "results" / step / shard.stem for step in ("prepare_images", "segment_organs")
        )
        work = root / "work" / shard.stem
        prepare_images.run(shard=shard, output=prepared, work=work / "p", kind="folder")
        segment_organs.run(
            shard=shard,
            images=prepared,
            output=labelled,
            work=work / "s",
            source="labelmaps",
            pack=shard.stem == "0000",
        )


def of_run(phantoms: Path, root: Path) -> Delivered:
    """Find by its voxels which phantom each image of a run shows."""
    known = {_voxels(one.truth.image).tobytes(): one.truth for one in images(phantoms)}
    paths = (root / "results" / "prepare_images").rglob("*.nii.gz")
    return {path: known[_voxels(sitk.ReadImage(str(path))).tobytes()] for path in paths}


def _first_visits(found: list[PhantomImage]) -> list[PhantomImage]:
    return [one for one in found if one.instance == "2"]


def _stations(truth: Truth) -> Iterator[tuple[sitk.Image, sitk.Image]]:
    """Cut an image into three from the head downwards that overlap by ten slices."""
    n_slices = truth.image.GetDepth()
    ends = np.linspace(n_slices, 0, 4).astype(int).tolist()
    for upper, lower in pairwise(ends):
        yield tuple(one[:, :, max(0, lower - 10) : upper] for one in (truth.image, truth.labels))


def _classes(labels: sitk.Image, classes: list[str]) -> Any:
    """Number voxels as TotalSegmentator does; each lung and the spine are cut along the body."""
    numbers = {name: label for label, name in enumerate(classes, 1)}
    organs, found = sitk.GetArrayFromImage(labels), np.zeros(labels.GetSize()[::-1], np.uint8)
    for organ in ORGANS:
        parts = _parts(organ.name, numbers)
        at = np.argwhere(organs == organ.label)  # from the feet upwards
        for piece, name in zip(np.array_split(at, len(parts)), parts, strict=True):
            found[tuple(piece.T)] = numbers[name]
    for place, name in enumerate(("brain", "humerus_left", "spinal_cord")):
        found.reshape(-1)[_background(labels)[5 * place : 5 * place + 5]] = numbers[name]
    return found


def _parts(organ: str, known: dict[str, int]) -> list[str]:
    """Name the classes of an organ, by what their names say."""
    side, _, stem = organ.partition("_")
    if organ == "spine":
        return [name for name in known if name.startswith("vertebrae")]
    if stem == "lung":
        return [name for name in known if name.startswith("lung") and name.endswith(side)]
    if side not in ("left", "right"):
        return [organ]
    return [f"{stem.removesuffix('_muscle').replace('autochthonous', 'autochthon')}_{side}"]


def _relabelled(labels: sitk.Image, numbers: dict[int, int]) -> Any:
    table = np.zeros(len(ORGANS) + 1, np.uint8)
    table[list(numbers)] = list(numbers.values())
    return table[sitk.GetArrayFromImage(labels)]


def _background(labels: sitk.Image) -> Any:
    return np.flatnonzero(sitk.GetArrayFromImage(labels).reshape(-1) == 0)


def _voxels(image: sitk.Image) -> Any:
    return sitk.GetArrayFromImage(image).astype(np.float32)


def _like(grid: sitk.Image, voxels_zyx: Any) -> sitk.Image:
    image = sitk.GetImageFromArray(voxels_zyx)
    image.CopyInformation(grid)
    return image


def _renamed(truth: Truth, participant: str) -> Truth:
    return Truth(participant, truth.contrast, truth.image, truth.labels)


def _write(path: Path, image: sitk.Image, orientation: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(sitk.DICOMOrient(image, orientation), str(path))

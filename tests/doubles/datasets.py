"""Datasets of eight voxels an edge, laid out as they are delivered."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import yaml

from organome.domain.schemes import SCHEMES

EDGE = 8


def write(path: Path, values_zyx: np.ndarray) -> None:
    """Write an image with voxels of 3 x 2 x 2 mm."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(values_zyx)
    image.SetSpacing((2.0, 2.0, 3.0))
    sitk.WriteImage(image, str(path))


def intensities(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(100, 20, (EDGE, EDGE, EDGE)).astype(np.float32)


def labels(*values: int) -> np.ndarray:
    """Give each label a row of voxels of its own."""
    made = np.zeros((EDGE, EDGE, EDGE), np.uint8)
    made.reshape(-1, EDGE)[1 : len(values) + 1] = np.array(values)[:, None]
    return made


def amos22(root: Path) -> None:
    """A CT, an MRI, and an image of the hidden test set; sex and age as AMOS22 tells them."""
    for number, part in ((1, "Tr"), (507, "Va"), (300, "Ts")):
        write(root / f"images{part}" / f"amos_{number:04d}.nii.gz", intensities(number))
        if part != "Ts":
            reference = root / f"labels{part}" / f"amos_{number:04d}.nii.gz"
            write(reference, labels(1, 2, 3, 9, 14, 15))
    (root / "labeled_data_meta_0000_0599.csv").write_text(
        "amos_id,Patient's Birth Date,Patient's Sex,Patient's Age\n1,,M,054Y\n507,,F,061Y\n"
    )


def totalsegmentator(root: Path) -> None:
    """One person with a mask for each of 117 classes, and one with a labelmap."""
    scheme = SCHEMES["totalsegmentator_ct"]
    for person in ("s0011", "s0058"):
        write(root / person / "ct.nii.gz", intensities(int(person[1:])))
    numbers = {name: label for label, name in scheme.classes.items()}
    places = ("lung_upper_lobe_left", "lung_lower_lobe_left", "vertebrae_L1", "trachea", "liver")
    for label, name in scheme.classes.items():
        row = places.index(name) + 1 if name in places else None
        mask = np.zeros((EDGE, EDGE, EDGE), np.uint8)
        if row is not None:
            mask.reshape(-1, EDGE)[row] = 1
        write(root / "s0011" / "segmentations" / f"{scheme.classes[label]}.nii.gz", mask)
    one = labels(*(numbers[name] for name in places))
    write(root / "s0058" / "segmentations.nii.gz", one)
    (root / "meta.csv").write_text("image_id;age;gender\ns0011;71.0;m\ns0058;;f\n")


def nako(root: Path) -> None:
    """Stitched Dixon images of one person, named as by TPTBox."""
    folder = root / "sub-100001" / "vibe"
    for part in ("water", "fat"):
        stem = f"sub-100001_sequ-stitched_part-{part}_vibe"
        write(folder / f"{stem}.nii.gz", intensities(7))
        write(folder / f"{stem}_seg.nii.gz", labels(1, 5))
    (root / "participants.tsv").write_text("participant_id\tsex\tage\nsub-100001\tF\t50\n")


def ukb(root: Path) -> None:
    """Two stations of one person at two visits, four contrasts each, one labelmap a station."""
    for instance in (2, 3):
        for station in (1, 2):
            stem = f"1234567_20201_{instance}_0_station{station}"
            for contrast in ("in", "opp", "F", "W"):
                write(root / "1234567" / f"{stem}_{contrast}.nii.gz", intensities(station))
            write(root / "1234567" / f"{stem}_seg.nii.gz", labels(5, 24))


def config(path: Path, *datasets: dict[str, Any], **sections: object) -> Path:
    """Write the configuration of a training."""
    content = {"train": {"name": "m"}, "datasets": list(datasets), **sections}
    path.write_text(yaml.safe_dump(content))
    return path


def bodies(root: Path, n_people: int) -> None:
    """People as a table names them: a body of 24 voxels an edge with two organs in it."""
    rows = ["participant\timage\tlabelmap\tcontrast"]
    for person in range(n_people):
        values = np.random.default_rng(person).normal(0, 10, (24, 24, 24)).astype(np.float32)
        organs = np.zeros((24, 24, 24), np.uint8)
        organs[6:14, 4:12, 3:10], organs[12:20, 12:20, 14:22] = 5, 1
        values[2:22, 2:22, 2:22] += 100.0
        values += organs * 40.0
        write(root / "images" / f"{person}.nii.gz", values)
        write(root / "labels" / f"{person}.nii.gz", organs)
        rows.append(f"p{person}\timages/{person}.nii.gz\tlabels/{person}.nii.gz\tct")
    (root / "scans.tsv").write_text("\n".join(rows) + "\n")


# Seconds of training on a CPU; whether it goes through, not what is learned.
TRAIN: Mapping[str, object] = {
    "name": "tiny",
    "tier": "phantom",
    "n_folds": 2,
    "n_epochs": 4,
    "n_iterations": 2,
    "n_val_iterations": 1,
    "augmentation": "light",
    "device": "cpu",
}
PLAN: Mapping[str, object] = {
    "spacing_zyx_mm": [3.0, 2.0, 2.0],
    "patch_zyx": [16, 16, 16],
    "batch_size": 2,
    "n_features": 4,
}
BODIES = {"name": "bodies", "path": "bodies", "layout": "table", "labels": "mrsegmentator"}

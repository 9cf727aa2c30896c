"""Measure one large scan and print the peak memory of this process; to be run as a program."""

import sys
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from organome.domain.outcomes import Outcome, Status
from organome.domain.radiomics_settings import Engine
from organome.domain.scans import Scan
from organome.domain.schemes import MRSEGMENTATOR
from organome.io.images.image_files import write_image
from organome.io.labelled import LabelledShard
from organome.steps.radiomics.measure_radiomics import measured_rows
from organome.steps.radiomics.plans import read_plans

SIZE_ZYX = (160, 200, 200)


def main(folder: Path, setting: str) -> None:
    """Write a body of 40 labels that fills most of the image, and measure it."""
    labels_zyx = np.zeros(SIZE_ZYX, np.uint8)
    labels_zyx[:, 20:180, 20:180] = 1 + np.arange(SIZE_ZYX[0])[:, None, None] // 4
    voxels_zyx = (labels_zyx.astype(np.int16) * 20 + 100) * (labels_zyx > 0)
    voxels_zyx += np.random.default_rng(0).integers(0, 60, SIZE_ZYX, dtype=np.int16)
    for name, array in (("water", voxels_zyx), ("fat", voxels_zyx // 2), ("labels", labels_zyx)):
        image = sitk.GetImageFromArray(array)
        image.SetSpacing((2.0, 2.0, 4.0))
        write_image(folder / f"0000-0000_{name}.nii.gz", image)
    scan = Scan("0000-0000", "demo", "0", "2", "0", "dixon", ())
    facts = {"contrasts": ["fat", "water"]}
    prepared = Outcome(scan.scan, "prepare_images", Status.DONE, "f", facts=facts)
    labelled = Outcome(scan.scan, "segment_organs", Status.DONE, "f", facts={"contrast": "water"})
    published = LabelledShard(
        folder, folder, {scan.scan: prepared}, {scan.scan: labelled}, MRSEGMENTATOR
    )
    plans = read_plans([setting], Engine.NATIVE)
    n_rows = len(list(measured_rows(scan, published, plans)))
    print(n_rows, _peak_bytes())


def _peak_bytes() -> int:
    """Read the peak of this very program: getrusage returns that of its parent, if larger."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])

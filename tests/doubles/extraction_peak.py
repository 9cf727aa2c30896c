"""Measure one image and print what memory that took beyond it; to be run as a program."""

import re
import sys
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from organome.compute.radiomics.extraction import extract_features
from organome.domain.radiomics_settings import RadiomicsSettings


def main(size: int, kind: str) -> None:
    """Measure a cube that is one label but for its outermost layer."""
    small = sitk.GetImageFromArray(np.arange(512).reshape(8, 8, 8).astype(kind))
    extract_features(small, small > 100, RadiomicsSettings())  # loads what is compiled
    labelmap = sitk.Image([size] * 3, sitk.sitkUInt8)
    labelmap[1:-1, 1:-1, 1:-1] = 1
    voxels_zyx = np.random.default_rng(0).integers(0, 500, (size,) * 3, np.int16).astype(kind)
    image = sitk.GetImageFromArray(voxels_zyx)
    del voxels_zyx
    before = _bytes("VmRSS")
    found = extract_features(image, labelmap, RadiomicsSettings())
    print(found[1].n_voxels, _bytes("VmHWM") - before)


def _bytes(name: str) -> int:
    # Not getrusage: it would tell the peak of the parent, which goes on counting through exec.
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import SimpleITK as sitk

from doubles import extraction_peak
from doubles.features import measure_features
from organome.compute.radiomics.extraction import (
    BYTES_PER_FLOAT_VOXEL,
    BYTES_PER_INTEGER_VOXEL,
    BYTES_PER_LEVEL_PAIR,
)
from organome.domain.radiomics_settings import TextureSettings

SIZE = 160


def scan(seed: int) -> tuple[sitk.Image, sitk.Image]:
    chance = np.random.default_rng(seed)
    z, y, x = np.mgrid[:20, :30, :30]
    labels_zyx = (1 + (z // 5) + 4 * (x // 10)).astype(np.uint8)
    labels_zyx[chance.random(labels_zyx.shape) < 0.3] = 0
    voxels_zyx = (chance.normal(300, 60, z.shape) + 4 * y).astype(np.int16)
    return sitk.GetImageFromArray(voxels_zyx), sitk.GetImageFromArray(labels_zyx)


def test_threads_that_measure_different_scans_at_once_do_not_disturb_each_other() -> None:
    scans = [scan(seed) for seed in range(4)]
    settings = [TextureSettings(bin_width=width) for width in (25, 6)]
    alone = [[measure_features(*pair, setting) for setting in settings] for pair in scans]
    with ThreadPoolExecutor(4) as pool:
        futures = [
            [pool.submit(measure_features, *pair, setting) for setting in settings]
            for pair in scans * 3
        ]
        together = [[future.result() for future in of_scan] for of_scan in futures]
    assert together == alone * 3


@pytest.mark.parametrize(
    ("kind", "bytes_per_voxel"),
    [("int16", BYTES_PER_INTEGER_VOXEL), ("float64", BYTES_PER_FLOAT_VOXEL)],
)
def test_memory_stays_within_what_is_promised(kind: str, bytes_per_voxel: int) -> None:
    done = subprocess.run(
        [sys.executable, extraction_peak.__file__, str(SIZE), kind],
        check=True,
        capture_output=True,
        text=True,
    )
    n_voxels, taken = map(int, done.stdout.split())
    assert n_voxels == (SIZE - 2) ** 3
    n_levels = 22
    bound = bytes_per_voxel * SIZE**3 + BYTES_PER_LEVEL_PAIR * n_levels**2
    assert bound / 4 < taken < bound

"""compile_kernels: machine code of all compiled loops, at install time.

For the processor of this machine. Another kind of processor compiles its own once, half a minute,
into the user's cache folder or NUMBA_CACHE_DIR.
"""

from dataclasses import replace
from itertools import product
from typing import Final

import numpy as np
import SimpleITK as sitk
import torch

from organome.compute.inference.logits_interpolation import LogitsInterpolation, linear
from organome.compute.inference.sums import make_sums
from organome.compute.inference.tiling import place_tiles
from organome.compute.kernels import compiled_kernels, kernel_folders
from organome.compute.radiomics.autocorrelation import moran_and_geary
from organome.compute.radiomics.extraction import extract_features
from organome.domain.ibsi_features import Extent
from organome.domain.radiomics_settings import (
    Filters,
    IbsiSettings,
    RadiomicsSettings,
    TextureSettings,
)

_TYPES: Final = (
    *(np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64),
    *(np.float32, np.float64),
)
_SIZE: Final = 6


def run() -> str:
    """Compile all loops for all types of images, as far as that is not done.

    Returns:
        What is there now.
    """
    _compile_radiomics()
    moran_and_geary(np.arange(2), np.arange(2, dtype=np.int32), (60,) * 3, (1.0,) * 3)
    _compile_sums()
    n_there, n = compiled_kernels()
    places = " or ".join(map(str, kernel_folders()))
    return f"{n_there} of {n} compiled loops have their code in {places}"


def _compile_radiomics() -> None:
    """Measure a small image of each type, with each kind of grey levels."""
    chance = np.random.default_rng(1)
    voxels_zyx = chance.integers(0, 120, (_SIZE,) * 3)
    voxels_zyx[0, 0, 0] = 0
    labels_zyx = np.zeros(voxels_zyx.shape, np.uint8)
    labels_zyx[1:-1, 1:-1, 1:-1] = 1
    labels = sitk.GetImageFromArray(labels_zyx)
    levels = (TextureSettings(), TextureSettings(bin_width=2.5), TextureSettings(bin_count=8))
    for kind, texture in product(_TYPES, levels):
        settings = RadiomicsSettings(texture=texture, ibsi=IbsiSettings(tuple(Extent)))
        if kind is np.float32:
            settings = replace(settings, filters=Filters(log_sigmas_mm=(1.0,), wavelet="haar"))
        image = sitk.GetImageFromArray(voxels_zyx.astype(kind))
        extract_features(image, labels, settings)
        in_plane = replace(settings, texture=replace(texture, force_2d=True))
        extract_features(image, labels, in_plane)


def _compile_sums() -> None:
    """Add up a tile of logits and label an image, as the network does on a processor."""
    shape = (_SIZE,) * 3
    sums = make_sums(
        place_tiles(shape, shape, 1.0), 3, np.ones(shape, np.float16), torch.device("cpu")
    )
    sums.open(0)
    sums.add(torch.rand((3, *shape)), (0, 0, 0))
    sums.finish(0, _SIZE)
    z, y, x = (linear(_SIZE, 2 * _SIZE) for _ in range(3))
    found = np.zeros((2 * _SIZE,) * 3, np.uint8)
    sums.export(LogitsInterpolation((z, y, x), rounds_to_half=True), 0, found)

"""Voxels of a region that are left out for their intensity.

Source: pyradiomics 3.0.1, ``imageoperations.resegmentMask``.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from organome.domain.radiomics_settings import Preparation, ResegmentMode


def within_range(intensities: NDArray[Any], preparation: Preparation) -> NDArray[np.bool_]:
    """Tell which voxels of a region stay in it.

    Args:
        intensities: Of the region.
        preparation: One limit is a lower one, two are a range; both ends belong to it.
    """
    assert preparation.resegment_range is not None
    limits: list[Any] = sorted(preparation.resegment_range)
    if preparation.resegment_mode is ResegmentMode.RELATIVE:
        limits = [intensities.max() * limit for limit in limits]
    elif preparation.resegment_mode is ResegmentMode.SIGMA:
        mean, sd = intensities.mean(), intensities.std()
        limits = [mean + sd * limit for limit in limits]
    kept: NDArray[np.bool_] = intensities >= limits[0]
    if len(limits) == 2:
        kept &= intensities <= limits[1]
    return kept

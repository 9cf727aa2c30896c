"""Percentiles near the top of many values, without sorting the many below."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_SAMPLE_STEP: Final = 61  # shares no factor with the usual sizes of images
_MIN_SIZE: Final = _SAMPLE_STEP**2  # fewer are not worth a sample
_MARGIN: Final = 10  # so many times the values above the percentile are sorted


def high_percentile(values: NDArray[Any], percent: float) -> Any:
    """Return ``np.percentile(values, percent)``, bit for bit and in its type.

    A sample tells above which value the percentile lies for sure; only what lies above that is
    sorted. Where the sample misleads, where a value is NaN, or where there are few, it is
    ``np.percentile`` itself.

    Args:
        values: Numbers, any shape.
        percent: Near 100; at 90 and below nothing is gained.
    """
    flat = np.ravel(values)
    if flat.size >= _MIN_SIZE:
        above = 100 - _MARGIN * (100 - percent)
        start = np.percentile(flat[::_SAMPLE_STEP], max(0.0, above), method="lower")
        tail = flat[~(flat <= start)]  # with every NaN
        place = (flat.size - 1) * (percent / 100)
        low = int(place)
        first = low - (flat.size - tail.size)
        if 0 <= first < tail.size - 1 and not np.isnan(tail).any():
            pair = np.partition(tail, (first, first + 1))[first : first + 2]
            return np.quantile(pair, place - low)  # interpolates and rounds as all of them would
    return np.percentile(flat, percent)

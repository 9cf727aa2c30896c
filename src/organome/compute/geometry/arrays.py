"""Types of arrays, each named by what its numbers are."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Labels = NDArray[np.uint8]
Levels = NDArray[np.uint16]  # grey levels, from 1; 0 outside of the region
Halves = NDArray[np.uint16]  # bits of numbers of half precision
Places = NDArray[np.int32]
Counts = NDArray[np.int64]
Indices = NDArray[np.intp]
Singles = NDArray[np.float32]
Floats = NDArray[np.float64]
Voxels = NDArray[Any]

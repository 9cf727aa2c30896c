"""An image in the axes of the model, and labels back on the image's own grid.

nnU-Net ignores orientation: it sees arrays. Every image is brought into the order of axes that the
models were trained in (LPS); spacing is read after that, together with the voxels. Axes are turned
and flipped as views: nothing is copied.

Source: MRSegmentator 2.0 for the order of axes.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

MODEL_AXES: Final = "LPS"
_OPPOSITE: Final = {"R": "L", "A": "P", "I": "S"}
Voxels = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class ImageGrid:
    """The grid of an image, to the last bit, and how its axes lie.

    Attributes:
        size: Voxels along x, y, z.
        spacing_mm: Along x, y, z.
        origin_mm: Of the first voxel, in LPS.
        direction: Cosines, row by row.
    """

    size: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    origin_mm: tuple[float, ...]
    direction: tuple[float, ...]

    @classmethod
    def of(cls, image: sitk.Image) -> "ImageGrid":
        """Take the grid of an image."""
        return cls(image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection())

    @property
    def _stored_axes(self) -> str:
        letters: str = sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(
            self.direction
        )
        return letters

    @property
    def _order_zyx(self) -> tuple[int, ...]:
        """Stored axis, counted as z, y, x, for each axis of the model."""
        stored = [_OPPOSITE.get(letter, letter) for letter in reversed(self._stored_axes)]
        return tuple(stored.index(letter) for letter in reversed(MODEL_AXES))

    @property
    def _flips_zyx(self) -> tuple[slice, ...]:
        """Steps through each axis of the model."""
        stored = self._stored_axes[::-1]
        return tuple(
            slice(None, None, -1 if stored[axis] in _OPPOSITE else 1) for axis in self._order_zyx
        )

    @property
    def model_spacing_zyx_mm(self) -> tuple[float, ...]:
        """Spacing in the axes of the model."""
        stored = self.spacing_mm[::-1]
        return tuple(stored[axis] for axis in self._order_zyx)

    def to_model_axes(self, voxels_zyx: Voxels) -> Voxels:
        """View voxels as they are stored in the axes of the model."""
        return voxels_zyx.transpose(self._order_zyx)[self._flips_zyx]

    def to_stored_axes(self, voxels_zyx: Voxels) -> Voxels:
        """View voxels in the axes of the model as they are to be stored."""
        return voxels_zyx[self._flips_zyx].transpose(np.argsort(self._order_zyx))

    def labelmap(self, labels_zyx: npt.NDArray[np.uint8]) -> sitk.Image:
        """Make a labelmap on this grid of labels in the axes of the model."""
        stored = np.ascontiguousarray(self.to_stored_axes(labels_zyx))
        labelmap = sitk.GetImageFromArray(stored)
        labelmap.SetSpacing(self.spacing_mm)
        labelmap.SetOrigin(self.origin_mm)
        labelmap.SetDirection(self.direction)
        return labelmap

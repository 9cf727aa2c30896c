"""Images of a phantom on their way into a delivery."""

from dataclasses import dataclass

import SimpleITK as sitk

from organome.domain.scans import Contrast


@dataclass(frozen=True, slots=True)
class PhantomSeries:
    """One image of one contrast.

    Attributes:
        contrast: What it shows.
        image: Voxels and grid.
        station: Table position counted from the head; None for an image that is not part of one.
        take: 1, or 2 for a station that was acquired again.
        slice_order: Slice indices in the order in which they are numbered; all, upwards, if None.
            Slices left out get lost.
    """

    contrast: Contrast
    image: sitk.Image
    station: int | None = None
    take: int = 1
    slice_order: tuple[int, ...] | None = None

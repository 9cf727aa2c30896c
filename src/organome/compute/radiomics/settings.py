"""What is measured and how grey levels are made: the part of pyradiomics' settings that is native."""

from dataclasses import dataclass
from typing import Final

MAX_LEVELS: Final = 1000  # above, matrices grow beyond use: 52 MB for a GLCM of 13 directions


@dataclass(frozen=True, slots=True)
class TextureSettings:
    """Settings of one extraction; names and defaults are those of pyradiomics 3.0.1.

    Attributes:
        bin_width: Width of a grey level; used where ``bin_count`` is None.
        bin_count: Number of grey levels between the least and the greatest intensity of a region.
        voxel_array_shift: Added to intensities in Energy, TotalEnergy and RootMeanSquared.
        gldm_a: Grey levels that differ by no more depend on each other.
        force_2d: Whether neighbours are looked for in the plane only.
        force_2d_dimension: Axis left out then, by array order: 0 is z.
        minimum_roi_dimensions: Directions in which a region must extend over more than one voxel.
        minimum_roi_size: A region must have more voxels than this, None: any number.
    """

    bin_width: float = 25
    bin_count: int | None = None
    voxel_array_shift: float = 0
    gldm_a: int = 0
    force_2d: bool = False
    force_2d_dimension: int = 0
    minimum_roi_dimensions: int = 2
    minimum_roi_size: int | None = None

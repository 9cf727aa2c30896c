"""Grids of body scans: the names of their faces, and bounds outside of which a header is wrong."""

from collections.abc import Sequence
from enum import StrEnum
from math import acos, degrees, hypot, isfinite, prod
from typing import Final

from organome.domain.errors import SetupError

MIN_SPACING_MM: Final = 0.05
MAX_SPACING_MM: Final = 25.0
MIN_EXTENT_MM: Final = 10.0
MAX_EXTENT_MM: Final = 3000.0
MAX_SIDE: Final = 2**15 - 1  # NIfTI-1 counts in int16
MAX_VOXELS: Final = 2**31  # 8 GiB of float32
_SIDES_LPS: Final = {  # row of the cosines, and sign
    side: (row, sign)
    for row, pair in enumerate(("RL", "AP", "IS"))
    for side, sign in zip(pair, (-1.0, 1.0), strict=True)
}
MAX_SHEAR_DEG: Final = 0.5  # rounded cosines shear by less than 0.01 degrees
MAX_SCALE: Final = 1e-3  # of a vector of cosines


class Face(StrEnum):
    """Face of the image grid, by the side of the body towards which it looks."""

    LEFT = "left"
    RIGHT = "right"
    ANTERIOR = "anterior"
    POSTERIOR = "posterior"
    SUPERIOR = "superior"
    INFERIOR = "inferior"


def geometry_fault(size_xyz: Sequence[int], spacing_xyz_mm: Sequence[float]) -> str | None:
    """Return why a grid cannot be that of a body scan.

    Args:
        size_xyz: Voxels along each axis.
        spacing_xyz_mm: Voxel spacing along each axis.

    Returns:
        What is implausible, in one line; None if nothing is.
    """
    for axis, size, spacing_mm in zip("xyz", size_xyz, spacing_xyz_mm, strict=True):
        if not (isfinite(spacing_mm) and MIN_SPACING_MM <= spacing_mm <= MAX_SPACING_MM):
            return f"spacing of {spacing_mm:g} mm along {axis}"
        if not MIN_EXTENT_MM <= size * spacing_mm <= MAX_EXTENT_MM:
            return f"extent of {size * spacing_mm:g} mm along {axis}"
        if size > MAX_SIDE:
            return f"{size} voxels along {axis}"
    if prod(size_xyz) > MAX_VOXELS:
        return f"{prod(size_xyz)} voxels"
    return None


def direction_fault(direction: Sequence[float]) -> str | None:
    """Return why direction cosines cannot be those of a body scan.

    With axes that are not at right angles, or not of length 1, spacings do not multiply to the
    volume of a voxel.

    Args:
        direction: Nine cosines, row by row.

    Returns:
        What is implausible, in one line; None if nothing is.
    """
    axes = dict(zip("xyz", (direction[0::3], direction[1::3], direction[2::3]), strict=True))
    for name, axis in axes.items():
        if not abs(hypot(*axis) - 1) <= MAX_SCALE:  # NaN is not, either
            return f"axis {name} is scaled by {hypot(*axis):.3g}"
    for one, other in ("xy", "xz", "yz"):
        cosine = sum(a * b for a, b in zip(axes[one], axes[other], strict=True))
        shear_deg = abs(90 - degrees(acos(max(-1.0, min(1.0, cosine)))))
        if shear_deg > MAX_SHEAR_DEG:
            return f"axes {one} and {other} are {shear_deg:.2g} degrees off a right angle"
    return None


def direction_of(orientation: str) -> tuple[float, ...]:
    """Return the direction cosines of axes that run towards stated sides of the body.

    Args:
        orientation: A side for each of the axes x, y, z: ``RAS`` means towards right, anterior,
            superior.

    Returns:
        Nine cosines in LPS, row by row.

    Raises:
        SetupError: If these are not three sides of three different pairs.
    """
    cosines = [0.0] * 9
    for axis, letter in enumerate(orientation[:3]):
        row, sign = _SIDES_LPS.get(letter, (0, 0.0))
        cosines[3 * row + axis] = sign
    if len(orientation) != 3 or not all(any(cosines[row : row + 3]) for row in (0, 3, 6)):
        raise SetupError(f"orientation {orientation!r} is not three sides, like RAS or LPS")
    return tuple(cosines)

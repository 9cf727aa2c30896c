"""Grids: how the axes of an image run through the body."""

import SimpleITK as sitk


def orientation_code(image: sitk.Image) -> str:
    """Name the side of the body towards which each axis of an image runs.

    Returns:
        Three letters for x, y, z: ``LPS`` means towards left, posterior, superior. Oblique axes
        take the nearest side.
    """
    code: str = sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(image.GetDirection())
    return code

"""Orientation of images."""

import pytest
import SimpleITK as sitk

from organome.compute.geometry.grids import orientation_code


@pytest.mark.parametrize("code", ["LPS", "RAS", "LIP", "PSR"])
def test_code_is_that_of_the_stored_axes(code: str) -> None:
    image = sitk.DICOMOrient(sitk.Image(4, 5, 6, sitk.sitkUInt8), code)
    assert orientation_code(image) == code

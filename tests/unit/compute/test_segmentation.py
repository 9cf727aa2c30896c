import itertools

import numpy as np
import pytest
import SimpleITK as sitk

from organome.compute.segmentation import choose_device, segment
from organome.domain.errors import MachineFault

ORIENTATIONS = [
    "".join(letters)
    for axes in itertools.permutations(("LR", "PA", "SI"))
    for letters in itertools.product(*axes)
]


class CoordinatePredictor:
    """Stands in for nnU-Net's predictor: labels by the place in the array it is given."""

    def predict_single_npy_array(self, voxels_czyx, properties):
        self.shape_zyx = voxels_czyx.shape[1:]
        self.spacing_zyx_mm = properties["spacing"]
        return voxels_czyx[0].astype(np.uint8)


def image_in(orientation: str) -> sitk.Image:
    """An image stored in an orientation, whose voxel values say where they are in LPS order."""
    values = np.arange(4 * 5 * 6, dtype=np.int16).reshape(6, 5, 4)
    lps = sitk.GetImageFromArray(values)
    lps.SetSpacing((1.5, 2.0, 3.0))
    lps.SetOrigin((-7.0, 11.0, 5.0))
    return sitk.DICOMOrient(lps, orientation)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_the_model_sees_lps_and_the_labels_come_back_in_place(orientation: str) -> None:
    image = image_in(orientation)
    predictor = CoordinatePredictor()
    labelmap = segment(image, predictor)
    assert predictor.shape_zyx == (6, 5, 4)
    assert predictor.spacing_zyx_mm == pytest.approx([3.0, 2.0, 1.5])
    assert labelmap.GetPixelID() == sitk.sitkUInt8
    assert labelmap.GetDirection() == image.GetDirection()
    assert labelmap.GetOrigin() == image.GetOrigin()
    assert labelmap.GetSpacing() == image.GetSpacing()
    assert np.array_equal(sitk.GetArrayFromImage(labelmap), sitk.GetArrayFromImage(image))


def test_a_gpu_job_does_not_crawl_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert choose_device("auto").type == "cpu"
    with pytest.raises(MachineFault, match="no GPU"):
        choose_device("cuda")

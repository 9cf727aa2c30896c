"""References of any scheme on the grid of their image."""

from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk

from organome.domain.cases import Case, Role
from organome.domain.scans import Contrast
from organome.domain.schemes import TOTALSEGMENTATOR_CT
from organome.io.images.image_files import read_image
from organome.steps.train.references import organ_labelmap

LIVER = 5


def affine_turned(degrees: float) -> np.ndarray:
    """Steps of 1.5, 15 and 15 mm, turned about the long axis of the body."""
    cosine, sine = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    turned = np.array([[cosine, -sine, 0, 0], [sine, cosine, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    return turned @ np.diag([1.5, 15.0, 15.0, 1.0])


def test_masks_whose_header_is_a_rounded_quaternion(tmp_path: Path) -> None:
    # Near half a turn the quaternion of a mask in single precision is off by a tenth of a voxel
    # at the corners of an image of 400 voxels; its image has a matrix, which is not.
    affine = affine_turned(179.97)
    voxels = np.random.default_rng(0).normal(0, 100, (400, 4, 4)).astype(np.float32)
    nib.save(nib.Nifti1Image(voxels, affine), tmp_path / "ct.nii.gz")
    for name in TOTALSEGMENTATOR_CT.classes.values():
        mask = np.zeros(voxels.shape, np.uint8)
        mask[390:] = name == "liver"
        made = nib.Nifti1Image(mask, None)
        made.header.set_qform(affine, code=1)
        made.header.set_sform(None, code=0)
        (tmp_path / "segmentations").mkdir(exist_ok=True)
        nib.save(made, tmp_path / "segmentations" / f"{name}.nii.gz")
    case = Case(
        *("d_00001", "d", Role.TRAIN, "d", "p", "0", "0", Contrast.CT),
        *(str(tmp_path / "ct.nii.gz"), str(tmp_path / "segmentations"), TOTALSEGMENTATOR_CT.name),
    )
    image = read_image(Path(case.image))
    labels = organ_labelmap(case, TOTALSEGMENTATOR_CT, image)
    expected = np.zeros((4, 4, 400), np.uint8)
    expected[:, :, 390:] = LIVER
    assert np.array_equal(sitk.GetArrayFromImage(labels), expected)
    assert labels.GetDirection() == image.GetDirection()

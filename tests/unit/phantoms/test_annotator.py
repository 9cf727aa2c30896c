"""The scripted annotator: it makes labels truer, as far as it is told to, and numbers them anew."""

from pathlib import Path

import nrrd
import numpy as np
import pytest

from doubles.annotated import LEFT_KIDNEY, LIVER, SPLEEN, picture_of, predicted
from organome.compute.labelmaps.remapping import label_extents
from organome.domain.organs import ORGANS
from organome.io.images.image_files import write_image
from organome.io.viewers.slicer import write_slicer_segmentation
from organome.phantoms.annotator import annotate


@pytest.fixture
def given(tmp_path: Path) -> Path:
    path = tmp_path / "slicer" / "0000-0000.seg.nrrd"
    path.parent.mkdir()
    image = picture_of(predicted())
    write_slicer_segmentation(path, image, ORGANS, label_extents(image))
    return path


@pytest.mark.parametrize(("share", "n_wrong"), [(1.0, 0), (0.5, 6), (0.0, 12)])
def test_a_share_of_the_wrong_voxels_is_put_right(
    given: Path, tmp_path: Path, share: float, n_wrong: int
) -> None:
    true_zyx = predicted()
    true_zyx[true_zyx == SPLEEN] = 0  # 8 voxels too many
    true_zyx[4, 1:3, 7:9] = LIVER  # and 4 of another organ
    assert np.count_nonzero(true_zyx != predicted()) == 12
    truth = tmp_path / "truth.nii.gz"
    write_image(truth, picture_of(true_zyx))
    annotate(given, truth, tmp_path / "edited", share=share)
    voxels, header = nrrd.read(str(tmp_path / "edited" / given.name))
    labels = {organ.name: organ.label for organ in ORGANS}
    found_zyx = np.zeros(true_zyx.shape, np.uint8)
    names = []
    for number in range(sum(key.endswith("_LabelValue") for key in header)):
        value = int(header[f"Segment{number}_LabelValue"])
        assert value == number + 1  # not that of the organ
        names.append(header[f"Segment{number}_Name"])
        found_zyx[value == voxels.T] = labels[names[-1]]
    assert np.count_nonzero(found_zyx != true_zyx) == n_wrong
    present = set(np.unique(found_zyx).tolist()) - {0}
    assert {labels[name] for name in names} == present
    assert present <= {LIVER, SPLEEN, LEFT_KIDNEY}

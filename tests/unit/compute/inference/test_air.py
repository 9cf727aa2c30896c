import numpy as np
import pytest
import SimpleITK as sitk
import torch

from doubles.inference import N_LABELS, tiny_model
from organome.compute.inference.loading import load_segmenter, segment
from organome.compute.inference.tiling import air_limit, place_tiles
from organome.domain.inference import InferenceSettings

PATCH = (16, 32, 32)


def body_in_air(shape: tuple[int, int, int], *, lungs: bool = False) -> np.ndarray:
    rng = np.random.default_rng(2)
    voxels = np.abs(rng.normal(0, 6, shape)).astype(np.float32)
    voxels[:, :40, :40] += 300
    if lungs:
        voxels[:, 10:30, 10:30] -= 180
    return voxels


@pytest.mark.parametrize("lungs", [False, True])
def test_air_is_far_below_all_tissue(lungs: bool) -> None:
    voxels = body_in_air((20, 60, 90), lungs=lungs)
    limit = air_limit(voxels)
    assert (voxels[:, :40, :40] > limit).all()
    assert (voxels[:, :, 45:] <= limit).all()


class Counting(torch.nn.Module):
    """Labels by intensity: 1 where it is bright, background elsewhere."""

    n_tiles = 0

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        self.n_tiles += len(tiles)
        logits = torch.zeros((len(tiles), N_LABELS, *PATCH))
        logits[:, 1] = 9 * tiles[:, 0]
        return logits


def test_only_tiles_without_any_body_are_not_asked_for() -> None:
    image = sitk.GetImageFromArray(body_in_air((20, 60, 90)))
    image.SetSpacing((3.5, 3.5, 4.0))
    labels, n_tiles = [], []
    for skip_air in (False, True):
        segmenter = load_segmenter(
            tiny_model(), device="cpu", settings=InferenceSettings(skip_air=skip_air)
        )
        network = Counting()
        segmenter.networks[:] = [network]
        labels.append(sitk.GetArrayFromImage(segment(image, segmenter)))
        n_tiles.append(network.n_tiles)
    assert np.array_equal(*labels)
    assert labels[0].any()
    rows = place_tiles((20, 60, 90), PATCH, 0.5).rows()
    corners = [corner for row in rows for corner in row.corners]
    with_body = [corner for corner in corners if corner[1] < 40 and corner[2] < 40]
    assert n_tiles == [len(corners), len(with_body)]
    assert 0 < len(with_body) < len(corners)

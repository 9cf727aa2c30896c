import numpy as np
import pytest
import torch
from acvl_utils.cropping_and_padding.padding import pad_nd_image

from doubles.inference import stock_predictor, tiny_model
from doubles.models import PATCH_ZYX
from organome.compute.inference.labelling import pad
from organome.compute.inference.tiling import place_tiles, tile_weights

SHAPES = [(16, 32, 32), (40, 61, 33), (17, 100, 32), (5, 40, 9)]


@pytest.mark.parametrize("step_size", [0.5, 0.8, 1.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_tiles_are_those_of_nnunet(shape: tuple[int, int, int], step_size: float) -> None:
    tiling = place_tiles(shape, PATCH_ZYX, step_size)
    image = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    padded, inner = pad_nd_image(image, PATCH_ZYX, "constant", {"value": 0}, True)
    assert torch.equal(pad(image, tiling), padded)
    assert tiling.before == tuple(part.start for part in inner)
    slicers = stock_predictor(
        tiny_model(), tile_step_size=step_size
    )._internal_get_sliding_window_slicers(padded.shape)
    theirs = [tuple(part.start for part in slicer[1:]) for slicer in slicers]
    assert [corner for row in tiling.rows() for corner in row.corners] == theirs


def test_rows_are_finished_when_no_later_tile_reaches_them() -> None:
    tiling = place_tiles((40, 32, 32), PATCH_ZYX, 0.5)
    rows = list(tiling.rows())
    for i, row in enumerate(rows):
        later = [corner[0] for other in rows[i + 1 :] for corner in other.corners]
        assert row.finished == min(later, default=40)
    assert tiling.n_rows_held == 17


def test_every_voxel_of_a_tile_counts() -> None:
    weights = tile_weights(PATCH_ZYX)
    assert weights.dtype == np.float16
    assert weights.min() > 0
    assert weights.max() == 10.0

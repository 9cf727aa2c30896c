import numpy as np
import pytest
import torch
from nnunetv2.preprocessing.resampling.default_resampling import resample_data_or_seg
from skimage.transform import resize as resize_of_skimage

from organome.compute.inference.resampling import (
    cheapest_order,
    coordinate_matrix,
    resize,
    resize_slices,
)

SHAPES = [
    ((13, 20, 31), (22, 17, 40)),
    ((30, 21, 9), (11, 21, 33)),
    ((5, 9, 8), (1, 9, 20)),
    ((1, 20, 30), (4, 9, 8)),
]


def noise(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("order", [0, 1, 3])
@pytest.mark.parametrize(("present", "wanted"), SHAPES)
def test_it_is_what_skimage_does(present, wanted, order: int) -> None:
    image = noise(present)
    theirs = resize_of_skimage(
        image.astype(float), wanted, order=order, mode="edge", anti_aliasing=False
    )
    ours = resize(torch.from_numpy(image), wanted, order=order).numpy()
    assert np.abs(ours - theirs).max() <= 1e-5
    assert ours.max() <= image.max()


def test_without_the_clip_it_would_not_be() -> None:
    edge = np.zeros((12, 12, 12), dtype=np.float32)
    edge[6:] = 1.0
    resized = resize(torch.from_numpy(edge), (30, 12, 12), order=3).numpy()
    assert (resized.min(), resized.max()) == (0.0, 1.0)
    assert ((resized > 0.01) & (resized < 0.99)).any()


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("order_z", [0, 1, 3])
@pytest.mark.parametrize(("present", "wanted"), SHAPES[:2])
def test_slices_by_themselves_are_what_nnunet_does(
    present, wanted, axis: int, order_z: int
) -> None:
    image = noise(present)
    theirs = resample_data_or_seg(
        image[None], wanted, axis=axis, order=3, do_separate_z=True, order_z=order_z
    )[0]
    ours = resize_slices(
        torch.from_numpy(image),
        wanted,
        axis=axis,
        order=3,
        across=coordinate_matrix(present[axis], wanted[axis], order_z),
    ).numpy()
    assert np.abs(ours - theirs).max() <= 1e-5


def test_the_image_is_left_as_it_is() -> None:
    image = torch.from_numpy(noise((8, 9, 10)))
    before = image.clone()
    resize(image, (10, 9, 8), order=3)
    assert torch.equal(image, before)
    assert resize(image, (8, 9, 10), order=3) is image


def test_axes_that_shrink_come_first() -> None:
    assert cheapest_order((10, 100, 10), (20, 10, 10)) == (1, 0)
    assert cheapest_order((10, 10, 10), (10, 10, 10)) == ()

"""Linear resampling along axes."""

import numpy as np
import pytest

from organome.compute.stitching.stations import Axis, resample_axis

OLD = Axis(start_mm=-10.0, spacing_mm=4.5, n=12)


@pytest.mark.parametrize("dimension", [0, 1, 2])
def test_linear_values_are_reproduced(dimension: int) -> None:
    shape = [3, 3, 3]
    shape[dimension] = OLD.n
    along = [1, 1, 1]
    along[dimension] = OLD.n
    voxels = np.broadcast_to(2 * OLD.centres_mm().reshape(along) + 7, shape)
    new = Axis(start_mm=-8.3, spacing_mm=3.0, n=13)
    resampled = resample_axis(voxels, dimension=dimension, old=OLD, new=new)
    moved = np.moveaxis(resampled, dimension, -1)
    np.testing.assert_allclose(
        moved, np.broadcast_to(2 * new.centres_mm() + 7, moved.shape), rtol=1e-5
    )
    assert resampled.dtype == np.float32


def test_voxels_that_are_there_already_are_not_copied() -> None:
    voxels = np.arange(12, dtype=np.uint16)
    resampled = resample_axis(voxels, dimension=0, old=OLD, new=OLD.part(slice(3, 9)))
    np.testing.assert_array_equal(resampled, voxels[3:9])
    assert np.shares_memory(resampled, voxels)


def test_outermost_value_goes_on_to_the_face() -> None:
    new = Axis(start_mm=OLD.low_mm + 0.1, spacing_mm=0.5, n=4)
    resampled = resample_axis(np.arange(12.0), dimension=0, old=OLD, new=new)
    assert resampled.tolist() == [0, 0, 0, 0]


def test_every_second_voxel() -> None:
    new = Axis(start_mm=OLD.start_mm, spacing_mm=9.0, n=6)
    assert resample_axis(np.arange(12), dimension=0, old=OLD, new=new).tolist() == [
        0,
        2,
        4,
        6,
        8,
        10,
    ]


def test_centres_within_two_places() -> None:
    assert OLD.within(OLD.low_mm, OLD.high_mm) == slice(0, 12)
    assert OLD.within(-5.6, 3.4) == slice(1, 3)
    assert OLD.within(100, 200) == slice(0, 0)

import numpy as np
import SimpleITK as sitk

from organome.compute.stitching.seams import labels_in_view_of


def station(low_mm: float, *, n_slices: int = 10, flipped: bool = False) -> sitk.Image:
    labels_zyx = np.full((n_slices, 4, 5), 7, np.uint8)
    image = sitk.GetImageFromArray(labels_zyx)
    image.SetSpacing((2.0, 2.0, 4.5))
    image.SetOrigin((0.0, 0.0, low_mm))
    if flipped:
        image.SetDirection((1, 0, 0, 0, 1, 0, 0, 0, -1))
        image.SetOrigin((0.0, 0.0, low_mm + 4.5 * (n_slices - 1)))
    return image


def kept_slices(one: sitk.Image, other: sitk.Image) -> list[int]:
    kept = labels_in_view_of(one, other)
    assert kept is not None
    assert (kept.GetSize(), kept.GetOrigin()) == (one.GetSize(), one.GetOrigin())
    return np.flatnonzero(sitk.GetArrayFromImage(kept).any(axis=(1, 2))).tolist()


def test_only_what_both_show_stays() -> None:
    upper, lower = station(31.5), station(0.0)  # seven slices further up
    assert kept_slices(upper, lower) == [0, 1, 2]
    assert kept_slices(lower, upper) == [7, 8, 9]
    assert kept_slices(lower, station(31.5, flipped=True)) == [7, 8, 9]
    assert kept_slices(station(0.0, flipped=True), upper) == [0, 1, 2]


def test_narrower_view_cuts_in_the_plane() -> None:
    narrow = station(0.0)[1:3, :, :]
    kept = labels_in_view_of(station(0.0), narrow)
    assert kept is not None
    assert np.flatnonzero(sitk.GetArrayFromImage(kept).any(axis=(0, 1))).tolist() == [1, 2]


def test_stations_apart_or_askew_share_nothing() -> None:
    assert labels_in_view_of(station(0.0), station(45.0)) is None
    tilted = station(0.0)
    c, s = np.cos(0.2), np.sin(0.2)
    tilted.SetDirection((1, 0, 0, 0, c, -s, 0, s, c))
    assert labels_in_view_of(station(0.0), tilted) is None

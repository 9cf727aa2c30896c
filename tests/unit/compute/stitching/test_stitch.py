"""Stations to one image."""

from collections.abc import Callable
from itertools import permutations

import numpy as np
import numpy.typing as npt
import pytest
import SimpleITK as sitk

from organome.compute.geometry.arrays import Floats
from organome.compute.geometry.grids import orientation_code
from organome.compute.stitching.seams import MAX_GAIN
from organome.compute.stitching.stitch import stitch
from organome.domain.errors import ScanError
from organome.domain.outcomes import Reason
from organome.domain.scans import Contrast

IN_PHASE, FAT, WATER = Contrast.IN_PHASE, Contrast.FAT, Contrast.WATER
Signal = Callable[[Floats, Floats, Floats], Floats]
Station = dict[Contrast, sitk.Image]

# size and slice spacing of three stations, and the height of their lowest faces: 36 mm shared
GRIDS = (((24, 20, 32), 3.0, 0.0), ((24, 22, 22), 4.5, -63.0), ((24, 16, 28), 4.0, -139.0))


def _image(
    signal: Signal, size_xyz: tuple[int, int, int], slice_mm: float, low_mm: float
) -> sitk.Image:
    """Sample a signal on the grid of a station that is centred in-plane."""
    image = sitk.Image(size_xyz, sitk.sitkFloat32)
    image.SetSpacing((2.5, 2.5, slice_mm))
    image.SetOrigin((*(-1.25 * (n - 1) for n in size_xyz[:2]), low_mm + slice_mm / 2))
    x, y, z = (
        image.GetOrigin()[axis] + image.GetSpacing()[axis] * np.arange(size_xyz[axis])
        for axis in range(3)
    )
    voxels = signal(x[None, None, :], y[None, :, None], z[:, None, None])
    sampled = sitk.GetImageFromArray(np.broadcast_to(voxels, size_xyz[::-1]).astype(np.float32))
    sampled.CopyInformation(image)
    return sampled


def _stations(gains: tuple[float, ...] = (1, 1, 1), **signals: Signal) -> list[Station]:
    return [
        {
            Contrast(name): sitk.Multiply(_image(signal, *grid), gain)
            for name, signal in signals.items()
        }
        for grid, gain in zip(GRIDS, gains, strict=True)
    ]


def _ramp(x: Floats, y: Floats, z: Floats) -> Floats:
    return 500 + 2 * x + 3 * y + 1.5 * z


def _share_of_ramp(share: float) -> Signal:
    return lambda x, y, z: share * _ramp(x, y, z)


def _voxels(image: sitk.Image) -> npt.NDArray[np.float32]:
    voxels: npt.NDArray[np.float32] = sitk.GetArrayFromImage(image)
    return voxels


def _refusal(stations: list[Station]) -> ScanError:
    with pytest.raises(ScanError) as caught:
        stitch(stations)
    return caught.value


def test_common_grid_is_the_widest_with_the_finest_slices() -> None:
    image = stitch(_stations(in_phase=_ramp)).images[IN_PHASE]
    assert image.GetSize() == (24, 22, 78)
    assert image.GetSpacing() == (2.5, 2.5, 3.0)
    assert image.GetOrigin() == (-28.75, -26.25, -137.5)
    assert image.GetPixelID() == sitk.sitkFloat32


def test_linear_volume_is_reproduced() -> None:
    image = stitch(_stations(in_phase=_ramp)).images[IN_PHASE]
    size, low_mm = image.GetSize(), image.GetOrigin()[2] - 1.5
    expected = _voxels(_image(_ramp, size, 3.0, low_mm))
    seen = _voxels(image)[:, 3:19]  # rows that every station has
    # in the outer half slices there is nothing to interpolate with
    np.testing.assert_allclose(seen[1:-1], expected[1:-1, 3:19], atol=0.1)


def test_what_no_station_sees_is_0() -> None:
    voxels = _voxels(stitch(_stations(in_phase=_ramp)).images[IN_PHASE])
    assert (voxels[:10, :3] == 0).all()  # beside the narrow station at the foot
    assert (voxels[35:40] > 0).all()  # the widest one


def test_order_of_stations_does_not_matter() -> None:
    stations = _stations(gains=(1, 1.2, 0.9), in_phase=_ramp)
    reference = stitch(stations)
    for shuffled in permutations(stations):
        again = stitch(shuffled)
        np.testing.assert_array_equal(
            _voxels(again.images[IN_PHASE]), _voxels(reference.images[IN_PHASE])
        )
        assert again.seams == reference.seams
        assert again.spans_mm == reference.spans_mm


def test_spans_go_from_head_to_foot() -> None:
    spans_mm = stitch(_stations(in_phase=_ramp)).spans_mm
    np.testing.assert_allclose(spans_mm, [(0, 96), (-63, 36), (-139, -27)])


@pytest.mark.parametrize("code", ["LIP", "RAS", "RPI"])
def test_stations_may_be_stored_flipped_or_turned(code: str) -> None:
    stations = _stations(in_phase=_ramp)
    turned = [
        stations[0],
        {IN_PHASE: sitk.DICOMOrient(stations[1][IN_PHASE], code)},
        stations[2],
    ]
    image = stitch(turned).images[IN_PHASE]
    np.testing.assert_array_equal(_voxels(image), _voxels(stitch(stations).images[IN_PHASE]))
    assert orientation_code(image) == "LPS"


def test_oblique_stations_stay_in_place() -> None:
    tilt = np.radians(8)
    direction = [1, 0, 0, 0, np.cos(tilt), -np.sin(tilt), 0, np.sin(tilt), np.cos(tilt)]
    rotation = np.reshape(direction, (3, 3))
    stations = _stations(in_phase=_ramp)
    straight = stitch(stations).images[IN_PHASE]
    for station in stations:
        image = station[IN_PHASE]
        image.SetOrigin((rotation @ image.GetOrigin()).tolist())
        image.SetDirection(direction)
    oblique = stitch(stations).images[IN_PHASE]
    np.testing.assert_allclose(_voxels(oblique), _voxels(straight), atol=0.1)
    index = (5, 6, 40)
    np.testing.assert_allclose(
        oblique.TransformIndexToPhysicalPoint(index),
        rotation @ straight.TransformIndexToPhysicalPoint(index),
        atol=1e-6,
    )


def test_gain_recovers_a_planted_seam() -> None:
    stitched = stitch(_stations(gains=(1.0, 0.8, 1.5), in_phase=_ramp))
    assert [seam.gain for seam in stitched.seams] == pytest.approx([1 / 0.8, 0.8 / 1.5], abs=1e-3)
    assert [seam.overlap_mm for seam in stitched.seams] == [36.0, 36.0]
    assert max(seam.residual or 1 for seam in stitched.seams) < 1e-3
    # after the gains all stations are as bright as their geometric mean
    overall = (1.0 * 0.8 * 1.5) ** (1 / 3)
    size, low_mm = (24, 22, 78), -139.0
    expected = overall * _voxels(_image(_ramp, size, 3.0, low_mm))
    voxels = _voxels(stitched.images[IN_PHASE])
    np.testing.assert_allclose(voxels[1:-1, 3:19], expected[1:-1, 3:19], rtol=2e-3)


def test_fat_fraction_is_unchanged_by_gains_and_fading() -> None:
    fat, water = _share_of_ramp(0.3), _share_of_ramp(0.7)
    stations = _stations(gains=(1.0, 0.7, 1.6), in_phase=_ramp, fat=fat, water=water)
    images = stitch(stations).images
    in_view = _voxels(images[IN_PHASE]) > 0
    fat_voxels, water_voxels = _voxels(images[FAT])[in_view], _voxels(images[WATER])[in_view]
    np.testing.assert_allclose(fat_voxels / (fat_voxels + water_voxels), 0.3, atol=2e-4)


def test_swap_in_one_station_leaves_the_gain_alone() -> None:
    # no in-phase: the sum of fat and water stands for it
    stations = _stations(fat=_share_of_ramp(0.1), water=_share_of_ramp(0.9))
    stations[1] = {FAT: stations[1][WATER], WATER: stations[1][FAT]}
    assert [seam.gain for seam in stitch(stations).seams] == pytest.approx([1, 1], abs=1e-4)


def test_gain_beyond_reason_is_limited_and_told() -> None:
    seams = stitch(_stations(gains=(1, 0.1, 0.1), in_phase=_ramp)).seams
    assert seams[0].gain == MAX_GAIN
    assert [seam.limited for seam in seams] == [True, False]


def test_gain_of_a_seam_in_air_is_unknown() -> None:
    def few_voxels(x: Floats, y: Floats, z: Floats) -> Floats:
        return np.where(abs(x + y) < 1, 100.0, 0.0) + 0 * z

    seams = stitch(_stations(in_phase=few_voxels)).seams
    assert [(seam.gain, seam.residual) for seam in seams] == [(1.0, None)] * 2


def test_folded_slices_at_the_ends_are_left_out() -> None:
    stations = _stations(in_phase=_ramp)
    clean = _voxels(stitch(stations).images[IN_PHASE])
    upper = _voxels(stations[0][IN_PHASE])
    upper[:2] = 5000.0  # the overlap of 36 mm lets 3 slices of 3 mm and of 4.5 mm go
    folded = sitk.GetImageFromArray(upper)
    folded.CopyInformation(stations[0][IN_PHASE])
    stations[0] = {IN_PHASE: folded}
    np.testing.assert_allclose(_voxels(stitch(stations).images[IN_PHASE]), clean, atol=0.2)


def test_stations_that_only_touch_are_joined() -> None:
    grids = (((24, 22, 20), 3.0, 0.0), ((24, 22, 20), 3.0, -60.0))
    stitched = stitch([{IN_PHASE: _image(_ramp, *grid)} for grid in grids])
    assert stitched.images[IN_PHASE].GetSize() == (24, 22, 40)
    assert stitched.seams[0].overlap_mm == pytest.approx(0)
    assert stitched.seams[0].residual is None
    assert (_voxels(stitched.images[IN_PHASE]) > 0).all()


def test_gap_between_stations() -> None:
    error = _refusal([_stations(in_phase=_ramp)[place] for place in (0, 2)])
    assert error.reason is Reason.STATIONS_APART
    assert "27.0 mm between station 1 and 2" in error.fact


def test_contrast_that_one_station_lacks() -> None:
    stations = _stations(in_phase=_ramp, fat=_ramp)
    del stations[1][FAT]
    error = _refusal(stations)
    assert (error.reason, error.fact) == (Reason.CONTRAST_MISSING, "fat of one station")


def test_contrasts_of_a_station_on_two_grids() -> None:
    stations = _stations(in_phase=_ramp, fat=_ramp)
    stations[1][FAT].SetOrigin((0, 0, 0))
    assert _refusal(stations).reason is Reason.GRIDS_DIFFER


def test_stations_in_different_directions() -> None:
    stations = _stations(in_phase=_ramp)
    tilt = np.radians(3)
    stations[1][IN_PHASE].SetDirection(
        [1, 0, 0, 0, np.cos(tilt), -np.sin(tilt), 0, np.sin(tilt), np.cos(tilt)]
    )
    assert _refusal(stations).reason is Reason.GRIDS_DIFFER


def test_voxels_are_rounded_to_a_power_of_two_far_below_noise() -> None:
    stitched = _voxels(stitch(_stations(in_phase=_share_of_ramp(1 / 3))).images[IN_PHASE])
    step = 2.0 ** (np.ceil(np.log2(stitched.max())) - 15)
    np.testing.assert_array_equal(stitched, np.rint(stitched / step) * step)


def test_hounsfield_units_are_neither_gained_nor_filled_with_water() -> None:
    stitched = stitch(_stations(gains=(1, 1.1, 1.2), ct=_ramp))
    voxels = _voxels(stitched.images[Contrast.CT])
    assert [seam.gain for seam in stitched.seams] == [1, 1]
    assert (voxels[:10, :3] == -1024).all()
    expected = _voxels(_image(_ramp, (24, 22, 78), 3.0, -139.0))
    np.testing.assert_allclose(voxels[-18:-1, 3:19], expected[-18:-1, 3:19], atol=0.1)

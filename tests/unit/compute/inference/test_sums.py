"""Rolling sums against those of the whole image, in the machine's memory and on a device."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from organome.compute.inference.gpu_faults import NotFiniteError
from organome.compute.inference.logits_interpolation import LogitsInterpolation, linear
from organome.compute.inference.sums import DeviceSums, HostSums, TileSums, make_sums
from organome.compute.inference.tiling import Tiling, place_tiles, tile_weights

N_LABELS = 7
PATCH = (8, 10, 12)
CPU = torch.device("cpu")
SHAPE = (30, 21, 25)
NATIVE = (41, 17, 33)

Make = Callable[[Tiling], TileSums]


def host(tiling: Tiling) -> TileSums:
    return HostSums(tiling, N_LABELS, tile_weights(PATCH))


def device(tiling: Tiling) -> TileSums:
    return DeviceSums(tiling, N_LABELS, tile_weights(PATCH), CPU)


def tile_logits(tiling: Tiling) -> dict[tuple[int, int, int], torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return {
        corner: 5 * torch.randn((N_LABELS, *PATCH), generator=generator)
        for row in tiling.rows()
        for corner in row.corners
    }


def interpolation(tiling: Tiling) -> LogitsInterpolation:
    z, y, x = (linear(n, m).moved(b) for n, m, b in zip(SHAPE, NATIVE, tiling.before, strict=True))
    return LogitsInterpolation((z, y, x), rounds_to_half=True)


def labels_by_rolling(tiling: Tiling, sums: TileSums) -> np.ndarray:
    tiles, native = tile_logits(tiling), interpolation(tiling)
    found, n_done = np.zeros(NATIVE, dtype=np.uint8), 0
    for row in tiling.rows():
        sums.open(row.start)
        for corner in row.corners:
            sums.add(tiles[corner], corner)
        sums.finish(row.start, row.finished)
        stop = int((native.axes[0].upper < row.finished).sum())
        sums.export(native, n_done, found[n_done:stop])
        n_done = stop
    assert n_done == NATIVE[0]
    return found


def sums_of_nnunet(tiling: Tiling) -> torch.Tensor:
    """The very operations of ``nnUNetPredictor``, on the whole image at once."""
    sums = torch.zeros((N_LABELS, *tiling.shape), dtype=torch.half)
    weights = torch.zeros(tiling.shape, dtype=torch.half)
    gaussian = torch.from_numpy(tile_weights(PATCH).copy())
    for corner, logits in tile_logits(tiling).items():
        place = tuple(slice(a, a + n) for a, n in zip(corner, PATCH, strict=True))
        prediction = logits.clone()
        prediction *= gaussian
        sums[:, *place] += prediction
        weights[place] += gaussian
    return torch.div(sums, weights, out=sums)


@pytest.mark.parametrize("shape", [SHAPE, (5, 21, 9)])
def test_all_rows_held_they_are_nnunets_sums_to_the_last_bit(shape: tuple[int, int, int]) -> None:
    tiling = place_tiles(shape, PATCH, 0.5)
    expected = sums_of_nnunet(tiling)
    whole = DeviceSums(tiling, N_LABELS, tile_weights(PATCH), CPU, n_rows_held=tiling.shape[0])
    rolling: Any = HostSums(tiling, N_LABELS, tile_weights(PATCH))
    tiles = tile_logits(tiling)
    for row in tiling.rows():
        for sums in (whole, rolling):
            sums.open(row.start)
            for corner in row.corners:
                sums.add(tiles[corner], corner)
            sums.finish(row.start, row.finished)
        for z in range(row.start, row.finished):
            logits = rolling._sums_zcyx[z % tiling.n_rows_held].view(np.float16)
            assert np.array_equal(logits, expected[:, z].numpy())
    assert tiling.n_rows_held <= tiling.shape[0]
    inner = tuple(slice(b, b + n) for b, n in zip(tiling.before, shape, strict=True))
    assert torch.equal(whole.logits(shape), expected[:, *inner])


def test_rolling_and_whole_sums_give_the_same_labels_on_any_device() -> None:
    tiling = place_tiles(SHAPE, PATCH, 0.5)
    assert tiling.n_rows_held < tiling.shape[0]
    whole = DeviceSums(tiling, N_LABELS, tile_weights(PATCH), CPU, n_rows_held=tiling.shape[0])
    expected = labels_by_rolling(tiling, whole)
    assert len(np.unique(expected)) == N_LABELS
    for make in (host, device):
        assert np.array_equal(labels_by_rolling(tiling, make(tiling)), expected)


@pytest.mark.parametrize("make", [host, device])
def test_what_no_tile_has_seen_is_background(make: Make) -> None:
    tiling = place_tiles(SHAPE, PATCH, 0.5)
    sums = make(tiling)
    found = np.full(NATIVE, 9, dtype=np.uint8)
    native = interpolation(tiling)
    for row in tiling.rows():
        sums.open(row.start)
        for corner in row.corners:
            if corner[2] == 0:
                logits = torch.zeros((N_LABELS, *PATCH))
                logits[3] = 4.0
                sums.add(logits, corner)
        sums.finish(row.start, row.finished)
        stop = int((native.axes[0].upper < row.finished).sum())
        first = int((native.axes[0].upper < row.start).sum())
        sums.export(native, first, found[first:stop])
    assert (found[:, :, : NATIVE[2] // 3] == 3).all()
    assert (found[:, :, NATIVE[2] // 2 + 2 :] == 0).all()


@pytest.mark.parametrize("make", [host, device])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e6])
def test_what_is_no_number_is_found(make: Make, value: float) -> None:
    tiling = place_tiles(SHAPE, PATCH, 1.0)
    sums = make(tiling)
    row = next(iter(tiling.rows()))
    sums.open(row.start)
    for corner in row.corners:
        sums.add(torch.zeros((N_LABELS, *PATCH)), corner)
    spoilt = torch.zeros((N_LABELS, *PATCH))
    spoilt[4, 3, 5, 6] = value
    sums.add(spoilt, row.corners[-1])
    with pytest.raises(NotFiniteError):
        sums.finish(row.start, row.finished)
        sums.check()


def test_logits_of_a_gpu_are_weighted_in_half_precision_as_nnunet_does() -> None:
    tiling = place_tiles(PATCH, PATCH, 0.5)
    logits = next(iter(tile_logits(tiling).values())).half()
    weighted = logits.clone()
    weighted *= torch.from_numpy(tile_weights(PATCH).copy())
    for make in (host, device):
        sums = make(tiling)
        sums.open(0)
        sums.add(logits, (0, 0, 0))
        assert torch.equal(in_half(sums), weighted)


def test_without_a_processor_for_halves_torch_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    tiling = place_tiles(SHAPE, PATCH, 0.5)
    assert isinstance(make_sums(tiling, N_LABELS, tile_weights(PATCH), CPU), HostSums)
    monkeypatch.setattr(
        "organome.compute.inference.sum_kernels.processor_converts_halves", lambda: False
    )
    assert isinstance(make_sums(tiling, N_LABELS, tile_weights(PATCH), CPU), DeviceSums)


def test_folds_are_averaged_as_nnunet_does_it() -> None:
    tiling = place_tiles((8, 21, 9), PATCH, 0.5)
    chance = torch.Generator().manual_seed(4)
    logits = [fold * 1.37 * torch.randn((N_LABELS, *PATCH), generator=chance) for fold in (1, 2, 3)]
    found = []
    for make in (host, device):
        mean, *folds = (make(tiling) for _ in range(4))
        for one, of_fold in zip((mean, *folds), (logits[0], *logits), strict=True):
            one.open(0)
            for row in tiling.rows():
                for corner in row.corners:
                    if one is not mean:
                        one.add(of_fold, corner)
        for one in folds:
            one.finish(0, 8)
        mean.average(folds, 0, 8)
        mean.finish(0, 8)
        rings = [in_half(one) for one in (mean, *folds)]
        expected = rings[1].clone()
        for ring in rings[2:]:
            expected += ring
        expected /= 3
        assert torch.equal(rings[0], expected)
        found.append(rings[0])
    assert torch.equal(*found)


def test_rows_are_finished_without_a_copy_of_their_sums() -> None:
    tiling = place_tiles((40, 64, 64), PATCH, 0.5)
    sums = DeviceSums(tiling, N_LABELS, tile_weights(PATCH), CPU)
    sums.open(0)
    stop = PATCH[0] // 2
    profiled = torch.autograd.profiler.profile(use_kineto=False, profile_memory=True)
    with profiled as profile:
        sums.finish(0, stop)
    n_voxels = stop * tiling.shape[1] * tiling.shape[2]
    most = max(event.cpu_memory_usage for event in profile.function_events)
    assert most == 8 * n_voxels  # places of the highest, an index each
    assert most < 2 * N_LABELS * n_voxels  # the sums


@pytest.mark.parametrize("value", [float("inf"), -float("inf"), float("nan")])
@pytest.mark.parametrize("label", [0, N_LABELS - 1])
def test_a_logit_that_is_not_finite_is_found_whatever_it_is(value: float, label: int) -> None:
    tiling = place_tiles(PATCH, PATCH, 0.5)
    sums = DeviceSums(tiling, N_LABELS, tile_weights(PATCH), CPU)
    logits = torch.zeros((N_LABELS, *PATCH))
    logits[label, 2, 3, 4] = value
    sums.open(0)
    sums.add(logits, (0, 0, 0))
    sums.finish(0, PATCH[0])
    with pytest.raises(NotFiniteError):
        sums.check()


def in_half(sums: Any) -> torch.Tensor:
    """Logits of all rows, label first."""
    if isinstance(sums, DeviceSums):
        return sums._sums_czyx
    return torch.from_numpy(sums._sums_zcyx.view(np.float16)).permute(1, 0, 2, 3)


def test_of_all_halves_the_highest_is_found_and_of_equals_the_lowest_label() -> None:
    from organome.compute.inference.sum_kernels import VOXELS, finish_row

    finite = np.arange(1 << 16, dtype=np.uint16)
    finite = finite[np.isfinite(finite.view(np.float16))]  # 0 and -0 among them
    chance = np.random.default_rng(4)
    logits_cv = np.stack([chance.permutation(finite) for _ in range(41)])
    logits_cv[7, ::5] = logits_cv[2, ::5]
    logits_cv[:2, ::3] = np.array([[0x8000], [0]])  # -0 and 0 are equal
    logits_cv[2:, ::3] = np.float16(-1).view(np.uint16)
    logits_cv = np.ascontiguousarray(logits_cv[:, :-100])
    n_voxels = logits_cv.shape[1]
    assert n_voxels % VOXELS
    weights = chance.choice(np.float16([1, 2, 5]), n_voxels)
    unseen = np.array([VOXELS - 1, VOXELS, n_voxels - 1])
    weights[unseen] = 0
    expected = logits_cv.view(np.float16) / np.where(weights, weights, np.float16(1))
    expected[1:, unseen] = -100
    labels = np.empty(n_voxels, dtype=np.uint8)
    assert finish_row(logits_cv, weights.view(np.uint16), labels)
    assert np.array_equal(logits_cv.view(np.float16), expected)
    assert np.array_equal(labels, expected.argmax(0))
    assert (labels[::3] == 0).all()
    assert len(set(labels.tolist())) == 41

"""How many tiles go through a network at a time; memory of a GPU that is pretended."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from doubles.inference import tiny_model
from organome.compute.inference.batches import choose_batch, largest_batch
from organome.compute.inference.labelling import batches
from organome.compute.inference.network import FoldNetworks, load_networks
from organome.domain.inference import InferenceSettings, Precision

PATCH = (4, 4, 4)
CPU = torch.device("cpu")


class Counted(nn.Module):
    """Takes 100 bytes a tile and 50 once, three times as much where a shape is new."""

    def __init__(self, gpu: SimpleNamespace, room: int) -> None:
        super().__init__()
        self.gpu, self.room, self.seen = gpu, room, []

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        n = len(tiles)
        taken = (50 + 100 * n) * (1 if n in self.seen else 3)
        if taken > self.room:
            raise MemoryError
        self.seen.append(n)
        self.gpu.peak = max(self.gpu.peak, taken)
        return tiles


@pytest.mark.parametrize(
    ("wanted", "room", "n_tiles", "n_bytes"),
    [
        (0, 100_000, 8, 850),
        (0, 1600, 4, 450),
        (0, 460, 1, None),
        (3, 10**6, 3, 350),
        (3, 9, 3, None),
    ],
)
def test_a_batch_is_what_half_of_the_room_holds_and_every_shape_is_seen_before(
    monkeypatch: pytest.MonkeyPatch, wanted: int, room: int, n_tiles: int, n_bytes: int | None
) -> None:
    gpu = SimpleNamespace(peak=0)
    network = Counted(gpu, room)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: 0)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda _: gpu.peak)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda _: vars(gpu).update(peak=0))
    folds = FoldNetworks([network], device=CPU, mirroring_axes=(), settings=InferenceSettings())
    found = choose_batch(folds, PATCH, wanted=wanted, room_bytes=room)
    assert (found.n_tiles, found.n_bytes) == (n_tiles, n_bytes)
    if n_bytes is not None:
        corners = [(0, 0, x) for x in range(23)]
        assert {len(part) for part in batches(corners, n_tiles)} <= set(network.seen)


def test_half_of_the_room_is_the_bound() -> None:
    assert [largest_batch(150, 250, room) for room in (0, 500, 899, 900, 10**9)] == [1, 2, 2, 4, 8]


@pytest.mark.parametrize("size", [1, 2, 3, 8, 100])
def test_batches_hold_every_tile_in_order(size: int) -> None:
    corners = [(0, y, x) for y in range(3) for x in range(5)]
    parts = list(batches(corners, size))
    assert [corner for part in parts for corner in part] == corners
    assert {len(part) for part in parts} <= {size, 1, 2, 4, 8}


def test_weights_are_rounded_once_to_what_autocast_would_make_of_them() -> None:
    settings = InferenceSettings(precision=Precision.BFLOAT16)
    tiles = torch.randn((1, 1, 16, 32, 32), generator=torch.Generator().manual_seed(5))
    model = tiny_model()
    (plain,), ours = load_networks(model), load_networks(model)
    folds = FoldNetworks(ours, device=CPU, mirroring_axes=(), settings=settings)
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        expected = plain.eval()(tiles)
    with torch.inference_mode():
        (found,) = folds.logits_by_fold(tiles)
    assert {one.dtype for one in ours[0].parameters()} == {torch.bfloat16, torch.float32}
    assert (found - expected).abs().max() < 0.05 * expected.abs().max()

"""How many tiles a GPU takes at a time, measured before an image is in its memory.

cuDNN chooses a way to compute a layer among those whose workspace fits into what is free when it
first sees a shape. So all shapes are shown to it here, before sums of logits take theirs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch

from organome.compute.inference.gpu_faults import lacks_memory
from organome.compute.inference.network import FoldNetworks

MOST: Final = 8  # at most some dozen tiles lie in a row of tiles, and batches end with it


@dataclass(frozen=True, slots=True)
class Batch:
    """Tiles that go through the network at a time.

    Attributes:
        n_tiles: How many.
        n_bytes: The most that they took besides the weights; None where that is not known.
    """

    n_tiles: int
    n_bytes: int | None


def choose_batch(
    folds: FoldNetworks, patch: Sequence[int], *, wanted: int, room_bytes: int
) -> Batch:
    """Find how many tiles to take at a time, and show the GPU all batches there will be.

    Args:
        folds: On a GPU.
        patch: Shape of a tile.
        wanted: How many; 0 for as many as half of the room holds.
        room_bytes: What this process may take of the GPU beyond what it has.
    """
    try:
        n_tiles = wanted or largest_batch(_ask(folds, patch, 1), _ask(folds, patch, 2), room_bytes)
        smaller = [1 << power for power in range(n_tiles.bit_length()) if 1 << power < n_tiles]
        return Batch(n_tiles, max(_ask(folds, patch, n) for n in (*smaller, n_tiles)))
    except (RuntimeError, MemoryError) as error:
        if not lacks_memory(error):
            raise
    finally:
        torch.cuda.empty_cache()
    return Batch(wanted or 1, None)


def largest_batch(one_bytes: int, two_bytes: int, room_bytes: int) -> int:
    """Return the largest power of two of tiles that half of the room holds; 1 in any case."""
    more_bytes = max(1, two_bytes - one_bytes)
    n_tiles = MOST
    while n_tiles > 1 and one_bytes + (n_tiles - 1) * more_bytes > room_bytes // 2:
        n_tiles //= 2
    return n_tiles


def _ask(folds: FoldNetworks, patch: Sequence[int], n_tiles: int) -> int:
    """Take tiles through all folds, twice: the first time the ways are tried, in more memory.

    Returns:
        Bytes that the second time took.
    """
    torch.cuda.empty_cache()
    taken = 0
    with torch.inference_mode():
        for _ in range(2):
            before = torch.cuda.memory_allocated(folds.device)
            torch.cuda.reset_peak_memory_stats(folds.device)
            for _ in folds.logits_by_fold(torch.zeros((n_tiles, 1, *patch))):
                pass
            taken = torch.cuda.max_memory_allocated(folds.device) - before
    return taken

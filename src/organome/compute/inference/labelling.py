"""A prepared image through the network, and labels on the image's own grid.

Tiles are visited along the first axis. Rows of logits to which no further tile adds are turned into
labels of the image at once, and the memory they took is used again: logits of the whole image never
exist. Sums are the same, in the same order, as if they did.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from organome.compute.geometry.arrays import Labels
from organome.compute.inference.logits_interpolation import LogitsInterpolation
from organome.compute.inference.network import FoldNetworks
from organome.compute.inference.preparation import Preparation, PreparedImage
from organome.compute.inference.sums import DeviceSums, TileSums, make_sums
from organome.compute.inference.tiling import Corner, Tiling, air_limit, tile_weights
from organome.domain.inference import InferenceSettings


def visit_tiles(
    prepared: PreparedImage,
    tiling: Tiling,
    networks: FoldNetworks,
    sums: Sequence[TileSums],
    settings: InferenceSettings,
) -> Iterator[int]:
    """Ask the networks tile by tile, and sum up what they say.

    Args:
        prepared: The image.
        tiling: Where its tiles lie.
        networks: All folds.
        sums: Those of the mean over folds; then, where they are needed, those of each fold.
        settings: How it is done.

    Yields:
        Rows that are finished, after each row of tiles, as the index behind the last of them.

    Raises:
        NotFiniteError: Logits are NaN or infinite.
    """
    where = networks.device if settings.sums_on_device else torch.device("cpu")
    voxels_zyx = pad(torch.from_numpy(prepared.voxels_zyx).to(where), tiling)
    first, n_rows = tiling.before[0], prepared.voxels_zyx.shape[0]
    averages = settings.averages_finished(len(networks.networks))
    body_zyx = None
    if settings.skip_air:
        is_body = prepared.voxels_zyx > air_limit(prepared.voxels_zyx)
        body_zyx = pad(torch.from_numpy(is_body), tiling)
    for row in tiling.rows():
        for one in sums:
            one.open(row.start)
        wanted = [
            corner
            for corner in row.corners
            if body_zyx is None or _cut(body_zyx, corner, tiling).any()
        ]
        for corners in batches(wanted, settings.tile_batch):
            tiles = torch.stack([_cut(voxels_zyx, corner, tiling) for corner in corners])
            _add(networks, tiles[:, None], corners, sums, averages=averages)
        _finish(sums, max(row.start, first), min(row.finished, first + n_rows), averages=averages)
        yield row.finished
    for one in sums:
        one.check()


def batches(corners: Sequence[Corner], size: int) -> Iterator[Sequence[Corner]]:
    """Divide tiles into batches of the wanted size, and what is left into powers of two.

    So a GPU sees few shapes, all of them before the first image: each new one costs it a search for
    a way to compute it, and compiled networks their compiler.
    """
    first = 0
    while n_left := len(corners) - first:
        n = size if n_left >= size else 1 << (n_left.bit_length() - 1)
        yield corners[first : first + n]
        first += n


def _finish(sums: Sequence[TileSums], start: int, stop: int, *, averages: bool) -> None:
    mean, *of_folds = sums
    for one in of_folds:
        one.finish(start, stop)
    if averages:
        mean.average(of_folds, start, stop)
    mean.finish(start, stop)


def _add(
    networks: FoldNetworks,
    tiles: torch.Tensor,
    corners: Sequence[Corner],
    sums: Sequence[TileSums],
    *,
    averages: bool,
) -> None:
    n_folds = len(networks.networks)
    mean: torch.Tensor | None = None
    for fold, logits in enumerate(networks.logits_by_fold(tiles)):
        for of_fold in sums[1 + fold : 2 + fold]:
            for number, corner in enumerate(corners):
                of_fold.add(logits[number], corner)
        if not averages:
            mean = logits if mean is None else mean.float() + logits
    if mean is None:
        return
    for number, corner in enumerate(corners):
        sums[0].add(mean[number] / n_folds if n_folds > 1 else mean[number], corner)


def _cut(voxels_zyx: torch.Tensor, corner: Corner, tiling: Tiling) -> torch.Tensor:
    z, y, x = (slice(first, first + n) for first, n in zip(corner, tiling.patch, strict=True))
    return voxels_zyx[z, y, x]


def pad(voxels_zyx: torch.Tensor, tiling: Tiling) -> torch.Tensor:
    """Add zeros around an image that is smaller than a tile."""
    margins: list[int] = []
    for n, wanted, before in zip(
        reversed(voxels_zyx.shape), reversed(tiling.shape), reversed(tiling.before), strict=True
    ):
        margins += [before, wanted - n - before]
    return functional.pad(voxels_zyx, margins) if any(margins) else voxels_zyx


def label_image(
    prepared: PreparedImage,
    tiling: Tiling,
    networks: FoldNetworks,
    interpolation: LogitsInterpolation,
    *,
    n_labels: int,
    settings: InferenceSettings,
) -> list[Labels]:
    """Label a prepared image.

    Args:
        prepared: The image.
        tiling: Where its tiles lie.
        networks: All folds.
        interpolation: From the grid of the model to that of the cropped image.
        n_labels: Outputs of the networks.
        settings: How it is done.

    Returns:
        Labels of the whole image in the order of axes of the plans; then, if wanted, those of each
        fold alone.

    Raises:
        NotFiniteError: Logits are NaN or infinite.
    """
    where = networks.device if settings.sums_on_device else torch.device("cpu")
    n_sums = settings.n_sums(len(networks.networks))
    sums = [make_sums(tiling, n_labels, tile_weights(tiling.patch), where) for _ in range(n_sums)]
    exported = sums if settings.fold_labels else sums[:1]
    wholes: list[Labels] = [np.zeros(prepared.shape_zyx, dtype=np.uint8) for _ in exported]
    padded = _within_padding(interpolation, tiling)
    n_done = 0
    for finished in visit_tiles(prepared, tiling, networks, sums, settings):
        # All slices that lie between finished rows.
        stop = int(np.searchsorted(padded.axes[0].upper, finished, side="left"))
        if stop > n_done:
            for one, whole in zip(exported, wholes, strict=True):
                one.export(padded, n_done, whole[prepared.box][n_done:stop])
            n_done = stop
    return wholes


def _within_padding(interpolation: LogitsInterpolation, tiling: Tiling) -> LogitsInterpolation:
    z, y, x = (
        axis.moved(before) for axis, before in zip(interpolation.axes, tiling.before, strict=True)
    )
    return LogitsInterpolation((z, y, x), interpolation.rounds_to_half)


def label_by_stock(
    prepared: PreparedImage,
    tiling: Tiling,
    networks: FoldNetworks,
    preparation: Preparation,
    *,
    dataset: dict[str, Any],
    settings: InferenceSettings,
) -> list[npt.NDArray[np.uint8]]:
    """Label a prepared image with all its logits in memory at once.

    Args:
        prepared: The image.
        tiling: Where its tiles lie.
        networks: All folds.
        preparation: nnU-Net's plans and configuration.
        dataset: Content of the model's ``dataset.json``.
        settings: How it is done.

    Returns:
        As ``label_image``.

    Raises:
        NotFiniteError: Logits are NaN or infinite.
    """
    labels = preparation.plans.get_label_manager(dataset)
    where = networks.device if settings.sums_on_device else torch.device("cpu")
    sums = [
        DeviceSums(
            tiling,
            labels.num_segmentation_heads,
            tile_weights(tiling.patch),
            where,
            n_rows_held=tiling.shape[0],
        )
        for _ in range(settings.n_sums(len(networks.networks)))
    ]
    for _ in visit_tiles(prepared, tiling, networks, sums, settings):
        pass
    return [
        _export(one.logits(prepared.voxels_zyx.shape), prepared, preparation, labels)
        for one in (sums if settings.fold_labels else sums[:1])
    ]


def _export(
    logits_czyx: torch.Tensor, prepared: PreparedImage, preparation: Preparation, labels: Any
) -> npt.NDArray[np.uint8]:
    resampled = preparation.configuration.resampling_fn_probabilities(
        logits_czyx,
        prepared.cropped_shape_zyx,
        prepared.model_spacing_zyx_mm,
        prepared.spacing_zyx_mm,
    )
    whole_zyx = np.zeros(prepared.shape_zyx, dtype=np.uint8)
    whole_zyx[prepared.box] = np.asarray(labels.convert_logits_to_segmentation(resampled))
    return whole_zyx

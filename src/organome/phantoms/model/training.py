"""Training of a small network on phantom cases.

nnU-Net's recipe (deep supervision, Dice plus cross-entropy, foreground oversampling, no mirroring)
with a loop of its own, because on a few CPU cores the stock loader and augmentation cost as much
as the network. Differences: AdamW with a cosine schedule, weights averaged over time, patches
drawn around every organ equally often.

Source: Isensee et al. 2021, nnU-Net, Nature Methods 18(2); Häntze et al. 2024 for mixing MRI and CT
in one network without mirroring.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import SimpleITK as sitk
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from organome.domain.organs import N_ORGANS
from organome.domain.scans import Contrast
from organome.phantoms.bodies.anatomy import Body, draw_body
from organome.phantoms.bodies.canvas import Point
from organome.phantoms.rendering.render import (
    SampledGrid,
    render_image,
    truth_labelmap,
)

CONTRAST_SHARES: Final[dict[Contrast, float]] = {
    Contrast.WATER: 0.26,
    Contrast.OPPOSED_PHASE: 0.14,
    Contrast.IN_PHASE: 0.12,
    Contrast.FAT: 0.08,
    Contrast.T1: 0.07,
    Contrast.T2: 0.07,
    Contrast.T1FS: 0.06,
    Contrast.CT: 0.20,
}
WHOLE_SCAN_SHARE: Final = 0.6
CASE_SPACING_MM: Point = (2.0, 2.0, 3.0)  # canvas of a training body: a little coarser, quicker


@dataclass(frozen=True, slots=True)
class Case:
    """One training image.

    Attributes:
        contrast: What the intensity shows.
        voxels_zyx: Intensities, mean 0 and standard deviation 1 over the image; float16.
        labels_zyx: Organ labels; uint8.
    """

    contrast: Contrast
    voxels_zyx: NDArray[np.float16]
    labels_zyx: NDArray[np.uint8]


def draw_case(seed: int, spacing_xyz_mm: Point, contrast: Contrast | None = None) -> Case:
    """Draw a body, a contrast and a field of view, and render them.

    Args:
        seed: The same seed gives the same case.
        spacing_xyz_mm: Grid of the network.
        contrast: Drawn by ``CONTRAST_SHARES`` when None.
    """
    rng = np.random.default_rng([seed, 42])
    drawn = rng.choice(list(CONTRAST_SHARES), p=list(CONTRAST_SHARES.values()))
    contrast = contrast or Contrast(drawn)
    body = draw_body(seed, spacing_xyz_mm=CASE_SPACING_MM)
    grid = draw_field_of_view(body, contrast, spacing_xyz_mm, rng)
    image = render_image(body, contrast, grid, rng)
    voxels = sitk.GetArrayFromImage(image).astype(np.float32)
    voxels = (voxels - voxels.mean()) / max(float(voxels.std()), 1e-8)
    labels = sitk.GetArrayFromImage(truth_labelmap(body, grid))
    return Case(contrast, voxels.astype(np.float16), labels)


def draw_field_of_view(
    body: Body, contrast: Contrast, spacing_xyz_mm: Point, rng: np.random.Generator
) -> SampledGrid:
    """Draw what part of a body is imaged: a whole neck-to-knee scan, or a part of a trunk."""
    jitter = rng.uniform(-12, 12, 3)
    if contrast is not Contrast.CT and rng.random() < WHOLE_SCAN_SHARE:
        extent = np.array([500.0, 388.0, 1110.0])
        middle = np.array([0.0, 0.0, 105.0]) + jitter
    else:
        width = rng.uniform(380, 510)
        depth = width if contrast is Contrast.CT and rng.random() < 0.7 else rng.uniform(310, 430)
        extent = np.array([width, depth, rng.uniform(200, 800)])
        tall = body.covariates.height_m / 1.75
        low, high = -330.0 * tall + extent[2] / 2, 640.0 * tall - extent[2] / 2
        middle = np.array([0.0, 0.0, rng.uniform(min(low, high), max(low, high))])
        middle[:2] += jitter[:2]
    spacing = np.asarray(spacing_xyz_mm)
    size = np.rint(extent / spacing).astype(int)
    origin = middle - spacing * (size - 1) / 2
    in_plane = rng.uniform(0.8, 2.4)
    return SampledGrid(
        (int(size[0]), int(size[1]), int(size[2])),
        spacing_xyz_mm,
        (float(origin[0]), float(origin[1]), float(origin[2])),
        (in_plane, in_plane, float(rng.uniform(1.5, 5.0))),
    )


PEAK_RATE: Final = 5e-3
WARM_UP: Final = 0.02  # share of the budget
WEIGHT_DECAY: Final = 1e-4
AVERAGING: Final = 0.997  # share of the averaged weights that a step keeps
RARITY: Final = 0.2  # labels weigh by frequency to the minus this; 0.5 drew organs far too large
ORGAN_CENTRED: Final = 0.7  # share of patches drawn around an organ
PLACES_PER_ORGAN: Final = 64


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a training stands.

    Attributes:
        n_steps: Optimiser steps done.
        share: Share of the budget used, 0 to 1.
        loss: Mean loss since the last report.
        weights: The averaged weights so far: the state of the network as it would be kept.
    """

    n_steps: int
    share: float
    loss: float
    weights: Mapping[str, Tensor]


class PatchSampler:
    """Draws patches from cases, around organs that are equally likely however small they are."""

    def __init__(self, cases: Sequence[Case], patch_zyx: Sequence[int], seed: int) -> None:
        """Index where the organs of every case lie."""
        self._cases = cases
        self._patch = np.asarray(patch_zyx)
        self._rng = np.random.default_rng([seed, 43])
        self._places = [self._index(case.labels_zyx) for case in cases]
        counts = sum(np.bincount(c.labels_zyx.ravel(), minlength=N_ORGANS + 1) for c in cases)
        weights = np.maximum(counts, 1.0) ** -RARITY
        self.label_weights = torch.from_numpy((weights / weights.mean()).astype(np.float32))

    def draw(self) -> tuple[Tensor, Tensor]:
        """Draw one patch: voxels (1, 1, z, y, x) and labels (1, z, y, x)."""
        k = int(self._rng.integers(len(self._cases)))
        case, places = self._cases[k], self._places[k]
        shape = np.asarray(case.labels_zyx.shape)
        if places and self._rng.random() < ORGAN_CENTRED:
            spots = places[int(self._rng.integers(len(places)))]
            centre = spots[int(self._rng.integers(len(spots)))]
            centre = centre + self._rng.integers(-self._patch // 4, self._patch // 4 + 1)
        else:
            centre = self._rng.integers(0, shape)
        low = np.clip(centre - self._patch // 2, 0, np.maximum(shape - self._patch, 0))
        box = tuple(slice(int(a), int(a + n)) for a, n in zip(low, self._patch, strict=True))
        voxels = self._varied(case.voxels_zyx[box].astype(np.float32))
        labels = case.labels_zyx[box].astype(np.int64)
        pad = [(0, int(n - size)) for n, size in zip(self._patch, labels.shape, strict=True)]
        voxels, labels = np.pad(voxels, pad), np.pad(labels, pad)
        return torch.from_numpy(voxels)[None, None], torch.from_numpy(labels)[None]

    def _varied(self, voxels: NDArray[np.float32]) -> NDArray[np.float32]:
        rng = self._rng
        gain, offset = np.exp(rng.normal(0, 0.1)), rng.normal(0, 0.1)
        voxels = voxels * np.float32(gain) + np.float32(offset)
        if rng.random() < 0.3:
            noise = rng.standard_normal(voxels.shape, dtype=np.float32)
            voxels = voxels + noise * np.float32(rng.uniform(0, 0.1))
        return voxels

    def _index(self, labels: NDArray[np.uint8]) -> list[NDArray[np.int64]]:
        rng = self._rng
        flat = np.flatnonzero(labels)
        values = labels.ravel()[flat]
        order = np.argsort(values, kind="stable")
        starts = np.searchsorted(values[order], np.arange(1, N_ORGANS + 2))
        places = []
        for a, b in pairwise(starts):
            if b > a:
                chosen = flat[order[rng.integers(a, b, PLACES_PER_ORGAN)]]
                places.append(np.stack(np.unravel_index(chosen, labels.shape), axis=1))
        return places


def train(
    network: nn.Module,
    sampler: PatchSampler,
    *,
    share_used: Callable[[], float],
    report_every: int = 200,
) -> Iterator[Progress]:
    """Train a network, yielding its progress and averaged weights; the last yield is the result.

    Args:
        network: With deep supervision; returns a sequence of logits, finest first.
        sampler: Source of patches.
        share_used: Returns the share of the budget that is used, 0 to 1; training ends at 1.
        report_every: Steps between two reports.
    """
    network.train()
    averaged = deepcopy(network)  # whole, so that tensors that share memory go on sharing it
    optimizer = torch.optim.AdamW(network.parameters(), PEAK_RATE, weight_decay=WEIGHT_DECAY)
    n_steps, losses = 0, 0.0
    while (share := share_used()) < 1.0:
        for group in optimizer.param_groups:
            group["lr"] = PEAK_RATE * _schedule(share)
        voxels, labels = sampler.draw()
        with torch.autocast("cpu", torch.bfloat16):
            outputs = network(voxels.to(memory_format=torch.channels_last_3d))
        loss = deep_loss(outputs, labels, sampler.label_weights)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 12.0)
        optimizer.step()
        n_steps += 1
        keep = min(AVERAGING, (1.0 + n_steps) / (10.0 + n_steps))
        with torch.no_grad():
            for mean, value in zip(averaged.parameters(), network.parameters(), strict=True):
                mean.lerp_(value, 1.0 - keep)
        losses += float(loss.detach())
        if n_steps % report_every == 0:
            yield Progress(n_steps, share, losses / report_every, averaged.state_dict())
            losses = 0.0
    yield Progress(n_steps, 1.0, losses / max(n_steps % report_every, 1), averaged.state_dict())


def deep_loss(outputs: Sequence[Tensor], labels: Tensor, label_weights: Tensor) -> Tensor:
    """Sum the losses of all outputs, each coarser one with half the weight of the finer.

    Args:
        outputs: Logits (b, c, z, y, x), finest first.
        labels: Labels (b, z, y, x) at the finest grid.
        label_weights: Weight by label in the cross-entropy, shape (c,).
    """
    total = outputs[0].new_zeros((), dtype=torch.float32)
    weights = [0.5**k for k in range(len(outputs) - 1)]  # the coarsest is left out, as in nnU-Net
    for weight, logits in zip(weights, outputs, strict=False):
        coarse = labels
        if logits.shape[2:] != labels.shape[1:]:
            size = list(logits.shape[2:])
            coarse = functional.interpolate(labels[:, None].float(), size, mode="nearest-exact")
            coarse = coarse[:, 0].long()
        total = total + weight / sum(weights) * _loss(logits.float(), coarse, label_weights)
    return total


def _loss(logits: Tensor, labels: Tensor, label_weights: Tensor) -> Tensor:
    entropy = functional.cross_entropy(logits, labels, weight=label_weights)
    shares = logits.softmax(1).flatten(2)[0]  # (c, voxels)
    flat = labels.flatten()
    n_labels = shares.shape[0]
    hits = shares.new_zeros(n_labels).index_add(0, flat, shares.gather(0, flat[None])[0])
    truth = torch.bincount(flat, minlength=n_labels).to(shares.dtype)
    present = truth[1:] > 0
    dice = (2 * hits + 1.0) / (shares.sum(1) + truth + 1.0)
    overlap = dice[1:][present]
    return entropy - (overlap.mean() if overlap.numel() else entropy.new_zeros(()))


def _schedule(share: float) -> float:
    if share < WARM_UP:
        return max(share / WARM_UP, 0.01)
    return float(0.5 * (1.0 + np.cos(np.pi * (share - WARM_UP) / (1.0 - WARM_UP)))) + 1e-3

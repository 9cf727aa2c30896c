"""Models: a folder of plans and weights, known by its digest."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Model:
    """A segmentation model in the layout of nnU-Net v2.

    Attributes:
        name: Name of its folder.
        digest: SHA-256 over plans, dataset and all checkpoints: the identity of the model.
        plans: Content of ``plans.json``.
        dataset: Content of ``dataset.json``.
        configuration: Configuration that the weights were trained with.
        mirroring_axes: Axes that inference may mirror, None where the model was trained without.
        weights: State of the network, one mapping a fold.
    """

    name: str
    digest: str
    plans: Mapping[str, Any]
    dataset: Mapping[str, Any]
    configuration: str
    mirroring_axes: tuple[int, ...] | None
    weights: tuple[Mapping[str, Any], ...]

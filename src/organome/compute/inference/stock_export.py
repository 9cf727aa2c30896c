"""nnU-Net's own export, for plans that interpolate logits in a way that is not known here."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from organome.compute.inference.device_sums import DeviceSums
from organome.compute.inference.fold_networks import FoldNetworks
from organome.compute.inference.labelling import visit_tiles
from organome.compute.inference.preparation import Preparation, PreparedImage
from organome.compute.inference.tiling import Tiling, tile_weights
from organome.domain.inference import InferenceSettings


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
    n_sums = 1 + (len(networks.networks) if settings.fold_labels else 0)
    where = networks.device if settings.sums_on_device else torch.device("cpu")
    sums = [
        DeviceSums(
            tiling,
            labels.num_segmentation_heads,
            tile_weights(tiling.patch),
            where,
            n_rows_held=tiling.shape[0],
        )
        for _ in range(n_sums)
    ]
    for _ in visit_tiles(prepared, tiling, networks, sums, settings):
        pass
    return [
        _export(one.logits(prepared.voxels_zyx.shape), prepared, preparation, labels)
        for one in sums
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

"""Prepared images against those of nnU-Net's own preprocessor."""

from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from doubles.inference import SKIMAGE, soft_image
from doubles.models import tiny_plans
from doubles.plans import CONFIGURATION, phantom_dataset
from organome.compute.inference.preparation import Preparation, nonzero_box

TORCH = {
    "resampling_fn_data": "resample_torch_fornnunet",
    "resampling_fn_data_kwargs": {"is_seg": False, "force_separate_z": None},
}
CASES: dict[str, dict[str, Any]] = {
    "z-score": {},
    "z-score within a mask": {"use_mask_for_norm": [True]},
    "CT": {"normalization_schemes": ["CTNormalization"]},
    "CT within a mask": {
        "normalization_schemes": ["CTNormalization"],
        "use_mask_for_norm": [True],
    },
    "0 to 1": {"normalization_schemes": ["RescaleTo01Normalization"]},
    "as it is": {"normalization_schemes": ["NoNormalization"]},
    "order 1": {
        "resampling_fn_data_kwargs": {"is_seg": False, "order": 1, "force_separate_z": False}
    },
    "order 0": {
        "resampling_fn_data_kwargs": {"is_seg": False, "order": 0, "force_separate_z": False}
    },
    "thick slices of the model": {**SKIMAGE, "spacing": [13.0, 3.0, 3.0]},
    "thick slices, order 1 across": {
        "spacing": [13.0, 3.0, 3.0],
        "resampling_fn_data_kwargs": {
            **{"is_seg": False, "order": 3, "order_z": 1, "force_separate_z": None}
        },
    },
    "slices forced": {
        "resampling_fn_data_kwargs": {
            **{"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": True}
        },
    },
    "a threshold of its own": {
        "resampling_fn_data_kwargs": {
            **{"is_seg": False, "order": 3, "force_separate_z": None},
            "separate_z_anisotropy_threshold": 1.2,
        },
    },
    "torch": TORCH,
    "torch, thick slices": {**TORCH, "spacing": [13.0, 3.0, 3.0]},
    "a function unknown here": {
        "resampling_fn_data": "no_resampling_hack",
        "resampling_fn_data_kwargs": {},
    },
}
ORDERS = {"zyx": ([0, 1, 2], [0, 1, 2]), "xzy": ([2, 0, 1], [1, 2, 0])}


def managers(order: str, **configuration: Any) -> PlansManager:
    plans = deepcopy(tiny_plans())
    plans["transpose_forward"], plans["transpose_backward"] = ORDERS[order]
    plans["foreground_intensity_properties_per_channel"]["0"] = {
        **{"mean": 280.0, "std": 90.0, "percentile_00_5": 40.0, "percentile_99_5": 500.0}
    }
    plans["configurations"][CONFIGURATION] |= deepcopy(configuration)
    return PlansManager(plans)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", CASES)
def test_it_is_what_nnunet_prepares(name: str, order: str) -> None:
    image = soft_image((26, 24, 20), (2.5, 2.2, 3.0), margin=3)
    plans = managers(order, **CASES[name])
    configuration = plans.get_configuration(CONFIGURATION)
    properties: dict[str, Any] = {"spacing": list(image.GetSpacing()[::-1])}
    voxels_czyx = sitk.GetArrayFromImage(image)[None]
    theirs, _, _ = DefaultPreprocessor(verbose=False).run_case_npy(
        voxels_czyx, None, properties, plans, configuration, phantom_dataset(1)
    )
    prepared = Preparation(plans, configuration)(image)
    assert prepared.voxels_zyx.dtype == np.float32
    assert prepared.voxels_zyx.shape == theirs.shape[1:]
    spread = max(1.0, float(np.abs(theirs).max()))
    assert np.abs(prepared.voxels_zyx - theirs[0]).max() <= 1e-5 * spread
    assert prepared.shape_zyx == properties["shape_before_cropping"]
    assert [[part.start, part.stop] for part in prepared.box] == properties[
        "bbox_used_for_cropping"
    ]


@pytest.mark.parametrize(
    "kind", [sitk.sitkUInt8, sitk.sitkInt16, sitk.sitkFloat32, sitk.sitkFloat64]
)
def test_any_type_of_voxel_will_do(kind: int) -> None:
    plans = managers("zyx")
    prepare = Preparation(plans, plans.get_configuration(CONFIGURATION))
    image = sitk.Clamp(soft_image((16, 14, 12), (2.5, 2.2, 3.0)), sitk.sitkInt16, 0, 255)
    assert np.array_equal(prepare(sitk.Cast(image, kind)).voxels_zyx, prepare(image).voxels_zyx)


def test_the_box_holds_all_that_is_not_zero() -> None:
    voxels = np.zeros((6, 7, 8), dtype=np.int16)
    assert nonzero_box(voxels) == (slice(0, 6), slice(0, 7), slice(0, 8))
    voxels[2, 3, 4] = -5
    voxels[3, 5, 1] = 1
    assert nonzero_box(voxels) == (slice(2, 4), slice(3, 6), slice(1, 5))

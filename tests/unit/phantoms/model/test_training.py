import numpy as np
import pytest
import torch

from organome.compute.inference.network import build_network
from organome.domain.organs import N_ORGANS
from organome.domain.scans import Contrast
from organome.phantoms.model.plans import CONFIGURATION, SPACING_ZYX_MM, phantom_plans
from organome.phantoms.model.training import Case, PatchSampler, deep_loss, draw_case, train


def case_with(labels: dict[tuple[int, int, int], int], shape: tuple[int, int, int]) -> Case:
    labels_zyx = np.zeros(shape, np.uint8)
    for place, label in labels.items():
        labels_zyx[place] = label
    return Case(Contrast.T1, labels_zyx.astype(np.float16), labels_zyx)


def test_small_organs_are_drawn_as_often_as_large_ones() -> None:
    shape = (8, 8, 64)
    labels_zyx = np.zeros(shape, np.uint8)
    labels_zyx[:, :, :20] = 5  # large
    labels_zyx[4, 4, 60] = 8  # one voxel
    case = Case(Contrast.T1, labels_zyx.astype(np.float16), labels_zyx)
    sampler = PatchSampler([case], (4, 4, 8), seed=0)
    seen = [set(np.unique(sampler.draw()[1].numpy())) for _ in range(300)]
    n_small = sum(8 in labels for labels in seen)
    assert n_small > 50


def test_images_smaller_than_the_patch_are_padded() -> None:
    sampler = PatchSampler([case_with({(1, 1, 1): 3}, (2, 3, 4))], (4, 4, 8), seed=0)
    voxels, labels = sampler.draw()
    assert voxels.shape == (1, 1, 4, 4, 8)
    assert labels.shape == (1, 4, 4, 8)


def test_a_perfect_answer_costs_less_than_a_wrong_one() -> None:
    labels = torch.randint(0, N_ORGANS + 1, (1, 4, 8, 8))
    right = torch.nn.functional.one_hot(labels, N_ORGANS + 1).movedim(-1, 1).float() * 20
    wrong = right.roll(1, dims=1)
    weights = torch.ones(N_ORGANS + 1)
    assert deep_loss([right, right], labels, weights) < -0.99 + 0.01
    assert deep_loss([wrong, wrong], labels, weights) > 5


def test_training_learns() -> None:
    torch.manual_seed(0)
    plans = phantom_plans()
    architecture = plans["configurations"][CONFIGURATION]["architecture"]
    architecture["arch_kwargs"]["features_per_stage"] = [4] * 5
    network = build_network(plans, CONFIGURATION, n_outputs=N_ORGANS + 1, deep_supervision=True)
    rng = np.random.default_rng(0)
    labels_zyx = np.zeros((16, 32, 32), np.uint8)
    labels_zyx[:, :, 16:] = 5
    voxels = labels_zyx / 5.0 + rng.normal(0, 0.1, labels_zyx.shape)
    case = Case(Contrast.T1, voxels.astype(np.float16), labels_zyx)
    shares = iter(np.linspace(0, 1, 150))
    reports = list(
        train(
            network,
            PatchSampler([case], (16, 32, 32), seed=0),
            share_used=lambda: float(next(shares)),
            report_every=10,
        )
    )
    assert reports[-1].share == 1.0
    assert reports[-2].loss < 0.5 * reports[0].loss
    assert all(torch.isfinite(value).all() for value in reports[-1].weights.values())


@pytest.mark.parametrize("contrast", [Contrast.CT, Contrast.WATER])
def test_cases_look_like_what_nnunet_hands_to_the_network(contrast: Contrast) -> None:
    spacing = (2 * SPACING_ZYX_MM[2], 2 * SPACING_ZYX_MM[1], 2 * SPACING_ZYX_MM[0])
    case = draw_case(11, spacing, contrast)
    voxels = case.voxels_zyx.astype(np.float64)
    assert voxels.mean() == pytest.approx(0, abs=0.01)
    assert voxels.std() == pytest.approx(1, abs=0.01)
    assert case.labels_zyx.shape == voxels.shape
    assert 5 < np.unique(case.labels_zyx).size <= N_ORGANS + 1
    again = draw_case(11, spacing, contrast)
    assert np.array_equal(again.voxels_zyx, case.voxels_zyx)


def test_tensors_that_share_memory_go_on_sharing_it() -> None:
    plans = phantom_plans()
    network = build_network(plans, CONFIGURATION, n_outputs=N_ORGANS + 1, deep_supervision=True)
    sampler = PatchSampler([case_with({(1, 1, 1): 3}, (16, 32, 32))], (16, 32, 32), seed=0)
    (report,) = train(network, sampler, share_used=lambda: 1.0)
    n_tensors = len({value.data_ptr() for value in network.state_dict().values()})
    assert n_tensors < len(report.weights)
    assert len({value.data_ptr() for value in report.weights.values()}) == n_tensors

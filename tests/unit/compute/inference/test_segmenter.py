"""Labels of the whole engine against those of nnU-Net's own predictor."""

import itertools
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from doubles.inference import N_LABELS, SKIMAGE, soft_image, stock_labels, tiny_model
from organome.compute.inference.loading import load_segmenter, segment
from organome.compute.inference.segmenter import _ever_leaner
from organome.compute.inference.sums import make_sums
from organome.domain.errors import ScanError
from organome.domain.inference import FoldAverage, InferenceSettings, InputResampling
from organome.domain.models import Model
from organome.domain.outcomes import Reason

TINY = load_segmenter(tiny_model(), device="cpu")
ORIENTATIONS = [
    "".join(letters)
    for axes in itertools.permutations(("LR", "PA", "SI"))
    for letters in itertools.product(*axes)
]
PLAIN = soft_image((40, 36, 30), (2.5, 2.2, 3.0))
CASES: dict[str, tuple[sitk.Image, dict[str, Any]]] = {
    "plain": (PLAIN, {}),
    "skimage's export": (PLAIN, SKIMAGE),
    "zeros around it": (soft_image((44, 40, 36), (2.5, 2.2, 3.0), margin=5), SKIMAGE),
    "smaller than a tile": (soft_image((12, 14, 9), (3.1, 3.0, 4.2)), {}),
    "the model's own grid": (soft_image((35, 36, 20), (3.5, 3.5, 4.0)), SKIMAGE),
    "thick slices": (soft_image((40, 36, 9), (2.5, 2.2, 14.0)), SKIMAGE),
    "thick slices, by torch": (
        soft_image((40, 36, 9), (2.5, 2.2, 14.0)),
        {"resampling_fn_probabilities_kwargs": {"is_seg": False, "force_separate_z": None}},
    ),
    "sagittal slices": (soft_image((11, 36, 40), (13.0, 2.2, 2.5)), SKIMAGE),
    "a model of thick slices": (PLAIN, {**SKIMAGE, "spacing": [12.0, 3.0, 3.0]}),
    "another order of axes": (
        PLAIN,
        {"plans": {"transpose_forward": [2, 0, 1], "transpose_backward": [1, 2, 0]}},
    ),
    "other axes and zeros": (
        soft_image((44, 40, 36), (2.5, 2.2, 3.0), margin=4),
        {**SKIMAGE, "plans": {"transpose_forward": [1, 2, 0], "transpose_backward": [2, 0, 1]}},
    ),
    "mirrored": (PLAIN, {"mirroring_axes": (0, 2)}),
    "five folds": (PLAIN, {**SKIMAGE, "n_folds": 5}),
    "an export unknown here": (
        soft_image((20, 18, 16), (2.5, 2.2, 3.0), margin=2),
        {**SKIMAGE, "resampling_fn_probabilities_kwargs": {"is_seg": False, "order": 2}},
    ),
}


def labels_of(image: sitk.Image, model: Model, **settings: Any) -> np.ndarray:
    segmenter = load_segmenter(model, device="cpu", settings=InferenceSettings(**settings))
    return sitk.GetArrayFromImage(segment(image, segmenter))


@pytest.mark.parametrize("name", CASES)
def test_labels_are_those_of_nnunet(name: str) -> None:
    image, changes = CASES[name]
    model = tiny_model(**changes)
    theirs = stock_labels(image, model)
    assert len(np.unique(theirs)) > 5
    assert np.mean(labels_of(image, model) == theirs) >= 0.9999


def test_folds_can_be_averaged_in_less_memory_and_it_is_said() -> None:
    image, changes = CASES["five folds"]
    found = {}
    for average in FoldAverage:
        settings = InferenceSettings(fold_average=average)
        segmenter = load_segmenter(tiny_model(**changes), device="cpu", settings=settings)
        inferred = segmenter.infer(segmenter.prepare(image))
        assert inferred.fold_average is average
        found[average] = inferred.labels_zyx
    # Before they are rounded, in labels that are noise: some voxels are that close to two.
    n_other = np.count_nonzero(found[FoldAverage.AS_NNUNET] != found[FoldAverage.BY_TILE])
    assert 0 < n_other < 1e-3 * found[FoldAverage.BY_TILE].size
    assert TINY.infer(TINY.prepare(PLAIN)).fold_average is None


def test_orientation_and_its_spacing_change_nothing() -> None:
    lps = soft_image((24, 20, 18), (2.5, 4.2, 3.0))
    expected = sitk.GetArrayFromImage(segment(lps, TINY))
    assert len(ORIENTATIONS) == 48
    for orientation in ORIENTATIONS[::5]:
        image = sitk.DICOMOrient(lps, orientation)
        labelmap = segment(image, TINY)
        assert labelmap.GetPixelID() == sitk.sitkUInt8
        assert grid_of(labelmap) == grid_of(image)
        back = sitk.GetArrayFromImage(sitk.DICOMOrient(labelmap, "LPS"))
        assert np.array_equal(back, expected), orientation


def grid_of(image: sitk.Image) -> tuple[Any, ...]:
    return image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection()


def test_orientation_is_what_nnunet_would_be_given() -> None:
    image = sitk.DICOMOrient(soft_image((24, 20, 18), (2.5, 4.2, 3.0)), "ASR")
    model = tiny_model()
    ours = sitk.DICOMOrient(segment(image, load_segmenter(model, device="cpu")), "LPS")
    assert np.mean(sitk.GetArrayFromImage(ours) == stock_labels(image, model)) >= 0.9999


@pytest.mark.parametrize(
    "settings",
    [{"tile_batch": 3}, {"tile_batch": 100}, {"folds_resident": False, "sums_on_device": False}],
)
def test_settings_that_must_not_change_labels(settings: dict[str, Any]) -> None:
    model = tiny_model(n_folds=2)
    assert np.array_equal(labels_of(PLAIN, model, **settings), labels_of(PLAIN, model))


def test_the_image_is_left_as_it_is() -> None:
    image = soft_image((24, 20, 18), (2.5, 4.2, 3.0), margin=3)
    before = sitk.GetArrayFromImage(image)
    segmenter = _tiny()
    prepared = segmenter.prepare(image)
    voxels = prepared.voxels_zyx.copy()
    first = segmenter.infer(prepared)
    assert np.array_equal(sitk.GetArrayFromImage(image), before)
    assert np.array_equal(prepared.voxels_zyx, voxels)
    assert np.array_equal(segmenter.infer(prepared).labels_zyx, first.labels_zyx)


def test_labels_of_each_fold_are_those_of_the_fold_alone() -> None:
    model = tiny_model(n_folds=3)
    segmenter = load_segmenter(model, device="cpu", settings=InferenceSettings(fold_labels=True))
    inferred = segmenter.infer(segmenter.prepare(PLAIN))
    assert np.array_equal(
        sitk.GetArrayFromImage(segmenter.restore(inferred)), labels_of(PLAIN, model)
    )
    of_folds = segmenter.restore_folds(inferred)
    assert len(of_folds) == 3
    for weights, labelmap in zip(model.weights, of_folds, strict=True):
        alone = Model(**{**vars(model), "folds": ("0",), "weights": (weights,)})
        assert np.array_equal(sitk.GetArrayFromImage(labelmap), labels_of(PLAIN, alone))
    without = _tiny()
    assert without.restore_folds(without.infer(without.prepare(PLAIN))) == []


class Given(torch.nn.Module):
    """Gives the logits it holds."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        return self.logits.expand(len(tiles), *self.logits.shape)


def test_folds_are_averaged_before_labels_are_chosen() -> None:
    shape = (N_LABELS, 16, 32, 32)
    first, second, third = (torch.zeros(shape) for _ in range(3))
    first[5], second[6], third[6] = 3.0, 1.0, 1.0
    segmenter = _tiny()
    segmenter.networks[:] = [Given(first), Given(second), Given(third)]
    labels = sitk.GetArrayFromImage(segment(PLAIN, segmenter))
    assert (labels == 5).all()
    third[6] = 8.0
    assert (sitk.GetArrayFromImage(segment(PLAIN, segmenter)) == 6).all()
    assert first[5].eq(3.0).all()


def test_the_lowest_of_labels_that_are_equal_wins() -> None:
    logits = torch.full((N_LABELS, 16, 32, 32), -1.0)
    logits[[7, 4, 30]] = 2.0
    segmenter = _tiny()
    segmenter.networks[:] = [Given(logits)]
    assert (sitk.GetArrayFromImage(segment(PLAIN, segmenter)) == 4).all()


class Hungry(torch.nn.Module):
    """Has no memory for more than one tile at a time."""

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        if len(tiles) > 1:
            raise MemoryError
        return torch.ones((1, N_LABELS, 16, 32, 32)) * torch.arange(N_LABELS)[:, None, None, None]


def test_what_does_not_fit_is_tried_again_with_less() -> None:
    segmenter = load_segmenter(tiny_model(), device="cpu", settings=InferenceSettings(tile_batch=4))
    wide = soft_image((80, 36, 30), (2.5, 2.2, 3.0))  # rows of several tiles
    for networks in ([Hungry()], [Hungry(), Hungry()]):
        segmenter.networks[:] = networks
        inferred = segmenter.infer(segmenter.prepare(wide))
        assert (inferred.labels_zyx == N_LABELS - 1).all()
    assert inferred.fold_average is FoldAverage.AS_NNUNET


def test_folds_are_averaged_in_less_memory_only_where_nothing_else_fits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    n_sums = 0

    def make_one(*arguments: Any) -> Any:
        nonlocal n_sums
        n_sums += 1
        if n_sums in (2, 4):  # the second of the first try, and of the second
            raise MemoryError
        return make_sums(*arguments)

    segmenter = load_segmenter(tiny_model(n_folds=2), device="cpu")
    prepared = segmenter.prepare(PLAIN)
    monkeypatch.setattr("organome.compute.inference.labelling.make_sums", make_one)
    assert segmenter.infer(prepared).fold_average is FoldAverage.BY_TILE
    assert n_sums == 5


@pytest.mark.parametrize("reader", ["NibabelIOWithReorient", "SimpleITKIOWithReorient"])
def test_a_model_that_was_trained_in_ras_gets_ras(reader: str) -> None:
    image = soft_image((24, 20, 18), (2.5, 4.2, 3.0), margin=2)
    model = tiny_model(plans={"image_reader_writer": reader})
    ras = sitk.DICOMOrient(image, "RAS")
    as_if_lps = sitk.GetImageFromArray(sitk.GetArrayFromImage(ras))
    as_if_lps.SetSpacing(ras.GetSpacing())
    theirs = sitk.GetImageFromArray(stock_labels(as_if_lps, model))
    theirs.CopyInformation(ras)
    expected = sitk.GetArrayFromImage(sitk.DICOMOrient(theirs, "LPS"))
    found = segment(image, load_segmenter(model, device="cpu"))
    assert found.GetDirection() == image.GetDirection()
    assert np.array_equal(sitk.GetArrayFromImage(found), expected)
    assert not np.array_equal(expected, labels_of(image, tiny_model()))


def test_what_never_fits_fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise MemoryError

    segmenter = _tiny()
    monkeypatch.setattr("organome.compute.inference.preparation.normalise", fail)
    with pytest.raises(ScanError) as caught:
        segmenter.prepare(PLAIN)
    assert caught.value.reason is Reason.OUT_OF_MEMORY


def test_linear_resampling_is_another_preparation() -> None:
    model = tiny_model()
    exact, linear = (
        load_segmenter(model, device="cpu", settings=InferenceSettings(resampling=one))
        .prepare(PLAIN)
        .voxels_zyx
        for one in InputResampling
    )
    assert exact.shape == linear.shape
    assert 0.001 < np.abs(exact - linear).mean() < 0.2


@pytest.mark.parametrize("size", [(1, 1, 1), (3, 1, 50)])
def test_an_image_of_hardly_any_voxels_has_labels(size: tuple[int, int, int]) -> None:
    image = sitk.Image(size, sitk.sitkInt16) + 7
    image.SetSpacing((0.5, 0.5, 0.5))
    assert segment(image, _tiny()).GetSize() == size


def _tiny() -> Any:
    return load_segmenter(tiny_model(), device="cpu")


@pytest.mark.parametrize("resident", [True, False])
def test_leaner_tries_leave_the_weights_where_they_are_and_none_is_made_twice(
    resident: bool,
) -> None:
    settings = InferenceSettings(tile_batch=4, folds_resident=resident)
    tries = _ever_leaner(settings, n_folds=5)
    assert [one.folds_resident for one in tries] == [resident] * 3
    assert [one.fold_average for one in tries[1:]] == [FoldAverage.AS_NNUNET, FoldAverage.BY_TILE]
    lean = InferenceSettings(tile_batch=1, sums_on_device=False, folds_resident=resident)
    assert _ever_leaner(lean, n_folds=1) == [lean]

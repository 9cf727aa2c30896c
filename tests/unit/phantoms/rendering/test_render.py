import numpy as np
import pytest
import SimpleITK as sitk

from organome.domain.organs import ORGAN_BY_NAME
from organome.domain.scans import DIXON_CONTRASTS, Contrast
from organome.phantoms.bodies.anatomy import Body, draw_body
from organome.phantoms.bodies.people import Covariates
from organome.phantoms.bodies.tissues import LOOKS, Filler
from organome.phantoms.rendering import render as rendering
from organome.phantoms.rendering.render import (
    SampledGrid,
    render_dixon,
    render_image,
    truth_labelmap,
)

LIVER = ORGAN_BY_NAME["liver"].label


def block_body() -> Body:
    """A body of two halves: liver at negative x, visceral fat at positive x."""
    tissue = np.full((20, 20, 20), LIVER, np.uint8)
    tissue[:, :, 10:] = Filler.VISCERAL_FAT
    who = Covariates("male", 50.0, 1.75, 75.0)
    return Body(who, tissue, (2.0, 2.0, 2.0), (-19.0, -19.0, -19.0), {"liver": 32.0})


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """No noise, texture, bias or spread: only what the body is made of."""
    for name in ("NOISE_SHARE", "TEXTURE_SHARE", "BIAS_SHARE", "TISSUE_SPREAD"):
        monkeypatch.setattr(rendering, name, 0.0)


@pytest.mark.usefixtures("quiet")
def test_a_voxel_is_the_mean_over_its_box() -> None:
    # voxel centred on the boundary, three quarters in the liver by an offset of a quarter voxel
    grid = SampledGrid((1, 1, 1), (4.0, 4.0, 4.0), (-1.0, 0.0, 0.0))
    images = render_dixon(block_body(), grid, np.random.default_rng(0))
    water = 0.75 * LOOKS[LIVER].water + 0.25 * LOOKS[Filler.VISCERAL_FAT].water
    fat = 0.75 * LOOKS[LIVER].fat + 0.25 * LOOKS[Filler.VISCERAL_FAT].fat
    signals = {
        c: sitk.GetArrayFromImage(images[c]).item() / rendering.SIGNAL_COUNTS for c in images
    }
    assert signals[Contrast.WATER] == pytest.approx(water, abs=1e-3)
    assert signals[Contrast.FAT] == pytest.approx(fat, abs=1e-3)
    assert signals[Contrast.IN_PHASE] == pytest.approx(water + fat, abs=1e-3)
    assert signals[Contrast.OPPOSED_PHASE] == pytest.approx(abs(water - fat), abs=1e-3)


@pytest.mark.usefixtures("quiet")
def test_opposed_phase_is_dark_at_edges_of_water_and_fat() -> None:
    grid = SampledGrid((9, 1, 1), (4.0, 4.0, 4.0), (-16.0, 0.0, 0.0))
    images = render_dixon(block_body(), grid, np.random.default_rng(0))
    opposed = sitk.GetArrayFromImage(images[Contrast.OPPOSED_PHASE]).ravel()
    assert opposed.argmin() == 4
    assert opposed[4] < 0.2 * min(opposed[0], opposed[-1])


def test_dixon_contrasts_are_counts_that_fit_together() -> None:
    grid = SampledGrid((20, 20, 20), (2.0, 2.0, 2.0), (-19.0, -19.0, -19.0))
    images = render_dixon(block_body(), grid, np.random.default_rng(1))
    arrays = {c: sitk.GetArrayFromImage(image).astype(int) for c, image in images.items()}
    assert set(images) == set(DIXON_CONTRASTS)
    assert all(image.GetPixelID() == sitk.sitkInt16 for image in images.values())
    assert all(array.min() >= 0 for array in arrays.values())
    total = arrays[Contrast.WATER] + arrays[Contrast.FAT]
    assert np.abs(total - arrays[Contrast.IN_PHASE]).max() <= 1 + 0.1 * total.max()


def test_ct_is_in_hounsfield_units() -> None:
    grid = SampledGrid((40, 20, 20), (2.0, 2.0, 2.0), (-39.0, -19.0, -19.0))
    image = render_image(block_body(), Contrast.CT, grid, np.random.default_rng(0))
    hu = sitk.GetArrayFromImage(image)
    assert hu[:, :, :9].mean() == pytest.approx(-1000, abs=15)
    assert hu[:, :, 11:19].mean() == pytest.approx(LOOKS[LIVER].hu, abs=20)
    assert hu[:, :, 22:29].mean() == pytest.approx(LOOKS[Filler.VISCERAL_FAT].hu, abs=20)


@pytest.mark.parametrize("contrast", [Contrast.T1, Contrast.T2, Contrast.T1FS])
def test_other_contrasts_have_their_own_looks(contrast: Contrast) -> None:
    grid = SampledGrid((20, 20, 20), (2.0, 2.0, 2.0), (-19.0, -19.0, -19.0))
    image = render_image(block_body(), contrast, grid, np.random.default_rng(0))
    voxels = sitk.GetArrayFromImage(image) / rendering.SIGNAL_COUNTS
    liver, fat = voxels[:, :, 2:8].mean(), voxels[:, :, 12:18].mean()
    looks = (getattr(LOOKS[LIVER], contrast), getattr(LOOKS[Filler.VISCERAL_FAT], contrast))
    assert (liver > fat) == (looks[0] > looks[1])


def test_truth_is_the_tissue_at_the_voxel_centre() -> None:
    body = draw_body(2, spacing_xyz_mm=(4.0, 4.0, 5.0))
    nz, ny, nx = body.tissue_zyx.shape
    same = SampledGrid((nx, ny, nz), body.spacing_xyz_mm, body.origin_xyz_mm)
    truth = truth_labelmap(body, same)
    expected = np.where(body.tissue_zyx <= 40, body.tissue_zyx, 0)
    assert truth.GetPixelID() == sitk.sitkUInt8
    assert np.array_equal(sitk.GetArrayFromImage(truth), expected)


def test_nothing_is_labelled_beyond_the_body() -> None:
    grid = SampledGrid((30, 10, 10), (4.0, 4.0, 4.0), (-100.0, -18.0, -18.0))
    labels = sitk.GetArrayFromImage(truth_labelmap(block_body(), grid))
    x_mm = -100.0 + 4.0 * np.arange(30)
    assert not labels[:, :, x_mm < -20].any()
    assert (labels[:, :, (x_mm > -18) & (x_mm < -1)] == LIVER).all()


def test_the_same_generator_state_gives_the_same_image() -> None:
    grid = SampledGrid((20, 20, 20), (2.0, 2.0, 2.0), (-19.0, -19.0, -19.0))
    twice = [render_image(block_body(), Contrast.T1, grid, np.random.default_rng(5)) for _ in "ab"]
    assert sitk.Hash(twice[0]) == sitk.Hash(twice[1])

import numpy as np
import pytest

from organome.domain.organs import N_ORGANS, ORGAN_BY_NAME, ORGANS
from organome.phantoms.bodies.anatomy import Body, draw_body
from organome.phantoms.bodies.people import draw_covariates, draw_target_volumes_ml

COARSE_MM = (3.0, 3.0, 4.0)
REMOVABLE = {"gallbladder", "left_kidney", "right_kidney"}


@pytest.fixture(scope="module")
def bodies() -> list[Body]:
    return [draw_body(seed, spacing_xyz_mm=COARSE_MM) for seed in range(4)]


def test_a_seed_is_a_person_bit_for_bit(bodies: list[Body]) -> None:
    again = draw_body(3, spacing_xyz_mm=COARSE_MM)
    assert again.covariates == bodies[3].covariates
    assert again.volumes_ml == bodies[3].volumes_ml
    assert np.array_equal(again.tissue_zyx, bodies[3].tissue_zyx)


def test_people_differ(bodies: list[Body]) -> None:
    assert len({body.covariates for body in bodies}) == len(bodies)
    assert len({body.volumes_ml["liver"] for body in bodies}) == len(bodies)


def test_all_organs_are_there_unless_removed(bodies: list[Body]) -> None:
    for body in bodies:
        missing = {organ.name for organ in ORGANS} - set(body.volumes_ml)
        assert missing <= REMOVABLE


def test_volumes_are_exactly_the_voxels(bodies: list[Body]) -> None:
    for body in bodies:
        for name, volume_ml in body.volumes_ml.items():
            n_voxels = np.count_nonzero(body.tissue_zyx == ORGAN_BY_NAME[name].label)
            assert volume_ml == pytest.approx(n_voxels * 3.0 * 3.0 * 4.0 / 1000.0, rel=1e-12)


def test_volumes_are_near_those_drawn() -> None:
    drawn_ml, painted_ml = [], []
    for seed in range(2):
        body = draw_body(seed)
        rng = np.random.default_rng([seed, 40])
        targets = draw_target_volumes_ml(rng, draw_covariates(rng))
        assert set(body.volumes_ml) == set(targets)
        drawn_ml += [targets[name] for name in targets]
        painted_ml += [body.volumes_ml[name] for name in targets]
    error = np.abs(np.asarray(painted_ml) / np.asarray(drawn_ml) - 1.0)
    assert np.median(error) < 0.05
    assert error.max() < 0.45


def test_left_organs_lie_on_the_left(bodies: list[Body]) -> None:
    for body in bodies:
        for organ in ORGANS:
            partner = ORGAN_BY_NAME.get(organ.partner_name or "")
            if organ.side != "left" or not {organ.name, partner.name} <= set(body.volumes_ml):
                continue
            x_left = np.nonzero(body.tissue_zyx == organ.label)[2].mean()
            x_right = np.nonzero(body.tissue_zyx == partner.label)[2].mean()
            assert x_left > x_right, organ.name


def test_the_same_person_comes_again(bodies: list[Body]) -> None:
    later = draw_body(3, years_later=2.5, spacing_xyz_mm=COARSE_MM)
    first = bodies[3]
    assert later.covariates.height_m == first.covariates.height_m
    assert later.covariates.age_years == pytest.approx(first.covariates.age_years + 2.5)
    assert set(later.volumes_ml) == set(first.volumes_ml)
    change = [later.volumes_ml[n] / first.volumes_ml[n] - 1 for n in ("liver", "spleen", "heart")]
    assert 0 < max(abs(c) for c in change) < 0.15


def test_men_are_larger_on_average() -> None:
    rng = np.random.default_rng(0)
    livers = {
        sex: np.mean(
            [draw_target_volumes_ml(rng, draw_covariates(rng, sex))["liver"] for _ in range(60)]
        )
        for sex in ("female", "male")
    }
    assert 1.1 < livers["male"] / livers["female"] < 1.35


def test_tissue_codes_stay_in_the_table(bodies: list[Body]) -> None:
    for body in bodies:
        assert body.tissue_zyx.max() < 48
        assert np.bincount(body.tissue_zyx.ravel(), minlength=48)[1 : N_ORGANS + 1].sum() > 0

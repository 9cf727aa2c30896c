import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st

from organome.compute.labelmaps.consensus import count_votes, majority


def cube(*labels: int) -> np.ndarray:
    return np.array(labels, np.uint8).reshape(-1, 1, 1)


def elect(*labelmaps: np.ndarray) -> list[int]:
    return majority(labelmaps[0], count_votes(labelmaps)).ravel().tolist()


def test_the_label_with_most_votes_wins() -> None:
    assert elect(cube(1, 1, 0), cube(2, 1, 5), cube(2, 3, 5)) == [2, 1, 5]


@pytest.mark.parametrize(
    ("ballots", "elected"),
    [
        ((1, 2, 2, 1), 1),
        ((3, 1, 2, 4), 3),
        ((9, 4, 5, 4, 5), 4),  # the first voter's own choice is not among the tied
        ((9, 5, 4, 4, 5), 5),
        ((0, 7), 0),
        ((7, 0), 7),
    ],
)
def test_a_tie_goes_to_the_tied_label_that_the_earliest_chose(
    ballots: tuple[int, ...], elected: int
) -> None:
    assert elect(*(cube(label) for label in ballots)) == [elected]


def test_a_single_voter_has_its_way_and_its_array_stays_its_own() -> None:
    labels = cube(4, 0, 200)
    elected = majority(labels, count_votes([labels]))
    elected[0] = 9
    assert labels.ravel().tolist() == [4, 0, 200]


def test_voters_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        count_votes([cube(1, 2), cube(1, 2, 3)])


@given(st.integers(2, 5), st.integers(0, 2**32 - 1))
def test_where_there_is_a_majority_it_is_that_of_simpleitk(n_voters: int, seed: int) -> None:
    undecided = 255
    chance = np.random.default_rng(seed)
    labelmaps = [chance.integers(0, 4, (3, 4, 5)).astype(np.uint8) for _ in range(n_voters)]
    theirs = sitk.GetArrayFromImage(
        sitk.LabelVoting([sitk.GetImageFromArray(one) for one in labelmaps], undecided)
    )
    ours = majority(labelmaps[0], count_votes(labelmaps))
    decided = theirs != undecided
    assert np.array_equal(ours[decided], theirs[decided])
    for place in np.argwhere(~decided):
        ballots = [int(one[tuple(place)]) for one in labelmaps]
        most = max(ballots.count(label) for label in ballots)
        tied = [label for label in ballots if ballots.count(label) == most]
        assert ours[tuple(place)] == tied[0]


@given(st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_every_voxel_is_counted_once(n_voters: int, seed: int) -> None:
    chance = np.random.default_rng(seed)
    labelmaps = [chance.integers(0, 3, (4, 3, 2)).astype(np.uint8) for _ in range(n_voters)]
    votes = count_votes(labelmaps)
    assert votes.n_voters == n_voters
    assert votes.n_agreed.sum() + len(votes.places) == labelmaps[0].size
    for one, ballot in zip(labelmaps, votes.ballots, strict=True):
        assert np.array_equal(one.ravel()[votes.places], ballot)

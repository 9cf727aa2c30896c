import pytest

from organome.domain.canaries import OrganDifference, Tolerance

TOLERANCE = Tolerance(min_dice=0.99, max_volume_change=0.01, min_volume_ml=5.0)


@pytest.mark.parametrize(
    ("dice", "reference_ml", "volume_ml", "drifts"),
    [
        (1.0, 100, 100, False),
        (0.99, 100, 100.9, False),
        (0.989, 100, 100, True),
        (0.995, 100, 101.1, True),
        (0.995, 100, 98.9, True),
        (0.0, 100, 0, True),  # vanished
        (0.0, 5, 0, True),
        (0.0, 4.9, 0, False),  # too small to say
        (0.2, 4.9, 9.8, False),
        (0.2, 4.9, 10, True),  # grown by more than an organ must have
        (0.0, 0, 5, False),
        (0.0, 0, 5.1, True),  # appeared
    ],
)
def test_drift_is_too_little_overlap_or_too_much_change(
    dice: float, reference_ml: float, volume_ml: float, drifts: bool
) -> None:
    assert OrganDifference("liver", dice, reference_ml, volume_ml).drifts(TOLERANCE) is drifts

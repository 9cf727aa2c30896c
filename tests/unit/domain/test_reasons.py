from organome.domain.flags import Flag
from organome.domain.organs import SIDE_FINDING_MEANINGS, SideFinding
from organome.domain.outcomes import FeatureReason, OrganReason, Reason
from organome.domain.reasons import (
    FEATURE_REASON_MEANINGS,
    FLAG_MEANINGS,
    ORGAN_REASON_MEANINGS,
    REASON_MEANINGS,
)


def test_every_reason_is_explained() -> None:
    assert set(REASON_MEANINGS) == set(Reason)
    assert set(ORGAN_REASON_MEANINGS) == set(OrganReason)
    assert set(FEATURE_REASON_MEANINGS) == set(FeatureReason)
    assert set(FLAG_MEANINGS) == set(Flag)
    assert set(SIDE_FINDING_MEANINGS) == set(SideFinding)

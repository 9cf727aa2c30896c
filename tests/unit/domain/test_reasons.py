from organome.domain.flags import Flag
from organome.domain.outcomes import OrganReason, Reason
from organome.domain.reasons import FLAG_MEANINGS, ORGAN_REASON_MEANINGS, REASON_MEANINGS


def test_every_reason_is_explained() -> None:
    assert set(REASON_MEANINGS) == set(Reason)
    assert set(ORGAN_REASON_MEANINGS) == set(OrganReason)
    assert set(FLAG_MEANINGS) == set(Flag)

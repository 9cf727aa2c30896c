"""The table of contrasts."""

from collections import Counter

import pytest

from organome.domain.contrast_kinds import CONTRAST_KINDS, modality_of
from organome.domain.scans import DIXON_CONTRASTS, Contrast, Modality


def test_every_contrast_stands_in_the_table_once() -> None:
    assert [one.contrast for one in CONTRAST_KINDS] == list(Contrast)
    assert [one for one in Contrast if modality_of(one) is Modality.CT] == [Contrast.CT]


@pytest.mark.parametrize(
    "field", ["name_words", "name_suffixes", "description_suffixes", "image_types"]
)
def test_a_word_means_one_contrast(field: str) -> None:
    words = Counter(word for one in CONTRAST_KINDS for word in getattr(one, field))
    assert max(words.values()) == 1
    assert all(word == (word.upper() if field == "image_types" else word.lower()) for word in words)


def test_only_quantities_have_a_unit() -> None:
    assert all((one.unit is not None) == one.is_quantitative for one in CONTRAST_KINDS)
    of_dixon = [one for one in CONTRAST_KINDS if one.name_words]
    assert tuple(one.contrast for one in of_dixon) == DIXON_CONTRASTS

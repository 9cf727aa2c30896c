from pathlib import Path

import pytest

from doubles.places import REPOSITORY
from organome.domain.errors import SetupError
from organome.domain.organs import ORGAN_BY_NAME
from organome.domain.quality import Rule, Threshold
from organome.io.tables.thresholds import read_thresholds

DEFAULT = REPOSITORY / "config/quality/default.yaml"


def test_the_default_names_every_rule() -> None:
    found = read_thresholds(DEFAULT, list(ORGAN_BY_NAME))
    assert {*found.rules} == {*Rule} - {Rule.EXCLUDED}
    assert found.of(Rule.VOLUME_OUTLIER, "liver") == Threshold(3.5, 5)
    assert found.of(Rule.VOLUME_OUTLIER, "urinary_bladder") == Threshold(5, None)
    assert found.of(Rule.ASYMMETRY_OUTLIER, "urinary_bladder") == Threshold(3.5, 5)
    assert found.of(Rule.BODY_TURNED) == Threshold(None, 1)


def test_rule_that_is_not_named_is_not_checked(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text("rules: {volume_outlier: {warn: 4}}\n")
    found = read_thresholds(path, ["liver"])
    assert found.of(Rule.BODY_TURNED) == Threshold()
    assert found.min_group == 20


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rules: {volume_outlyer: {warn: 4}}", "unknown rule 'volume_outlyer'"),
        ("rules: {excluded: fail}", "unknown rule 'excluded'"),
        ("rules: {volume_outlier: warn}", "volume_outlier: must be such as"),
        ("rules: {volume_outlier: {warn: 5, fail: 4}}", "volume_outlier: fails before it warns"),
        ("rules: {folds_disagree: {warn: 0.4, fail: 0.7}}", "folds_disagree: fails before"),
        ("rules: {body_turned: 1}", "body_turned: must be warn or fail"),
        ("rules: {}\norgans: {livr: {}}", "organ 'livr' is not one of this run"),
        ("rules: {}\nbounds_ml: {liver: 5}", "not thresholds"),
        ("rules: {}\nlimits: {}", "unknown key limits"),
        ("- a", "not thresholds"),
        ("a: {", "cannot be read as YAML"),
    ],
)
def test_mistake_is_one_line(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(text)
    with pytest.raises(SetupError, match=said):
        read_thresholds(path, ["liver"])

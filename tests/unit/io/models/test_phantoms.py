"""A model that was trained on phantoms labels phantoms, and nobody else."""

from pathlib import Path

import pytest

from doubles.models import write_tiny_model
from doubles.places import REPOSITORY
from organome.domain.errors import SetupError
from organome.io.models.phantoms import check_made_for, is_for_phantoms, is_phantom_cohort
from organome.steps.models import install_model

PHANTOM = REPOSITORY / "models" / "phantom"
MARKER = '{"version": 1, "arguments": {}, "complete": true}'


@pytest.mark.parametrize("root", ["cohort", "cohort/ukb", "cohort/ct/scans.tsv"])
def test_a_cohort_below_the_marker_is_made_of_phantoms(tmp_path: Path, root: str) -> None:
    (tmp_path / "cohort" / "ukb").mkdir(parents=True)
    (tmp_path / "cohort" / "ct").mkdir()
    (tmp_path / "cohort" / "ct" / "scans.tsv").touch()
    assert not is_phantom_cohort(tmp_path / root)
    (tmp_path / "cohort" / "phantoms.json").write_text(MARKER)
    if root != "cohort/ct/scans.tsv":
        assert is_phantom_cohort(tmp_path / root)
    check_made_for(PHANTOM, tmp_path / root, allowed=False)


@pytest.mark.parametrize("content", ["", "[]", '{"version": 1}', "not JSON"])
def test_another_file_of_that_name_makes_nobody_a_phantom(tmp_path: Path, content: str) -> None:
    (tmp_path / "phantoms.json").write_text(content)
    assert not is_phantom_cohort(tmp_path)


def test_people_are_not_labelled_unless_asked_for(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"trained on phantoms.*\n.*allow_phantom_model: true"):
        check_made_for(PHANTOM, tmp_path, allowed=False)
    check_made_for(PHANTOM, tmp_path, allowed=True)
    write_tiny_model(tmp_path / "tiny")
    check_made_for(tmp_path / "tiny", tmp_path, allowed=False)


def test_the_rule_holds_for_a_copy_under_another_name(tmp_path: Path) -> None:
    copy = install_model.run(str(PHANTOM), models=tmp_path / "models", name="liver-net").folder
    assert is_for_phantoms(copy)

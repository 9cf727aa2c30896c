"""Models by name and by folder."""

from pathlib import Path

import pytest

from doubles.models import write_tiny_model
from doubles.places import REPOSITORY
from organome.domain.errors import SetupError
from organome.io.models.places import installed_models, locate_model, models_folder
from organome.steps.models import install_model


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


def test_what_was_installed_is_found_by_its_name(tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "tiny")
    installed = install_model.run(str(tmp_path / "tiny"))
    assert installed.folder == models_folder() / "tiny" == locate_model("tiny")
    assert str(installed).endswith("configuration: segment: {model: tiny}")
    assert installed_models() == ["phantom", "tiny"]


def test_a_model_elsewhere_is_named_by_its_folder(tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "tiny")
    installed = install_model.run(str(tmp_path / "tiny"), models=tmp_path / "shared")
    assert str(installed).endswith(f"segment: {{model: {tmp_path / 'shared' / 'tiny'}}}")
    assert locate_model("shared/tiny", relative_to=tmp_path) == tmp_path / "shared" / "tiny"


def test_the_phantom_model_comes_with_organome() -> None:
    assert locate_model("phantom") == REPOSITORY / "models" / "phantom"


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("", r"segment\.model is missing"),
        ("phantoms", "did you mean phantom"),
        ("mrsegmentator-1.2", "install it: organome install-model mrsegmentator-1.2"),
        ("./nowhere", "no such model folder"),
        (".", "not installed"),
    ],
)
def test_a_model_that_is_not_there_is_said_in_one_line(
    tmp_path: Path, named: str, said: str
) -> None:
    with pytest.raises(SetupError, match=said) as error:
        locate_model(named, relative_to=tmp_path)
    assert "\n" not in str(error.value)

from pathlib import Path

import pytest

from doubles.models import write_tiny_model
from organome.domain.errors import SetupError
from organome.io.models.checkpoints import CHECKPOINT
from organome.io.models.folders import model_digest
from organome.steps.models import install_model, pin_model
from organome.steps.models.verify_model import run


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    write_tiny_model(tmp_path / "tiny")
    return install_model.run(str(tmp_path / "tiny"), models=tmp_path / "models").folder


def test_an_installed_model_is_what_was_installed(installed: Path) -> None:
    digest = model_digest(installed)
    assert f"digest {digest} as expected, made from tiny" in run(str(installed))
    assert run(str(installed), digest=digest.upper()) == run(str(installed))


def test_another_digest_than_that_of_the_table_is_said(installed: Path) -> None:
    with pytest.raises(SetupError, match=f"digest is {model_digest(installed)}, expected abc"):
        run(str(installed), digest="abc")


def test_a_folder_that_was_not_installed_needs_a_digest(tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "tiny")
    digest = model_digest(tmp_path / "tiny")
    assert run(str(tmp_path / "tiny"), digest=digest).endswith(f"{digest} as expected")
    with pytest.raises(SetupError, match=f"digest is {digest}; it was not installed"):
        run(str(tmp_path / "tiny"))


@pytest.mark.parametrize("name", ["plans.json", "dataset.json", f"fold_0/{CHECKPOINT}"])
def test_a_changed_file_is_found_here_and_when_a_run_is_bound_to_it(
    installed: Path, tmp_path: Path, name: str
) -> None:
    (installed / name).write_bytes((installed / name).read_bytes() + b" ")
    with pytest.raises(SetupError, match="changed or damaged since"):
        run(str(installed))
    with pytest.raises(SetupError, match="changed or damaged since"):
        pin_model.run(model=installed, output=tmp_path / "digest.txt")
    assert not (tmp_path / "digest.txt").exists()


def test_a_note_that_is_none_is_said_to_be(installed: Path) -> None:
    (installed / "model.json").write_text('{"digest": "abc"}')
    with pytest.raises(SetupError, match="not written by install-model"):
        run(str(installed))

import os
from pathlib import Path

import pytest

from doubles.places import REPOSITORY
from organome.domain.errors import SetupError
from organome.io.files.published import DamagedFile
from organome.io.models.folders import check_pinned, model_digest, read_pinned, write_pinned
from organome.steps.models import pin_model

MODEL = REPOSITORY / "models" / "phantom"


def test_the_digest_is_noted(tmp_path: Path) -> None:
    output = tmp_path / "model" / "digest.txt"
    digest = pin_model.run(model=MODEL, output=output)
    assert digest == model_digest(MODEL)
    assert read_pinned(output) == digest


def test_the_same_digest_again_only_gives_the_file_a_new_time(tmp_path: Path) -> None:
    output = tmp_path / "digest.txt"
    pin_model.run(model=MODEL, output=output)
    os.utime(output, (1, 1))
    before = output.stat()
    pin_model.run(model=MODEL, output=output)
    assert output.stat().st_ino == before.st_ino
    assert output.stat().st_mtime > before.st_mtime


def test_another_digest_replaces_the_first(tmp_path: Path) -> None:
    output = tmp_path / "digest.txt"
    output.write_text("0123456789abcdef\n")
    digest = pin_model.run(model=MODEL, output=output)
    assert read_pinned(output) == digest


def test_a_model_that_is_not_the_pinned_one_is_refused(tmp_path: Path) -> None:
    pinned = tmp_path / "digest.txt"
    with pytest.raises(SetupError, match="pin the model first"):
        check_pinned("a" * 64, pinned=pinned)
    write_pinned(pinned, "b" * 64)
    check_pinned("b" * 64, pinned=pinned)
    with pytest.raises(SetupError, match=f"is {'a' * 12}, the run is bound to {'b' * 12} "):
        check_pinned("a" * 64, pinned=pinned)


def test_a_damaged_note_is_asked_for_again_and_is_never_another_model(tmp_path: Path) -> None:
    pinned = tmp_path / "digest.txt"
    write_pinned(pinned, "b" * 64)
    whole = pinned.read_bytes()
    flipped = (whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in range(len(whole)))
    blank = (whole[:n] + bytes(len(whole) - n) for n in range(len(whole) - 1))
    for damaged in (*flipped, *blank, *(whole[:n] for n in range(len(whole)))):
        pinned.write_bytes(damaged)
        try:
            check_pinned("b" * 64, pinned=pinned)
        except DamagedFile as error:
            assert not pinned.exists()
            assert "start again" in str(error)


def test_a_phantom_model_is_bound_to_phantoms_only(tmp_path: Path) -> None:
    people, output = tmp_path / "people", tmp_path / "digest.txt"
    people.mkdir()
    with pytest.raises(SetupError, match="was trained on phantoms"):
        pin_model.run(model=MODEL, output=output, root=people)
    assert not output.exists()
    assert pin_model.run(model=MODEL, output=output, root=people, allow_phantom_model=True)

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from organome.domain.canaries import Canary, Machine, ReferenceScan
from organome.domain.errors import SetupError
from organome.io.canaries.references import (
    CANARY,
    check_files,
    file_sha256,
    read_canary,
    write_canary,
)


@pytest.fixture
def canary(tmp_path: Path) -> Canary:
    for name in ("image", "labels"):
        (tmp_path / name).write_text(name)
    scan = ReferenceScan(
        scan="0000-0000",
        contrast="water",
        image="image",
        image_sha256=file_sha256(tmp_path / "image"),
        labelmap="labels",
        labelmap_sha256=file_sha256(tmp_path / "labels"),
        volumes_ml={"liver": 1500.25},
    )
    made = Canary(
        model_name="m",
        model_digest="d",
        settings={"tile_step_size": 0.1},
        labelled_on=("n1", "n2"),
        packed_on=Machine("cpu", "some CPU", None, None, {"torch": "2"}),
        scans=(scan,),
    )
    write_canary(tmp_path, made)
    return made


def test_what_is_written_is_read(canary: Canary, tmp_path: Path) -> None:
    read, digest = read_canary(tmp_path)
    assert read == canary
    assert digest == file_sha256(tmp_path / CANARY)
    check_files(tmp_path, read)


@pytest.mark.parametrize("name", ["image", "labels"])
def test_each_file_is_held_to_its_digest(canary: Canary, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("other")
    with pytest.raises(SetupError, match=name):
        check_files(tmp_path, canary)


def test_there_must_be_one(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="make-canary"):
        read_canary(tmp_path / "none")


@pytest.mark.parametrize("change", [{"format": 2}, {"scans": 3}, {"more": 1}, {"packed_on": None}])
def test_another_format_is_refused(canary: Canary, tmp_path: Path, change: dict) -> None:
    content = {"format": 1, **asdict(canary), **change}
    (tmp_path / CANARY).write_text(json.dumps(content))
    with pytest.raises(SetupError, match="make it again"):
        read_canary(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1}', '{"format'])
def test_what_is_not_a_canary_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / CANARY).write_text(text)
    with pytest.raises(SetupError, match="make it again"):
        read_canary(tmp_path)

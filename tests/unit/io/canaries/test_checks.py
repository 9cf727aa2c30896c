from pathlib import Path

import pytest

from organome.domain.canaries import (
    CanaryCheck,
    Judgement,
    Machine,
    OrganDifference,
    Question,
    Tolerance,
)
from organome.io.canaries.references import check_path, read_check, write_check

MACHINE = Machine("cuda", "NVIDIA H200", "9.0", "570.133.20", {"torch": "2"})
CHECK = CanaryCheck(
    judgement=Judgement.DRIFT,
    question=Question("digest", Tolerance(0.99, 0.01, 5.0)),
    model_digest="model",
    settings={"scheme": "mrsegmentator", "tile_step_size": 0.1},
    machine=MACHINE,
    n_scans=3,
    n_organs=90,
    identical=False,
    worst=OrganDifference("liver", 1 / 3, 1500.1, 0.0, "0000-0000"),
    min_dice=1 / 3,
    max_volume_change=1.0,
)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    assert read_check(tmp_path / "checks", MACHINE) is None
    write_check(tmp_path / "checks", CHECK)
    assert read_check(tmp_path / "checks", MACHINE) == CHECK


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"judgement": "held"', '{"judgement": "fine"}'])
def test_what_cannot_be_read_is_none(tmp_path: Path, text: str) -> None:
    check_path(tmp_path, MACHINE).write_text(text)
    assert read_check(tmp_path, MACHINE) is None

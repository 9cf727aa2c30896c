"""A mistake in a configuration, in one line."""

from pathlib import Path
from typing import Any

import pytest

from doubles.places import REPOSITORY
from organome.domain.errors import SetupError
from organome.io.configs import find_mistake, read_config, read_schema

SCHEMA = read_schema(REPOSITORY / "workflow" / "schemas" / "config.schema.yaml")
COHORT = {"name": "ukb", "kind": "ukb", "root": "bulk"}


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({}, "no configuration: name one"),
        ([1], "a configuration consists of lines"),
        ({"cohort": COHORT, "segment": {"modle": "m"}}, "did you mean segment.model?"),
        ({"cohort": COHORT, "device": "cpu"}, "did you mean segment.device?"),
        ({"cohort": COHORT, "stationz": "stitch"}, "did you mean stations?"),
        ({"cohort": COHORT, "qqqq": 1}, "qqqq is not a key of the configuration: one of cohort, "),
        ({"cohort": {"name": "a", "kind": "ukb"}}, "cohort.root is missing"),
        (
            {"cohort": COHORT, "segment": {"device": "gpu"}},
            "segment.device: 'gpu' must be one of auto, cpu, cuda",
        ),
        ({"cohort": COHORT, "segment": ["x" * 9999]}, "segment: ['xxx"),
    ],
)
def test_mistake_is_one_line_that_names_the_key(config: Any, said: str) -> None:
    mistake = find_mistake(config, SCHEMA)
    assert mistake is not None
    assert said in mistake
    assert len(mistake) < 400
    assert "\n" not in mistake


def test_sound_configuration_gets_its_defaults(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("cohort: {name: a, kind: bids, root: x}\nsegment: {device: cpu}\n")
    config = read_config(path, SCHEMA)
    assert config["cohort"]["protocols"] == ["dixon"]
    assert (config["segment"]["device"], config["segment"]["scheme"]) == ("cpu", "mrsegmentator")
    assert config["resources"]["segment_organs"]["gpus"] == 1


def test_configuration_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("cohort: [\n")
    with pytest.raises(SetupError, match=r"config\.yaml, line 2, column 1: "):
        read_config(path, SCHEMA)

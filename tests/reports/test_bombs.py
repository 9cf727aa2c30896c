"""Files that would cost gigabytes or never end: each is a row, at the price of its header.

Source: 42.zip and its like, and what a fuzzer made of the headers of images.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from doubles.odd_files import BOMBS

PEAK_MIB = 1024
TESTS = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """All of them as one shard, in a process of its own."""
    folder = tmp_path_factory.mktemp("bombs")
    for name, (make, _) in BOMBS.items():
        make(folder / name)
    paths = os.pathsep.join([str(TESTS), *sys.path])
    printed = subprocess.run(
        [sys.executable, "-m", "doubles.odd_shard", str(folder)],
        env={**os.environ, "PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        timeout=60 * len(BOMBS),
        check=True,
    ).stdout
    found: dict[str, object] = json.loads(printed.splitlines()[-1])
    return found


@pytest.mark.parametrize("name", BOMBS)
def test_is_a_row_with_its_reason(outcome: dict[str, dict[str, str]], name: str) -> None:
    assert outcome["reasons"][name] == BOMBS[name][1]


def test_none_costs_more_than_a_gibibyte(outcome: dict[str, int]) -> None:
    assert outcome["peak_mib"] < PEAK_MIB

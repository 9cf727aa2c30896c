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

# Name of the kind, how to make one, and by which names of BOMBS.
KINDS = {
    "Z-11": ("a zip of 3 MB that inflates to 6 GB, or that lies about it", ("zeros", "lies")),
    "Z-12": ("a FIFO or a socket as image, or within a series", ("fifo", "socket")),
    "N-16": ("a `.nii.gz` that inflates to gigabytes", ("long", "large", "huge", "frames")),
    "N-53": ("an affine or an offset that is infinite, NaN or 1e38", ("affine", "offset")),
    "N-54": ("a compressed NRRD or MetaImage that inflates to gigabytes", ("packed",)),
    "N-55": ("a MetaImage that declares more voxels than it has", ("raw", "wide")),
    "D-48": ("Rows and Columns of 65,535", ("matrix",)),
    "D-49": ("a deflated DICOM that inflates to 3 GB", ("deflated",)),
    "Z-13": ("a device, or a link to nowhere, where an image is to be", ("device", "link")),
}


def _mark(name: str) -> pytest.MarkDecorator:
    kind, make = next(
        (kind, make) for kind, (make, starts) in KINDS.items() if name.startswith(starts)
    )
    return pytest.mark.odd_input(
        kind, make=make, source="42.zip, fuzzed, own", outcome="a reason, at the price of a header"
    )


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


@pytest.mark.parametrize("name", [pytest.param(one, marks=_mark(one)) for one in BOMBS])
def test_is_a_row_with_its_reason(outcome: dict[str, dict[str, str]], name: str) -> None:
    assert outcome["reasons"][name] == BOMBS[name][1]


def test_none_costs_more_than_a_gibibyte(outcome: dict[str, int]) -> None:
    assert outcome["peak_mib"] < PEAK_MIB

"""docs/inputs.md says what the tests of odd inputs show."""

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PATHS = ("src", "docs", "tests")


def test_the_page_is_made_of_the_marks() -> None:
    script = "import draw_inputs; print(draw_inputs.inputs_page(), end='')"
    made = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=REPOSITORY,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(str(REPOSITORY / one) for one in PATHS)},
    )
    assert made.stdout == (REPOSITORY / "docs" / "inputs.md").read_text()

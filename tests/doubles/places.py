"""Where the repository lies, the real images beside it, and how its programs are started."""

import os
from pathlib import Path
from typing import Final

REPOSITORY: Final = Path(__file__).parents[2]
TESTS: Final = REPOSITORY / "tests"
SHARED_DATA: Final = REPOSITORY.parent / "shared" / "data"  # absent on most machines
_QUICK_START: Final = Path(__file__).parent / "quick_start"


def quick_environment() -> dict[str, str]:
    """Return the variables of this process, with which every Snakemake starts faster."""
    paths = [str(_QUICK_START), *filter(None, [os.environ.get("PYTHONPATH")])]
    kept = {name: one for name, one in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPATH": os.pathsep.join(paths)}

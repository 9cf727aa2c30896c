"""Where the repository lies, and the real images beside it."""

from pathlib import Path
from typing import Final

REPOSITORY: Final = Path(__file__).parents[2]
TESTS: Final = REPOSITORY / "tests"
SHARED_DATA: Final = REPOSITORY.parent / "shared" / "data"  # absent on most machines

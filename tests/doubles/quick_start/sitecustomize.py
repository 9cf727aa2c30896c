"""Python that imports pandas when something is asked of it, for the many Snakemakes of the tests.

Each imports its SLURM plugin, and that pandas, for a report that nobody here wants: half a second
of two. Every Python started with ``places.quick_environment`` finds this file.
"""

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import LazyLoader
from types import ModuleType


class PandasLater:
    """Finds pandas, and leaves its code for later."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find it as Python does."""
        if name != "pandas":
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = LazyLoader(spec.loader)
        return spec


sys.meta_path.insert(0, PandasLater())

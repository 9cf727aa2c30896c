"""methods: print the paragraph of a run for a paper."""

from pathlib import Path

from organome.io.methods import methods_text, read_facts
from organome.io.runs import open_run


def run(run_folder: Path, /) -> str:
    """Print a methods paragraph and its references, made from the tables and settings of a run.

    Args:
        run_folder: Run folder with tables.

    Raises:
        SetupError: It is not a run folder, or has no tables.
    """
    return methods_text(read_facts(open_run(run_folder)))

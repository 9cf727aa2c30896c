"""switch: a version takes the place of what a run has; that becomes a version itself."""

import json
from pathlib import Path

from organome.domain.errors import SetupError
from organome.io.runs import Run, open_run
from organome.io.side_runs import VERSIONS
from organome.io.tables.withdrawn import SWITCH
from organome.steps.upkeep.alone import alone
from organome.steps.upkeep.versions import switch

_TABLES = "results/tables/dictionary.json"


def run(run_folder: Path, name: str, /, *, old_name: str = "before", partial: bool = False) -> str:
    """Switch a run to one of its versions; the other way round by the same command.

    Results, tables, logs and what Snakemake knows of them change places, the configuration gets the
    other values, and nothing is done again. Killed, it goes on when it is started again.

    Args:
        run_folder: Run folder.
        name: Name of the version.
        old_name: Name by which what is replaced stays as a version.
        partial: Switch although shards of the version are left.

    Returns:
        Where what was replaced is.

    Raises:
        SetupError: There is no such version, it is not complete, or somebody works on the two.
    """
    place = open_run(run_folder)
    with alone(place):
        if not partial and not (place.scans / SWITCH).exists():
            _check_complete(Run(place.folder / VERSIONS / name))
        replaced = switch(place, name, old_name)
    return f"switched to {name}; what was there before: {replaced}"


def _check_complete(version: Run) -> None:
    path = version.folder / _TABLES
    if not path.is_file():
        raise SetupError(f"{version.folder}: no tables yet; run it first (organome run)")
    if not json.loads(path.read_text(encoding="utf-8")).get("complete", True):
        raise SetupError(f"{version.folder}: shards are left; run it again, or switch --partial")

"""A run folder: its configuration, and where its parts lie."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from organome.domain.errors import SetupError
from organome.io.configs import read_config, read_schema
from organome.io.files.assets import asset

CONFIG: Final = "config.yaml"
_SCHEMA: Final = "workflow/schemas/config.schema.yaml"
_MADE: Final = ("scans", "results", "work")


@dataclass(frozen=True, slots=True)
class Run:
    """A run folder.

    Attributes:
        folder: Where it is.
    """

    folder: Path

    @property
    def scans(self) -> Path:
        """Folder of the sample sheet, a file for each shard."""
        return self.folder / "scans"

    @property
    def results(self) -> Path:
        """Folder of what is published."""
        return self.folder / "results"

    @property
    def work(self) -> Path:
        """Folder of what is under way."""
        return self.folder / "work"

    @property
    def tables(self) -> Path:
        """Folder of the tables of the cohort."""
        return self.results / "tables"

    @property
    def own_config(self) -> Path | None:
        """Its configuration, None where that lies elsewhere and is named to Snakemake."""
        path = self.folder / CONFIG
        return path if path.is_file() else None

    def config(self) -> dict[str, Any]:
        """Read its configuration, defaults filled in.

        Raises:
            SetupError: It has none, or something is wrong with it.
        """
        if self.own_config is None:
            raise SetupError(f"{self.folder}: no {CONFIG} in it; `organome init` writes one")
        return read_config(self.own_config, read_schema(asset(_SCHEMA)))


def open_run(folder: Path) -> Run:
    """Open a run folder.

    Raises:
        SetupError: It is not one.
    """
    if not folder.is_dir():
        raise SetupError(f"{folder}: no such run folder; `organome init` makes one")
    run = Run(folder)
    if run.own_config is None and not any((folder / name).is_dir() for name in _MADE):
        raise SetupError(
            f"{folder}: not a run folder: no {CONFIG} in it; `organome init` makes one"
        )
    return run

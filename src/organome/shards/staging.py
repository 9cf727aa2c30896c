"""Where the scans in flight of one attempt write their files until they are through."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from organome.io.files.atomic import sync_file, sync_folder


class Bench:
    """A folder of one attempt, with a folder for each scan in flight, and one for tables.

    Copies of it serve the worker processes of the attempt.

    Attributes:
        folder: The folder.
        tables: The one for tables.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tables = folder / "tables"
        self._folder = folder
        self._placed: dict[str, list[Path]] = {}

    def open(self) -> None:
        """Make the bench, and put those of all other attempts out of their reach."""
        for number, other in enumerate(sorted(self._folder.parent.glob(".*/"))):
            # Somebody may still write there while it is removed, but not after it is renamed.
            away = self._folder.with_name(f"{self._folder.name}.{number}")
            other.rename(away)
            shutil.rmtree(away, ignore_errors=True)
        self.tables.mkdir(parents=True)

    def place(self, scan: str) -> Callable[[str], Path]:
        """Give a function that says where a scan in flight writes a file of a given name."""
        self.clear(scan)
        folder = self._folder / scan
        folder.mkdir()
        placed = self._placed[scan] = []

        def place_file(name: str) -> Path:
            if "/" in name or name.endswith(".nii"):
                raise ValueError(f"{name}: a plain file name, NIfTI compressed")
            path = folder / f"{scan}_{name}"
            placed.append(path)
            return path

        return place_file

    def placed(self, scan: str) -> tuple[Path, ...]:
        """Name the files that a scan was given places for."""
        return tuple(dict.fromkeys(self._placed.get(scan, [])))

    def move(self, files: Sequence[Path], destination: Path) -> tuple[str, ...]:
        """Move the files of a scan to where they belong, and name them.

        Raises:
            FileNotFoundError: If one that was placed was not written, or the bench is gone.
        """
        for path in files:
            sync_file(path)
        for path in files:
            path.replace(destination / path.name)
        if files:
            sync_folder(destination)
        return tuple(sorted(path.name for path in files))

    def clear(self, scan: str) -> None:
        """Remove whatever a scan has left."""
        self._placed.pop(scan, None)
        if (self._folder / scan).exists():
            shutil.rmtree(self._folder / scan)

    def traces(self) -> list[Path]:
        """Name what stands there because of this bench."""
        return list(self._folder.parent.glob(f"{self._folder.name}*"))

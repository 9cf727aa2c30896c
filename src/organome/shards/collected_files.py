"""The files of the scans that are through: in a work folder until they become the output.

The folder carries the token of the attempt that holds the shard. A new attempt puts its own on it,
by one rename; so one that was replaced finds nothing to move files into, and nothing to publish.
"""

import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from organome.io.files.atomic import publish_folder, sync_file, sync_folder
from organome.shards.journal import JOURNAL
from organome.shards.places import files_folders, files_of


class CollectedFiles:
    """What was collected so far, in work or, where it was published before, in the output.

    Attributes:
        in_place: Whether they are in the output and stay there.
    """

    def __init__(self, work: Path, *, output: Path, token: str) -> None:
        self.in_place = False
        self._work = work
        self._output = output
        self._own = files_of(work, token)

    @property
    def folder(self) -> Path:
        """Where they lie."""
        return self._output if self.in_place else self._own

    def open(self) -> None:
        """Take over what earlier attempts have collected."""
        # In this order: whoever published at the last moment left nothing to adopt.
        if self._adopt():
            return
        self.in_place = (self._output / JOURNAL).exists()
        if not self.in_place and not self._rescue():
            self._own.mkdir()

    def take_back(self) -> None:
        """Rename the output back to work, where it is to change."""
        if self.in_place:
            self._output.rename(self._own)
            self.in_place = False

    def sweep(self, *, named: set[str]) -> None:
        """Remove every file that is not named."""
        for path in self.folder.iterdir():
            if path.name not in named:
                remove(path)

    def bring(self, files: Sequence[Path]) -> None:
        """Move files in, in this order; those that are there already, byte for byte, stay."""
        for path in files:
            target = self.folder / path.name
            if not target.is_file() or target.read_bytes() != path.read_bytes():
                sync_file(path)
                path.replace(target)
        sync_folder(self.folder)

    def publish(self) -> None:
        """Make them the output by one rename, unless they are it already."""
        if not self.in_place:
            publish_folder(self._own, self._output)

    def _adopt(self) -> bool:
        while folders := self._of_others():
            try:
                folders.pop().rename(self._own)
            except FileNotFoundError:
                continue  # published at the last moment by the attempt before
            for folder in folders:
                shutil.rmtree(folder)
            return True
        return False

    def _of_others(self) -> list[Path]:
        for folder in files_folders(self._work):
            with suppress(OSError):
                folder.rmdir()  # an empty one may come from an attempt that woke up late
        return files_folders(self._work)

    def _rescue(self) -> bool:
        """Find an output that was renamed aside by an attempt that was cut off right then."""
        for journal in self._output.parent.glob(f".{self._output.name}.*.old/{JOURNAL}"):
            journal.parent.rename(self._own)
            return True
        return False


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it."""
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

"""Whether the cohort is there at all: what is missing on a lost mount is not missing.

A mount that is gone leaves an empty folder, no folder, or a folder that cannot be listed. Files
below it then look as if they had never been delivered.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from organome.domain.errors import MachineFault

_LIST_SUFFIX: Final = ".tsv"


@dataclass(frozen=True, slots=True)
class CohortRoot:
    """Where the cohort lies, as it was listed.

    Attributes:
        path: Its folder, or the TSV that names its images; None where nobody says.
    """

    path: Path | None

    def check(self) -> None:
        """Look whether the cohort is there, at the price of one look into its folder.

        Raises:
            MachineFault: If its folder is empty, gone, or cannot be listed.
        """
        if self.path is None:
            return
        try:
            if self.path.is_file() or _holds_anything(_folder_of(self.path)):
                return
            found = "empty"
        except OSError as error:
            found = error.strerror or type(error).__name__
        raise MachineFault(
            f"{self.path}: {found}; has the cohort been unmounted on this machine?", is_local=False
        )


def _folder_of(root: Path) -> Path:
    """Take the folder of a TSV: the TSV itself may go once the cohort is listed."""
    return root.parent if root.suffix.lower() == _LIST_SUFFIX else root


def _holds_anything(folder: Path) -> bool:
    with os.scandir(folder) as entries:
        return next(entries, None) is not None


ANYWHERE: Final = CohortRoot(None)

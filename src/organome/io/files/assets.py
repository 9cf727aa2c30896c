"""What travels with the package besides code: the workflow, profiles, examples, a small model."""

from importlib.resources import files
from pathlib import Path
from typing import Final

_PACKAGE: Final = "organome"


def asset(name: str) -> Path:
    """Find a file or folder that belongs to Organome.

    Args:
        name: As in the repository: ``Snakefile``, ``profiles/slurm``, ``models/phantom``.

    Returns:
        In the installed package; in the checkout where it is installed from one (``pip -e``).
    """
    package = Path(str(files(_PACKAGE)))
    installed = package / "assets"
    return (installed if installed.is_dir() else package.parents[1]) / name

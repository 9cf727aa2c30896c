"""Models that were trained on phantoms, which label phantoms and nobody else."""

import json
from pathlib import Path
from typing import Final

from organome.domain.errors import SetupError
from organome.io.models.folders import read_note

PHANTOM_MARKER: Final = "phantoms.json"  # as make-phantoms leaves it above its cohorts
_KEYS: Final = {"version", "arguments", "complete"}


def is_phantom_cohort(root: Path) -> bool:
    """Find out whether a cohort was made by make-phantoms.

    Args:
        root: Its folder, or the TSV file that names its images.
    """
    folder = root.absolute() if root.is_dir() else root.absolute().parent
    return any(_is_marker(place / PHANTOM_MARKER) for place in (folder, folder.parent))


def is_for_phantoms(model: Path) -> bool:
    """Find out whether a model says that it was trained on phantoms.

    Raises:
        SetupError: What it says is damaged.
        MachineFault: Its folder cannot be read.
    """
    note = read_note(model)
    return note is not None and note.for_phantoms


def check_made_for(model: Path, root: Path, *, allowed: bool) -> None:
    """Refuse to label people with a model that was trained on phantoms.

    Args:
        model: Model folder.
        root: The cohort.
        allowed: Whether that was asked for.

    Raises:
        SetupError: If so.
    """
    if not allowed and is_for_phantoms(model) and not is_phantom_cohort(root):
        raise SetupError(
            f"model {model.name} was trained on phantoms, and {root} is not a cohort of"
            " make-phantoms: what it labels in people has no meaning.\nInstall another one"
            " (organome install-model mrsegmentator-1.2), or set segment.allow_phantom_model: true"
        )


def _is_marker(path: Path) -> bool:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and content.keys() >= _KEYS

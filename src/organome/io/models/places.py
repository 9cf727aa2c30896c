"""Where models lie: those that were installed, and the phantom model that comes with Organome."""

import difflib
from pathlib import Path
from typing import Final

from platformdirs import user_data_path

from organome.domain.errors import SetupError
from organome.io.files.assets import asset
from organome.io.models.layouts import DATASET, PLANS

PHANTOM: Final = "phantom"


def models_folder() -> Path:
    """Return the folder of this user's models, ``~/.local/share/organome/models`` on Linux."""
    return user_data_path("organome") / "models"


def installed_models() -> list[str]:
    """List the names by which models can be called here."""
    return sorted({path.parent.name for path in models_folder().glob(f"[!.]*/{PLANS}")} | {PHANTOM})


def locate_model(named: str, *, relative_to: Path = Path()) -> Path:
    """Find a model by its name or its folder.

    Args:
        named: Name of an installed model, or a path: anything with a slash, or a folder that is
            there.
        relative_to: What a relative path is relative to: the run folder.

    Returns:
        Its folder.

    Raises:
        SetupError: No model has that name, or the folder holds none.
    """
    if not named:
        raise SetupError(
            "segment.model is missing: name an installed model (organome install-model), or a"
            " folder"
        )
    path = relative_to / named
    if "/" in named or (path / PLANS).is_file():
        if path.is_dir() and not ((path / PLANS).is_file() and (path / DATASET).is_file()):
            raise SetupError(
                f"{path}: not a model folder ({PLANS}, {DATASET}, fold_*/checkpoint_final.pth)"
            )
        if not path.parent.is_dir() or path.is_dir():
            return path  # a mount that is lost is for the job to report, elsewhere it may be there
        raise SetupError(f"{path}: no such model folder; `organome install-model` installs models")
    installed = models_folder() / named
    if installed.is_dir():
        return installed
    if named == PHANTOM:
        return asset("models/phantom")
    names = installed_models()
    close = difflib.get_close_matches(named, names, n=1)
    hint = f"did you mean {close[0]}?" if close else f"install it: organome install-model {named}"
    raise SetupError(
        f"model {named} is not installed in {models_folder()} (there: {', '.join(names)}); {hint}"
    )

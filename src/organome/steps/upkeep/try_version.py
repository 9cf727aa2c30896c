"""try-version: another model, or other settings, on the scans of a run, in a folder beside."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from organome.domain.errors import SetupError
from organome.io.runs import open_run
from organome.steps.upkeep.alone import alone
from organome.steps.upkeep.versions import make_version


def run(
    run_folder: Path, name: str, /, *, model: str | None = None, set: Sequence[str] = ()
) -> str:
    """Make a version of a run: a run folder of its own in ``versions/``, on the same images.

    Args:
        run_folder: Run folder.
        name: Name of the version, such as that of the model.
        model: Installed model, or folder of one.
        set: Other settings, as ``segment.tile_step_size=0.25``.

    Returns:
        What to do next.

    Raises:
        SetupError: Nothing is other, the name is taken, or the configuration is wrong then.
    """
    place = open_run(run_folder)
    changes: dict[str, dict[str, Any]] = {}
    for word in set:
        key, sign, value = word.partition("=")
        section, dot, inner = key.partition(".")
        if not (sign and dot and inner) or "." in inner:
            raise SetupError(f"--set {word}: not a setting such as segment.tile_step_size=0.25")
        changes.setdefault(section, {})[inner] = yaml.safe_load(value)
    if model is not None:
        is_folder = "/" in model or Path(model).is_dir()
        chosen = str(Path(model).absolute()) if is_folder else model
        changes.setdefault("segment", {})["model"] = chosen
    if not changes:
        raise SetupError("name what is other: --model, or --set")
    with alone(place):
        folder = make_version(place, name, changes)
    return (
        f"organome run {folder}\n"
        f"organome compare {run_folder} --other {folder} --output compared\n"
        f"organome switch {run_folder} {name}"
    )

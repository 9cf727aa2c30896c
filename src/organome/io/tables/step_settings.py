"""``settings.json``: the settings that made the files of a published folder."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from organome.domain.errors import SetupError
from organome.domain.outcomes import JsonValue
from organome.io.files.atomic import write_text_atomic

SETTINGS: Final = "settings.json"


def write_settings(folder: Path, settings: Mapping[str, JsonValue]) -> None:
    """Write all settings that change the results of a step beside them."""
    text = json.dumps(settings, indent=1, sort_keys=True) + "\n"
    write_text_atomic(folder / SETTINGS, text)


def read_settings(folder: Path) -> dict[str, JsonValue]:
    """Read the settings that made what a step published.

    Raises:
        SetupError: There are none, or they cannot be read.
    """
    path = folder / SETTINGS
    try:
        settings: dict[str, JsonValue] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SetupError(f"{path}: cannot be read; run the step again ({error})") from error
    if not isinstance(settings, dict):
        raise SetupError(f"{path}: does not hold settings; run the step again")
    return settings

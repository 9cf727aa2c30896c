"""Calls for dask workers, some of them fatal; here because workers import them by name."""

import os
import time
from pathlib import Path

from organome.domain.errors import SetupError


def square(number: int, *, pause_s: float = 0) -> int:
    time.sleep(pause_s)
    return number * number


def die_once(marker: Path) -> str:
    if not marker.exists():
        marker.touch()
        die()
    return marker.name


def die() -> None:
    os._exit(1)


def refuse(shard: str) -> None:
    raise SetupError(f"shard {shard}: no")

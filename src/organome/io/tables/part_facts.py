"""What the files of a table say of themselves in their metadata, joined over all of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, TypeAlias

import pyarrow.parquet as pq

Facts: TypeAlias = dict[str, bool | int | str]

_PREFIX: Final = "organome."
# What describes the table, and the digest of what one file is made of.
_NOT_JOINED: Final = frozenset({"table", "row", "key", "inputs"})
_BOOLEANS: Final = {"false": False, "true": True}


def joined_facts(parts: Sequence[Path]) -> Facts:
    """Join the facts of the files of a table.

    The table is complete where all files are, and of a phantom model where one is; counts add up;
    models and settings are united. Anything else is that of the first file.
    """
    said: dict[str, list[str]] = {}
    for part in parts:
        for key, text in (pq.read_schema(part).metadata or {}).items():
            name = key.decode()
            if name.startswith(_PREFIX) and name.removeprefix(_PREFIX) not in _NOT_JOINED:
                said.setdefault(name.removeprefix(_PREFIX), []).append(text.decode())
    return {name: _joined(name, texts) for name, texts in said.items()}


def fact_texts(facts: Mapping[str, bool | int | str]) -> tuple[tuple[str, str], ...]:
    """Return facts as the metadata of a file holds them."""
    return tuple(
        (name, str(value).lower() if isinstance(value, bool) else str(value))
        for name, value in facts.items()
    )


def _joined(name: str, texts: Sequence[str]) -> bool | int | str:
    if {*texts} <= {*_BOOLEANS}:
        values = [_BOOLEANS[text] for text in texts]
        return all(values) if name == "complete" else any(values)
    if name.startswith("n_"):
        return sum(map(int, texts))
    if name == "models" or name.startswith("settings."):
        return ";".join(sorted({one for text in texts for one in text.split(";")}))
    return texts[0]

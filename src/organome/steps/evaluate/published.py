"""The figures of a paper, to be printed beside those of a run."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, Self

import yaml

from organome.domain.errors import SetupError
from organome.io.files.strict_yaml import StrictLoader


@dataclass(frozen=True, slots=True)
class Published:
    """What a paper printed, as its file has it (``config/published``).

    Attributes:
        source: The paper.
        entries: Lists of entries by section: ``sets``, ``composition``, ``classes``.
        findings: The sections ``sex``, ``power`` and ``age``.
    """

    source: str
    entries: Mapping[str, Sequence[Mapping[str, Any]]]
    findings: Mapping[str, Mapping[str, Any]]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the file of a paper.

        Raises:
            SetupError: It cannot be read, or a section is not there.
        """
        try:
            content = yaml.load(path.read_text(encoding="utf-8"), StrictLoader)
            return cls(
                content["source"],
                {name: content[name] for name in ("sets", "composition", "classes")},
                {name: content[name] for name in ("sex", "power", "age")},
            )
        except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
            said = " ".join(str(error).split())
            raise SetupError(f"{path}: not the figures of a paper ({said})") from error

    def find(self, section: str, dataset: str, **wanted: object) -> Mapping[str, Any]:
        """Find the entry of a dataset of which all wanted values are the same; {} if none is."""
        for entry in self.entries[section]:
            if is_same_dataset(dataset, entry["dataset"]) and all(
                entry[name] == value for name, value in wanted.items()
            ):
                return entry
        return {}

    def finding(self, section: str, dataset: str) -> Mapping[str, Any]:
        """Return what a paper found in a dataset; {} if that was another one."""
        found = self.findings[section]
        return found if is_same_dataset(dataset, found.get("dataset", dataset)) else {}


def is_same_dataset(ours: str, theirs: str) -> bool:
    """Return whether a dataset of ours has the name of theirs, or that and more (``nako-2024``).

    Case, ``-`` and ``_`` do not count in the name itself (``InHouse`` is ``in_house``).
    """
    words = re.split("[-_]", ours.lower())
    name = "".join(re.split("[-_]", theirs.lower()))
    return name in accumulate(words)

"""Who withdrew from a cohort: ``withdrawn.json`` beside the sample sheet, digests and no names.

Names of a biobank are short, so whoever has the file can try them all; a slow digest with a salt of
the run folder makes that a matter of hours of computing, not of milliseconds. It keeps names from
being read or found by a search, not from an attack by somebody who may read the run folder anyway.
"""

import hashlib
import json
import secrets
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Final, Self

from organome.domain.errors import SetupError
from organome.io.files.atomic import write_text_atomic

WITHDRAWN: Final = "withdrawn.json"
PENDING: Final = "withdrawal.json"  # there while a withdrawal is under way
SWITCH: Final = "switch.json"  # the same of a switch to another version
_TO_END: Final = {
    PENDING: "a withdrawal (`organome withdraw`, with the same list)",
    SWITCH: "a switch to another version (`organome switch`)",
}
_FORMAT: Final = 1
_N: Final = 2**10  # 4 ms a name


@dataclass(frozen=True)
class Withdrawn:
    """Who withdrew.

    Attributes:
        salt: Of this run folder, hexadecimal.
        digests: One for each participant, hexadecimal.
    """

    salt: str = field(default_factory=lambda: secrets.token_hex(16))
    digests: frozenset[str] = frozenset()

    @cached_property
    def _salt(self) -> bytes:
        return bytes.fromhex(self.salt)

    def digest(self, participant: str) -> str:
        """Return the digest of a participant."""
        name = participant.encode()
        return hashlib.scrypt(name, salt=self._salt, n=_N, r=8, p=1, dklen=16).hex()

    def of(self, participants: Collection[str]) -> set[str]:
        """Return those of some participants who withdrew."""
        return {one for one in participants if self.digests and self.digest(one) in self.digests}

    def with_digests(self, digests: Collection[str]) -> Self:
        """Return the same with more participants."""
        return replace(self, digests=self.digests | set(digests))


def read_withdrawn(scans: Path) -> Withdrawn:
    """Read who withdrew from the cohort of a sample sheet.

    Raises:
        SetupError: The file cannot be read: nobody may be listed then.
    """
    path = scans / WITHDRAWN
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != _FORMAT:
            raise ValueError("another format")
        return Withdrawn(str(content["salt"]), frozenset(content["digests"]))
    except FileNotFoundError:
        return Withdrawn()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SetupError(
            f"{path}: cannot be read; it says who withdrew, so bring it back from a backup"
        ) from error


def write_withdrawn(scans: Path, withdrawn: Withdrawn) -> None:
    """Write who withdrew, whole or not at all."""
    content = {"format": _FORMAT, "salt": withdrawn.salt, "digests": sorted(withdrawn.digests)}
    write_text_atomic(scans / WITHDRAWN, json.dumps(content, indent=1) + "\n")


def check_none_pending(scans: Path) -> None:
    """Refuse to work on a cohort on which a withdrawal or a switch was begun and not ended.

    Raises:
        SetupError: If so.
    """
    for name, words in _TO_END.items():
        if (scans / name).exists():
            raise SetupError(f"{scans.parent}: {words} was begun and not ended; start it again")

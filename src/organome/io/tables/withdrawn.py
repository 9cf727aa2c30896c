"""Who withdrew from a cohort: ``withdrawn.json`` beside the sample sheet, digests and no names.

Names of a biobank are short, so whoever has the file can try them all; a slow digest with a salt of
the run folder makes that a matter of hours of computing, not of milliseconds. It keeps names from
being read or found by a search, not from an attack by somebody who may read the run folder anyway.
"""

import hashlib
import json
import secrets
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Final, Self, TypeAlias

from organome.domain.errors import SetupError
from organome.domain.fingerprints import digest_of
from organome.domain.scans import Scan
from organome.io.files.atomic import write_text_atomic

WITHDRAWN: Final = "withdrawn.json"
PENDING: Final = "withdrawal.json"  # there while a withdrawal is under way
SWITCH: Final = "switch.json"  # the same of a switch to another version
_TO_END: Final = {
    PENDING: "a withdrawal (`organome withdraw`, with the same list)",
    SWITCH: "a switch to another version (`organome switch`)",
}
_FORMAT: Final = 1
Removed: TypeAlias = tuple[str, str, str, str, int, int]
_N: Final = 2**10  # 4 ms a name


@dataclass(frozen=True)
class Withdrawn:
    """Who withdrew.

    Attributes:
        salt: Of this run folder, hexadecimal.
        digests: One for each participant, hexadecimal.
        removed: What was removed with them: mark of the withdrawal, cohort, protocol, instance,
            number of scans, number of participants.
    """

    salt: str = field(default_factory=lambda: secrets.token_hex(16))
    digests: frozenset[str] = frozenset()
    removed: tuple[Removed, ...] = ()

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

    def with_more(self, digests: Collection[str], scans: Iterable[Scan]) -> Self:
        """Return the same with more participants and their scans; a second time changes nothing."""
        mark = digest_of(sorted(digests))[:16]
        people: dict[tuple[str, str, str], list[str]] = {}
        for one in scans:
            people.setdefault((one.cohort, one.protocol, one.instance), []).append(one.participant)
        removed = [
            (mark, *key, len(of_scans), len({*of_scans})) for key, of_scans in people.items()
        ]
        if removed:
            removed += [one for one in self.removed if one[0] != mark]
        return replace(
            self,
            digests=self.digests | set(digests),
            removed=tuple(sorted(removed or self.removed)),
        )


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
        removed = tuple(tuple(one) for one in content.get("removed", ()))
        return Withdrawn(str(content["salt"]), frozenset(content["digests"]), removed)
    except FileNotFoundError:
        return Withdrawn()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SetupError(
            f"{path}: cannot be read; it says who withdrew, so bring it back from a backup"
        ) from error


def write_withdrawn(scans: Path, withdrawn: Withdrawn) -> None:
    """Write who withdrew, whole or not at all."""
    content = {
        "format": _FORMAT,
        "salt": withdrawn.salt,
        "digests": sorted(withdrawn.digests),
        "removed": withdrawn.removed,
    }
    write_text_atomic(scans / WITHDRAWN, json.dumps(content, indent=1) + "\n")


def check_none_pending(scans: Path) -> None:
    """Refuse to work on a cohort on which a withdrawal or a switch was begun and not ended.

    Raises:
        SetupError: If so.
    """
    for name, words in _TO_END.items():
        if (scans / name).exists():
            raise SetupError(f"{scans.parent}: {words} was begun and not ended; start it again")

"""The folder of a canary: ``canary.json``, image and labelmap of each reference scan, checks.

A check is ``<kind>.json``, one file for each kind of machine.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from organome.domain.canaries import (
    Canary,
    CanaryCheck,
    Judgement,
    Machine,
    OrganDifference,
    Question,
    ReferenceScan,
    Tolerance,
)
from organome.domain.errors import SetupError
from organome.io.files.atomic import write_text_atomic

CANARY: Final = "canary.json"
_FORMAT: Final = 1


def write_canary(folder: Path, canary: Canary) -> None:
    """Write what a canary is, beside the files of its scans."""
    content = {"format": _FORMAT, **asdict(canary)}
    write_text_atomic(folder / CANARY, json.dumps(content, indent=2) + "\n")


def read_canary(folder: Path) -> tuple[Canary, str]:
    """Read what a canary is, and the digest of it; its files are not looked at.

    Raises:
        SetupError: There is none, or it cannot be read.
    """
    path = folder / CANARY
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise SetupError(f"{path}: there is no canary, make one (organome make-canary)") from error
    try:
        fields = json.loads(content)
        if fields.pop("format") != _FORMAT:
            raise ValueError("another format")
        canary = _canary(fields)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise SetupError(f"{path}: not a canary of this release, make it again") from error
    return canary, hashlib.sha256(content).hexdigest()


def check_files(folder: Path, canary: Canary) -> None:
    """Make sure that the files of a canary are those that it was made with.

    Raises:
        SetupError: One is missing or another.
    """
    for scan in canary.scans:
        for name, expected in (
            (scan.image, scan.image_sha256),
            (scan.labelmap, scan.labelmap_sha256),
        ):
            path = folder / name
            if not path.is_file() or file_sha256(path) != expected:
                raise SetupError(f"{path}: not the file that the canary was made with")


def file_sha256(path: Path) -> str:
    """Digest the bytes of a file; SHA-256, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _canary(fields: Mapping[str, Any]) -> Canary:
    parts = {
        "labelled_on": tuple(fields["labelled_on"]),
        "packed_on": Machine(**fields["packed_on"]),
        "scans": tuple(ReferenceScan(**scan) for scan in fields["scans"]),
    }
    return Canary(**{**fields, **parts})


def check_path(folder: Path, machine: Machine) -> Path:
    """Return where the check of a kind of machine lies."""
    return folder / f"{machine.kind}.json"


def write_check(folder: Path, check: CanaryCheck) -> None:
    """Write the check of a kind of machine, in the place of an older one."""
    path = check_path(folder, check.machine)
    write_text_atomic(path, json.dumps(asdict(check), indent=2) + "\n")


def read_check(folder: Path, machine: Machine) -> CanaryCheck | None:
    """Read the check of a kind of machine; None where there is none that can be read."""
    try:
        content = json.loads(check_path(folder, machine).read_text(encoding="utf-8"))
        question = content["question"]
        parts = {
            "judgement": Judgement(content["judgement"]),
            "question": Question(
                **{**question, "tolerance": Tolerance(**question["tolerance"])},
            ),
            "machine": Machine(**content["machine"]),
            "worst": OrganDifference(**content["worst"]),
        }
        return CanaryCheck(**{**content, **parts})
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return None  # then the machine is checked again

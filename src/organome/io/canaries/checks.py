"""Checks of machines against a canary: ``<kind>.json``, one file for each kind of machine."""

import json
from dataclasses import asdict
from pathlib import Path

from organome.domain.canaries import (
    CanaryCheck,
    Judgement,
    Machine,
    OrganDifference,
    Question,
    Tolerance,
)
from organome.io.files.atomic import write_text_atomic


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

"""Verdicts on machines: ``<kind>.json``, one file for each kind of machine."""

import json
from dataclasses import asdict
from pathlib import Path

from organome.domain.canaries import Judgement, OrganDifference, Question, Tolerance, Verdict
from organome.domain.machines import Machine
from organome.io.files.atomic import write_text_atomic


def verdict_path(folder: Path, machine: Machine) -> Path:
    """Say where the verdict on a kind of machine lies."""
    return folder / f"{machine.kind}.json"


def write_verdict(folder: Path, verdict: Verdict) -> None:
    """Write the verdict on a kind of machine, in the place of an older one."""
    path = verdict_path(folder, verdict.machine)
    write_text_atomic(path, json.dumps(asdict(verdict), indent=2) + "\n")


def read_verdict(folder: Path, machine: Machine) -> Verdict | None:
    """Read the verdict on a kind of machine; None where there is none that can be read."""
    try:
        told = json.loads(verdict_path(folder, machine).read_text(encoding="utf-8"))
        question = told["question"]
        parts = {
            "judgement": Judgement(told["judgement"]),
            "question": Question(
                **{**question, "tolerance": Tolerance(**question["tolerance"])},
            ),
            "machine": Machine(**told["machine"]),
            "worst": OrganDifference(**told["worst"]),
        }
        return Verdict(**{**told, **parts})
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return None  # then the machine is checked again

"""Findings: what was looked at, how it is, what to do about it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from organome.shards.faults import describe_os_error


class Grade(StrEnum):
    """How good it is."""

    OK = "ok"
    WARN = "warn"  # it works, or may
    FAIL = "FAIL"  # a cohort would not come through
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's table.

    Attributes:
        subject: What was looked at.
        grade: How good it is.
        fact: What was found.
        advice: What to do; empty where there is nothing to do.
    """

    subject: str
    grade: Grade
    fact: str
    advice: str = ""

    @property
    def holds(self) -> bool:
        """Whether a cohort can be run like this."""
        return self.grade is not Grade.FAIL

    def line(self, *, width: int) -> str:
        """Write it as one line, with a column for the subject that is so wide."""
        advice = f" -> {self.advice}" if self.advice else ""
        return f"{self.grade:<8} {self.subject:<{width}} {self.fact}{advice}"


def ok(subject: str, fact: str) -> Finding:
    """Return the finding that all is well."""
    return Finding(subject, Grade.OK, fact)


def warn(subject: str, fact: str, advice: str) -> Finding:
    """Return a finding of what may go wrong."""
    return Finding(subject, Grade.WARN, fact, advice)


def fail(subject: str, fact: str, advice: str) -> Finding:
    """Return a finding of what will go wrong."""
    return Finding(subject, Grade.FAIL, fact, advice)


def skipped(subject: str, fact: str, advice: str = "") -> Finding:
    """Return a finding of what was not looked at."""
    return Finding(subject, Grade.SKIPPED, fact, advice)


def look(subject: str, check: Callable[[], Iterable[Finding]], *own: Path) -> list[Finding]:
    """Look at something; that it cannot be looked at is a finding, too.

    Args:
        subject: What is looked at.
        check: Looks.
        own: Folders below which a finding may name a path.
    """
    found: list[Finding] = []
    try:
        found.extend(check())
    except Exception as error:  # one broken thing must not hide the others
        why = str(error)
        if isinstance(error, OSError) and error.filename is not None:
            why = describe_os_error(error, *own)
        fact = f"{type(error).__name__}: {why}".splitlines()[0]
        found.append(fail(subject, fact, "correct this first"))
    return found

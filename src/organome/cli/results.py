"""What a step returns, on stdout."""

import os
import sys
from dataclasses import fields, is_dataclass
from typing import Any


class OutputClosed(Exception):
    """Whoever read the output, ``head`` say, has gone."""


def show(result: Any) -> bool:
    """Print a step's summary; outcomes of scans stand in the log and the ledger already.

    Returns:
        False if the result holds a promise that is broken.

    Raises:
        OutputClosed: Nobody reads it any more.
    """
    writes_itself = is_dataclass(result) and "__str__" in vars(type(result))
    try:
        if isinstance(result, str) or writes_itself:
            print(result)
        elif is_dataclass(result):
            print("\n".join(_lines(result)))
        sys.stdout.flush()
    except BrokenPipeError as error:
        # Python flushes once more at its end, and would complain again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise OutputClosed from error
    return all(promise.holds for promise in getattr(result, "promises", ()))


def _lines(summary: Any) -> list[str]:
    values = {field.name: getattr(summary, field.name) for field in fields(summary)}
    return [f"{name}: {'-' if value is None else value}" for name, value in values.items()]

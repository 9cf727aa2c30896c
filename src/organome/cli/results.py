"""What a step returns, on stdout."""

from dataclasses import fields, is_dataclass
from typing import Any


def show(result: Any) -> bool:
    """Print a step's summary; outcomes of scans stand in the log and the ledger already.

    Returns:
        False if the result holds a promise that is broken.
    """
    writes_itself = is_dataclass(result) and "__str__" in vars(type(result))
    if isinstance(result, str) or writes_itself:
        print(result)
    elif is_dataclass(result):
        print("\n".join(_lines(result)))
    return all(promise.holds for promise in getattr(result, "promises", ()))


def _lines(summary: Any) -> list[str]:
    told = {field.name: getattr(summary, field.name) for field in fields(summary)}
    return [f"{name}: {'-' if value is None else value}" for name, value in told.items()]

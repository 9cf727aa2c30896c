"""What a step returns, on stdout."""

from dataclasses import fields, is_dataclass


def show(result: object) -> None:
    """Print a step's summary; outcomes of scans stand in the log and the ledger already."""
    writes_itself = type(result).__str__ is not object.__str__
    if isinstance(result, str) or (is_dataclass(result) and writes_itself):
        print(result)
    elif is_dataclass(result):
        for field in fields(result):
            value = getattr(result, field.name)
            print(f"{field.name}: {', '.join(value) if isinstance(value, tuple) else value}")

"""What a step returns, on stdout."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Final


def _score_text(score: Any) -> str:
    from organome.steps.score_phantoms import render_score

    return render_score(score)


# By name, because importing a step to ask for its type would take seconds.
_WRITERS: Final = {"organome.steps.score_phantoms.Score": _score_text}


def show(result: Any) -> bool:
    """Print a step's summary; outcomes of scans stand in the log and the ledger already.

    Returns:
        False if the result holds a promise that is broken.
    """
    kind = f"{type(result).__module__}.{type(result).__qualname__}"
    if isinstance(result, str):
        print(result)
    elif kind in _WRITERS:
        print(_WRITERS[kind](result))
    elif is_dataclass(result):
        print("\n".join(_lines(result)))
    return all(promise.holds for promise in getattr(result, "promises", ()))


def _lines(summary: Any) -> list[str]:
    lines = []
    for field in fields(summary):
        value = getattr(summary, field.name)
        if isinstance(value, tuple) and all(is_dataclass(one) for one in value):
            lines += [" ".join(_words(one)) for one in value]
        else:
            lines.append(f"{field.name}: {_text(value)}")
    return lines


def _words(one: Any) -> list[str]:
    return [f"{field.name}={_text(getattr(one, field.name))}" for field in fields(one)]


def _text(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, Mapping):
        return ",".join(f"{name}:{number}" for name, number in value.items()) or "-"
    if isinstance(value, tuple):
        return ", ".join(str(one) for one in value) or "-"
    return str(value)

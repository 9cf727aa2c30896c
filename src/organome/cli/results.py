"""What a step returns, on stdout."""

from dataclasses import fields, is_dataclass
from typing import Any, Final


def _score_text(score: Any) -> str:
    from organome.steps.score_phantoms import render_score

    return render_score(score)


def _status_text(status: Any) -> str:
    from organome.steps.status import render_status

    return render_status(status)


# By name, because importing a step to ask for its type would take seconds.
_WRITERS: Final = {
    "organome.steps.score_phantoms.Score": _score_text,
    "organome.steps.status.CohortStatus": _status_text,
}


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
    told = {field.name: getattr(summary, field.name) for field in fields(summary)}
    return [f"{name}: {'-' if value is None else value}" for name, value in told.items()]

"""What is written to stderr: one line per event, and progress bars where it is a terminal."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Callbacks = dict[str, Callable[..., None]]


@contextmanager
def progress_bars(
    wanted: Mapping[str, Any], arguments: Mapping[str, Any]
) -> Iterator[tuple[Console, Callbacks]]:
    """Show a bar for a step that reports how far it is.

    Args:
        wanted: Names of the step's callbacks, ``on_...``.
        arguments: What the step is called with.

    Yields:
        The console for everything else that is written, and the callbacks.
    """
    console = Console(stderr=True)
    if not console.is_terminal or not wanted:
        yield console, {}
        return
    if "on_status" in wanted:
        yield console, {"on_status": _redraw(console)}
        return
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
    with bar:
        yield console, {name: _CALLBACKS.get(name, _count)(bar, arguments) for name in wanted}


def _redraw(console: Console) -> Callable[..., None]:
    def redraw(text: str) -> None:
        console.clear()
        console.print(text, markup=False, highlight=False)

    return redraw


def _count(bar: Progress, _arguments: Mapping[str, Any]) -> Callable[..., None]:
    task = bar.add_task("done", total=None)
    return lambda *_facts: bar.advance(task)


def _on_outcome(bar: Progress, arguments: Mapping[str, Any]) -> Callable[..., None]:
    import pyarrow.parquet as pq

    shard = arguments.get("shard")  # measure-overlaps goes through all shards
    known = shard is not None and Path(shard).is_file()
    n_scans = pq.read_metadata(shard).num_rows if known else None
    task = bar.add_task("scans", total=n_scans)
    return lambda _outcome: bar.advance(task)


def _of_all(description: str) -> Callable[[Progress, Mapping[str, Any]], Callable[..., None]]:
    def show(bar: Progress, _arguments: Mapping[str, Any]) -> Callable[..., None]:
        task = bar.add_task(description, total=None)
        return lambda n_done, n_all: bar.update(task, completed=n_done, total=n_all)

    return show


def _on_progress(bar: Progress, _arguments: Mapping[str, Any]) -> Callable[..., None]:
    task = bar.add_task("% of the budget", total=100)

    def report(progress: Any) -> None:
        loss = f"loss {progress.loss:.3f}, % of the budget"
        bar.update(task, completed=round(100 * progress.share), description=loss)

    return report


_CALLBACKS: dict[str, Callable[[Progress, Mapping[str, Any]], Callable[..., None]]] = {
    "on_outcome": _on_outcome,
    "on_shards": _of_all("steps of shards"),
    "on_visit": _of_all("visits"),
    "on_progress": _on_progress,
}


class _ConsoleHandler(logging.Handler):
    """Writes through the console that holds the progress bar, so that neither breaks the other."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        """Print one line as it is: no colours, no wrapping, no markup."""
        self._console.print(self.format(record), markup=False, highlight=False, soft_wrap=True)


@contextmanager
def log_to(console: Console) -> Iterator[None]:
    """Log Organome's events within the block; other packages only from warnings on."""
    handler = _ConsoleHandler(console)
    handler.setFormatter(
        logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S")
    )
    root, ours = logging.getLogger(), logging.getLogger("organome")
    root.addHandler(handler)
    ours.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.removeHandler(handler)

"""Logs: one line per event, to stderr."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console


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

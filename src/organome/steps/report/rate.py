"""rate: show the report on this machine alone, and keep ratings in the run folder."""

import csv
import io
import json
import re
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import Any, Final

from organome.domain.errors import SetupError
from organome.domain.quality import Rating
from organome.io.files.atomic import write_text_atomic
from organome.io.runs import open_run
from organome.io.tables.ratings import RATING_COLUMNS

HOST: Final = "127.0.0.1"
_MOST_BYTES: Final = 10_000
_RATER: Final = re.compile(r"[A-Za-z0-9_-]{1,40}")
_SCAN: Final = re.compile(r"\d{4,}-\d{4,}")
_ORGAN: Final = re.compile(r"[a-z0-9_]{0,80}")


def run(run_folder: Path, /, *, port: int = 0) -> None:
    """Serve the report on this machine, until interrupted; the address stands on the screen.

    Args:
        run_folder: Folder of the run. Ratings are written to its ``ratings/<rater>.tsv``.
        port: Port on 127.0.0.1; 0: any that is free.

    Raises:
        SetupError: There is no report, or the port is taken.
    """
    report = open_run(run_folder).results / "report"
    if not (report / "index.html").is_file():
        raise SetupError(f"{report}: no report yet; `organome write-report` makes it")
    with make_server(report, run_folder / "ratings", port) as server:
        print(f"{address(server)}  (ctrl-C ends it)", flush=True)
        server.serve_forever()


class RatingServer(ThreadingHTTPServer):
    """Serves one folder to who knows the token."""

    daemon_threads = True
    token: str


def address(server: RatingServer) -> str:
    """Return where the start page is."""
    return f"http://{HOST}:{server.server_address[1]}/{server.token}/index.html"


def make_server(report: Path, ratings: Path, port: int = 0) -> RatingServer:
    """Make the server; it listens at once, and nobody else's machine reaches it.

    Args:
        report: Folder of the pages.
        ratings: Folder of the TSV files.
        port: Port, 0 for any.

    Raises:
        SetupError: The port is taken.
    """
    token = secrets.token_urlsafe(16)
    handler: Callable[..., Any] = partial(
        _Handler, directory=str(report), ratings=ratings, token=token, lock=Lock()
    )
    try:
        server = RatingServer((HOST, port), handler)
    except OSError as error:
        raise SetupError(f"--port {port}: {error.strerror}") from error
    server.token = token
    return server


class _Handler(SimpleHTTPRequestHandler):
    def __init__(self, *given: Any, ratings: Path, token: str, lock: Lock, directory: str) -> None:
        self._ratings, self._token, self._lock = ratings, token, lock
        super().__init__(*given, directory=directory)

    def _is_allowed(self) -> bool:
        """Refuse whoever lacks the token, and names of hosts that lead here from elsewhere."""
        _, _, path = self.path.partition("/")
        token, _, rest = path.partition("/")
        host = self.headers.get("Host", "").rpartition(":")[0]
        if not secrets.compare_digest(token, self._token) or host not in (HOST, "localhost"):
            self.send_error(HTTPStatus.FORBIDDEN)
            return False
        self.path = f"/{rest}"
        return True

    def do_GET(self) -> None:
        if self._is_allowed():
            super().do_GET()

    def do_HEAD(self) -> None:
        if self._is_allowed():
            super().do_HEAD()

    def do_POST(self) -> None:
        if not self._is_allowed():
            return
        n_bytes = int(self.headers.get("Content-Length", "0") or 0)
        row = None
        if self.path == "/ratings" and 0 < n_bytes <= _MOST_BYTES:
            row = _checked(self.rfile.read(n_bytes))
        if row is None:
            self.send_error(HTTPStatus.BAD_REQUEST)
            return
        with self._lock:
            append_rating(self._ratings / f"{row['rater']}.tsv", row)
        self.send_response(HTTPStatus.NO_CONTENT)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: addresses hold the token."""


def _checked(content: bytes) -> dict[str, str] | None:
    """Return a rating, None where it is not one."""
    try:
        given = json.loads(content)
        row = {name: " ".join(str(given.get(name) or "").split()) for name in RATING_COLUMNS}
    except (ValueError, AttributeError):
        return None
    row["time"] = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    is_one = (
        row["rating"] in tuple(Rating)
        and _RATER.fullmatch(row["rater"])
        and _SCAN.fullmatch(row["scan"])
        and _ORGAN.fullmatch(row["organ"])
    )
    return row if is_one else None


def append_rating(path: Path, row: dict[str, str]) -> None:
    """Add a line to a TSV of ratings; the file is there whole at any moment."""
    before = path.read_text(encoding="utf-8") if path.is_file() else ""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, RATING_COLUMNS, delimiter="\t", lineterminator="\n")
    if not before:
        writer.writeheader()
    writer.writerow(row)
    gap = "\n" if before and not before.endswith("\n") else ""
    write_text_atomic(path, before + gap + text.getvalue())

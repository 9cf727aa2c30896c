"""Download one file over HTTP(S): whole or not at all, with a size that was promised."""

import http.client
import logging
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO, Any, Final
from urllib.parse import urlsplit

from organome.domain.errors import MachineFault, SetupError

MAX_BYTES: Final = 64 << 30
_TIMEOUT_S: Final = 60.0
_BLOCK_BYTES: Final = 1 << 20
_LOG_BYTES: Final = 256 << 20
# HTTP: asking again does not help, unless it was too slow or too many asked.
_HERE_TO_STAY: Final = frozenset(range(400, 500)) - {408, 429}
_CONNECTION_FAULTS: Final = (
    *(urllib.error.URLError, http.client.HTTPException),
    *(TimeoutError, ConnectionError, ssl.SSLError),
)

_logger = logging.getLogger(__name__)


def download(url: str, path: Path, *, insecure: bool = False) -> None:
    """Download a file.

    Args:
        url: Where from, http or https; a proxy is taken from the usual environment variables.
        path: Where to. What is there of a download that failed is removed.
        insecure: Whether plain http is good enough, since the bytes are checked afterwards.

    Raises:
        SetupError: The address is wrong, or is not https.
        MachineFault: The server cannot be reached from this machine, or the connection was lost.
    """
    _check_address(url, insecure=insecure)
    try:
        try:
            _copy(url, path, insecure=insecure)
        except urllib.error.HTTPError as error:
            error.close()
            said = f"{url}: the server says {error.code} {error.reason}"
            raise (SetupError if error.code in _HERE_TO_STAY else MachineFault)(said) from error
        except _CONNECTION_FAULTS as error:
            why = getattr(error, "reason", None) or error
            raise MachineFault(
                f"{url}: cannot be downloaded on this machine ({why}); download it elsewhere and"
                " name the file"
            ) from error
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _copy(url: str, path: Path, *, insecure: bool) -> None:
    request = urllib.request.Request(url, headers={"User-Agent": "organome"})
    opener = urllib.request.build_opener(_CheckedRedirects(insecure=insecure))
    with opener.open(request, timeout=_TIMEOUT_S) as reply, path.open("wb") as file:
        promised = int(reply.headers.get("Content-Length") or -1)
        if promised > MAX_BYTES:
            raise SetupError(f"{url}: {promised} bytes, no model is that large")
        n_bytes = 0
        while block := reply.read(_BLOCK_BYTES):
            if n_bytes // _LOG_BYTES != (n_bytes + len(block)) // _LOG_BYTES:
                _logger.info("event=download n_bytes=%d of=%d", n_bytes + len(block), promised)
            n_bytes += len(block)
            if n_bytes > MAX_BYTES:
                raise SetupError(f"{url}: more than {MAX_BYTES} bytes, no model is that large")
            file.write(block)
    if promised >= 0 and n_bytes != promised:
        raise MachineFault(f"{url}: the connection ended after {n_bytes} of {promised} bytes")


class _CheckedRedirects(urllib.request.HTTPRedirectHandler):
    """Follow a redirection only to where the first address may lead as well."""

    def __init__(self, *, insecure: bool) -> None:
        self._insecure = insecure

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: Any,
        newurl: str,
    ) -> urllib.request.Request | None:
        """Make the next request.

        Raises:
            SetupError: It would go to another kind of server, or in the open.
        """
        try:
            _check_address(newurl, insecure=self._insecure)
        except SetupError:
            fp.close()
            raise
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _check_address(url: str, *, insecure: bool) -> None:
    scheme = urlsplit(url).scheme
    if scheme == "http" and not insecure:
        raise SetupError(f"{url}: plain http may be changed on the way; give its SHA-256, too")
    if scheme not in ("http", "https"):
        raise SetupError(f"{url}: neither http nor https")

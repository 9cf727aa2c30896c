import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from organome.domain.errors import MachineFault, SetupError
from organome.io.models.downloads import download

CONTENT = bytes(range(256)) * 8192


class Server(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        match self.path:
            case "/whole" | "/cut" | "/endless":
                self.send_response(200)
                if self.path != "/endless":
                    self.send_header("Content-Length", str(len(CONTENT)))
                self.end_headers()
                self.wfile.write(CONTENT[: 1000 if self.path == "/cut" else None])
            case "/elsewhere":
                self.send_response(302)
                self.send_header("Location", "/whole")
                self.end_headers()
            case "/out":
                self.send_response(302)
                self.send_header("Location", "ftp://localhost/whole")
                self.end_headers()
            case path:
                self.send_error(int(path.removeprefix("/")))

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.mark.parametrize("path", ["whole", "elsewhere", "endless"])
def test_the_bytes_arrive(address: str, tmp_path: Path, path: str) -> None:
    download(f"{address}/{path}", tmp_path / "f", insecure=True)
    assert (tmp_path / "f").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("path", "kind", "says"),
    [
        ("404", SetupError, "the server says 404 Not Found"),
        ("403", SetupError, "403"),
        ("503", MachineFault, "503"),
        ("cut", MachineFault, f"ended after 1000 of {len(CONTENT)} bytes"),
        ("out", SetupError, "ftp://localhost/whole: neither http nor https"),
    ],
)
def test_a_failure_says_why_and_leaves_nothing(
    address: str, tmp_path: Path, path: str, kind: type[Exception], says: str
) -> None:
    with pytest.raises(SetupError, match=says) as caught:
        download(f"{address}/{path}", tmp_path / "f", insecure=True)
    assert type(caught.value) is kind
    assert list(tmp_path.iterdir()) == []


def test_a_machine_without_network_is_told_to_bring_the_file(tmp_path: Path) -> None:
    with pytest.raises(MachineFault, match=r"on this machine .*download it elsewhere"):
        download("http://127.0.0.1:1/weights.zip", tmp_path / "f", insecure=True)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://a/b", "data:,a"])
def test_only_the_web_is_asked(tmp_path: Path, url: str) -> None:
    with pytest.raises(SetupError, match="neither http nor https"):
        download(url, tmp_path / "f", insecure=True)


def test_plain_http_needs_a_digest_to_be_held_to(address: str, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="plain http"):
        download(f"{address}/whole", tmp_path / "f")
    assert list(tmp_path.iterdir()) == []

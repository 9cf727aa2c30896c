"""How long Debian's chromium takes to open the start page of a report, as a reader sees it.

No debugger is attached (as Playwright attaches one): with it, each function of Plotly is read once
more to know its places in the source, which takes longer than all else. A script in a copy of the
page does what a reader does, notes the time since navigation, and puts it into the title, which
chromium tells in its list of pages.
"""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from urllib.request import Request, urlopen

PATIENCE_S: Final = 300.0
_MEASURED: Final = "measured.html"
_DONE: Final = "measured "
_READER: Final = """
<script>
addEventListener("load", () => {
  const times = [];
  const when = (look, then) => {
    const found = look();
    found ? then(found) : requestAnimationFrame(() => when(look, then));
  };
  const points = (plot) => () => plot.querySelector(".scatterlayer .point");
  const mouse = (kind, x, y) => {
    const place = { bubbles: true, cancelable: true, view: window, clientX: x, clientY: y };
    document.elementFromPoint(x, y).dispatchEvent(new MouseEvent(kind, place));
  };
  const rest = (plots) => {
    if (!plots.length) { document.title = "measured " + times.join(" "); return; }
    plots[0].scrollIntoView();
    when(points(plots[0]), () => { times[1] = performance.now(); rest(plots.slice(1)); });
  };
  const visits = document.getElementById("visits-plot");
  visits.scrollIntoView();
  when(points(visits), (point) => {
    point.scrollIntoView({ block: "center" });
    requestAnimationFrame(() => {
      const box = point.getBoundingClientRect();
      for (const kind of ["mousemove", "mousedown", "mouseup"])
        mouse(kind, box.x + box.width / 2, box.y + box.height / 2);
      when(() => document.querySelector("#selected:not([hidden])"), () => {
        times[0] = performance.now();
        rest([...document.querySelectorAll(".plot")]);
      });
    });
  });
});
</script>
"""


@contextmanager
def browser() -> Iterator[int]:
    """Start chromium without a window; its port is what is given."""
    flags = ("--headless=new", "--no-sandbox", "--window-size=1280,900")
    with TemporaryDirectory(ignore_cleanup_errors=True) as name:
        port = Path(name) / "DevToolsActivePort"
        process = subprocess.Popen(
            ["chromium", *flags, f"--user-data-dir={name}", "--remote-debugging-port=0"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            _wait(lambda: port.exists() and port.read_text())
            yield int(port.read_text().split()[0])
        finally:
            process.terminate()
            process.wait()


def open_page(port: int, report: Path) -> tuple[float, float]:
    """Open the start page as a reader does.

    Returns:
        Seconds from navigation until the page has scrolled to the plot of visits, it is drawn, and
        a click on a point has chosen its scan; and until all plots were drawn.
    """
    page = report / _MEASURED
    content = (report / "index.html").read_text()
    page.write_text(content.replace("</body>", f"{_READER}</body>"))
    opened = _ask(port, f"new?{page.absolute().as_uri()}", method="PUT")["id"]

    def title() -> str:
        titles = [one["title"] for one in _ask(port, "list") if one["id"] == opened]
        return titles[0] if titles and titles[0].startswith(_DONE) else ""

    measured = _wait(title)
    urlopen(_address(port, f"close/{opened}")).close()
    page.unlink()
    interactive_ms, whole_ms = map(float, measured.removeprefix(_DONE).split())
    return interactive_ms / 1000, whole_ms / 1000


def _wait(look: Any) -> Any:
    end_s = time.monotonic() + PATIENCE_S
    while not (found := look()):
        if time.monotonic() > end_s:
            raise TimeoutError("chromium has not done what it was to do")
        time.sleep(0.1)
    return found


def _ask(port: int, what: str, *, method: str = "GET") -> Any:
    with urlopen(Request(_address(port, what), method=method)) as answer:
        return json.load(answer)


def _address(port: int, what: str) -> str:
    return f"http://127.0.0.1:{port}/json/{what}"

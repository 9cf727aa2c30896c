"""The report in a real browser, without a network: plots, marks, ratings, three widths, axe."""

import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from doubles.report_runs import judge, write_run
from organome.io.tables.parquet import read_table
from organome.io.tables.pictures import pictures_path, pictures_to_arrow
from organome.steps.compare import repeatability
from organome.steps.report import rate, write_report

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        shutil.which("chromium") is None, reason="no chromium (tests/browser/install.sh)"
    ),
]
WIDTHS = (360, 1280, 2560)
SECTIONS = (
    *("flow", "completeness", "volumes", "sides", "contrasts", "visits", "repeatability"),
    *("outliers", "seams", "ratings", "run", "methods"),
)
SERIOUS = {"serious", "critical"}
PLOTS = ("volumes", "sides", "contrasts", "visits")
SHAPES = """() => Promise.all([...document.images].map(async (one) => {
  one.loading = "eager";
  await one.decode();
  const box = one.getBoundingClientRect();
  return [[box.width, box.height], [one.naturalWidth, one.naturalHeight]];
}))"""
SIZES = ((480, 200), (150, 400), (330, 110))  # of pictures side by side, width and height


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with its report, and the shareable form beside."""
    run = write_run(tmp_path_factory.mktemp("browser") / "run")
    repeatability.run(run, output=run / "repeated")
    draw_noise(run)
    write_report.run(run, repeatability=run / "repeated" / "repeatability.csv")
    write_report.run(run, shareable=True)
    return run


def draw_noise(run: Path) -> None:
    """Draw pictures of each scan of the shard of second visits, long ones and tall ones."""
    scans = read_table(run / "results/tables/scans/part-0000.parquet").to_pylist()
    rows = []
    for scan in (one for one in scans if one["scan"].startswith("7351")):
        key = {k: scan[k] for k in ("cohort", "participant", "instance", "array", "protocol")}
        for organ, (width, height) in zip((None, "liver", "spleen"), SIZES, strict=True):
            noise = np.random.default_rng(width).integers(0, 99, (height, width), np.uint8)
            file = io.BytesIO()
            Image.fromarray(noise).save(file, "webp")
            what = {"picture": "planes", "organ": organ, "alt_text": "Noise.", "mm_per_px": 1.0}
            size = {"width_px": width, "height_px": height, "webp": file.getvalue()}
            rows.append({**key, "scan": scan["scan"], **what, **size})
    path = pictures_path(run / "results", "7351")
    path.parent.mkdir(parents=True)
    pq.write_table(pictures_to_arrow(rows), path)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """Debian's browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Any) -> Iterator[Any]:
    """A page that notes what it asks of a network, and what goes wrong in it."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    made = context.new_page()
    made.set_default_timeout(120_000)
    made.wrong = []
    made.on("pageerror", lambda error: made.wrong.append(str(error)))
    made.on("console", lambda said: made.wrong.append(said.text) if said.type == "error" else None)
    made.on("request", lambda asked: _note(made, asked.url))
    yield made
    assert made.wrong == []
    context.close()


def _note(page: Any, url: str) -> None:
    if not url.startswith(("file:", "data:", "blob:", "http://127.0.0.1:")):
        page.wrong.append(f"asked for {url}")


def open_report(page: Any, folder: Path, name: str = "report", fragment: str = "") -> None:
    page.goto((folder / "results" / name / "index.html").as_uri() + fragment)
    page.wait_for_selector("html[data-ready]")


def scroll_to(page: Any, name: str) -> None:
    """Bring a plot into view, and wait until it is drawn."""
    page.evaluate(f"document.getElementById('{name}-plot').scrollIntoView()")
    page.wait_for_selector(f"#{name}-plot .scatterlayer .point")


def n_drawn(page: Any) -> int:
    return sum(page.locator(f"#{name}-plot .point").count() > 0 for name in PLOTS)


def n_marked(page: Any, name: str) -> int:
    scroll_to(page, name)
    found = page.evaluate(f"document.getElementById('{name}-plot').data.at(-1).x.length")
    return int(found)


def serious(page: Any) -> list[str]:
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page, options={"preload": False}).response["violations"]
    return [
        f"{one['id']}: {one['nodes'][0]['html'][:200]} {one['nodes'][0]['failureSummary'][:300]}"
        for one in found
        if one["impact"] in SERIOUS
    ]


@pytest.mark.parametrize("width", WIDTHS)
def test_every_section_renders_and_nothing_sticks_out(page: Any, folder: Path, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    open_report(page, folder)
    for section in SECTIONS:
        assert len(page.inner_text(f"#{section}")) > len(section) + 10
    for name in PLOTS:
        scroll_to(page, name)
        n_points = page.locator(f"#{name}-plot .scatterlayer .point").count()
        assert n_points >= 11
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    page.goto((folder / "results/report/scans-1.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(page: Any, folder: Path, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    open_report(page, folder)
    for name in PLOTS:
        scroll_to(page, name)
    assert serious(page) == []
    page.goto((folder / "results/report/scans-1.html").as_uri())
    assert serious(page) == []


def test_a_point_marks_its_scan_in_all_plots_and_leads_to_its_row(page: Any, folder: Path) -> None:
    open_report(page, folder)
    for name in ("volumes", "visits"):  # the others are not drawn when it is chosen
        scroll_to(page, name)
    at = page.evaluate(
        """() => {
          const plot = document.getElementById("visits-plot");
          const trace = plot.data.find((one) => one.customdata && one.customdata.length);
          plot.emit("plotly_click", { points: [{ customdata: trace.customdata[0] }] });
          return trace.customdata[0];
        }"""
    )
    page.wait_for_selector("#selected:not([hidden])")
    scan = page.evaluate(f"REPORT.scans.scan[{at[-1]}]")
    assert page.url.endswith(f"#scan={scan}")
    assert scan in page.inner_text("#selected")
    assert [n_marked(page, name) for name in ("volumes", "sides", "visits")] == [1, 1, 1]
    scroll_to(page, "contrasts")
    pairs = page.evaluate("document.getElementById('contrasts-plot').items")
    assert n_marked(page, "contrasts") == sum(at[-1] in pair["at"] for pair in pairs)
    page.click("#selected a")
    assert page.locator(f"#scan-{scan}").count() == 1
    page.click(f"#scan-{scan} >> text=In all plots")
    page.wait_for_selector("html[data-ready]")
    assert scan in page.inner_text("#selected")
    assert [n_marked(page, name) for name in ("volumes", "sides", "visits")] == [1, 1, 1]


def test_plots_are_drawn_when_they_come_into_view_and_all_before_printing(
    page: Any, folder: Path
) -> None:
    open_report(page, folder)
    assert n_drawn(page) == 0
    scroll_to(page, "visits")
    assert 1 <= n_drawn(page) < len(PLOTS)
    page.pdf()
    assert n_drawn(page) == len(PLOTS)


@pytest.mark.parametrize("width", WIDTHS)
def test_pictures_keep_the_shape_of_their_files(page: Any, folder: Path, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    seen = set()
    for name in ("index", "scans-1"):
        page.goto((folder / f"results/report/{name}.html").as_uri())
        shapes = page.evaluate(SHAPES)
        for shown, of_file in shapes:
            assert shown[0] / shown[1] == pytest.approx(of_file[0] / of_file[1], rel=0.01)
        seen |= {tuple(of_file) for _, of_file in shapes}
    assert seen >= set(SIZES)


def test_a_click_with_the_mouse_on_a_point_chooses_a_scan(page: Any, folder: Path) -> None:
    open_report(page, folder)
    scroll_to(page, "visits")
    point = page.locator("#visits-plot .scatterlayer .point").first
    point.scroll_into_view_if_needed()
    box = point.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.up()
    page.wait_for_selector("#selected:not([hidden])")
    assert n_marked(page, "visits") == 1


def test_ratings_by_key_survive_a_reload_and_change_quality(
    page: Any, folder: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(folder, run)
    page.goto((run / "results/report/scans-1.html").as_uri())
    page.fill("#rater", "ann")
    scans = page.locator(".scan")
    passing, failing = (scans.nth(n).get_attribute("data-scan") for n in (0, 1))
    page.locator(".scan").first.focus()
    page.keyboard.press("p")
    page.keyboard.press("f")
    page.reload()
    assert page.inner_text("#n-ratings") == "2"
    pressed = page.locator(f"#scan-{failing} button[aria-pressed=true]")
    assert pressed.inner_text() == "fail"
    with page.expect_download() as caught:
        page.click("#download")
    (run / "ratings").mkdir()
    caught.value.save_as(run / "ratings" / caught.value.suggested_filename)
    judge(run)
    rows = read_table(run / "results/quality/quality/part-0000.parquet").to_pylist()
    quality = {row["scan"]: (row["rating"], row["quality"]) for row in rows}
    assert quality[passing] == ("pass", "pass")
    assert quality[failing] == ("fail", "fail")


def test_ratings_go_to_the_server_where_there_is_one(
    page: Any, folder: Path, tmp_path: Path
) -> None:
    server = rate.make_server(folder / "results" / "report", tmp_path / "ratings")
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        page.goto(rate.address(server).replace("index", "scans-1"))
        page.fill("#rater", "bob")
        page.locator(".scan button[data-rating=unsure]").first.click()
        page.wait_for_function("document.getElementById('said').textContent.includes('written')")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    lines = (tmp_path / "ratings" / "bob.tsv").read_text().splitlines()
    assert lines[1].split("\t")[2:4] == ["unsure", "bob"]


def test_the_shareable_form_renders(page: Any, folder: Path) -> None:
    open_report(page, folder, "report_shareable")
    page.locator("#volumes-plot").scroll_into_view_if_needed()
    page.wait_for_selector("#volumes-plot .scatterlayer .trace")
    assert page.locator("#volumes-plot .scatterlayer .trace").count() >= 3  # centiles
    assert page.locator(".plot .point").count() == 0
    assert serious(page) == []

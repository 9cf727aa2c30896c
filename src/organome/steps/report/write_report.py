"""write-report: tables of a run -> static pages to look at it, without server and network."""

import base64
import hashlib
import json
import logging
import math
import shutil
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import pandas as pd
import pyarrow.parquet as pq
from jinja2 import Environment, PackageLoader, StrictUndefined

from organome import __version__
from organome.compute.pictures.legend import draw_legend
from organome.domain.errors import SetupError
from organome.domain.organs import ORGANS
from organome.domain.quality import RULE_MEANINGS, Rating, Rule
from organome.io.files.atomic import ATTEMPT, recover_folder, replace_folder
from organome.io.methods import methods_text, read_facts
from organome.io.runs import Run, open_run
from organome.io.tables.pictures import pictures_path
from organome.io.tables.ratings import Target, read_last_words
from organome.shards.faults import machine_faults_stop_the_job
from organome.steps.report import tables
from organome.steps.report.cohort import Cohort, Odd, read_cohort
from organome.steps.report.job_costs import write_job_costs
from organome.steps.report.plot_data import choose_shown, plot_data
from organome.steps.report.run_facts import run_facts

_logger = logging.getLogger(__name__)

INDEX: Final = "index.html"
LEGEND: Final = "legend.webp"
PAGE_SIZE: Final = 50
MIN_COUNT: Final = 10  # people in a cell of the shareable form
_SEED: Final = 1
_N_PICTURES: Final = 3  # of a scan
_N_WITH_PICTURE: Final = 8  # of each rule, on the start page
_GALLERY_BYTES: Final = 6_000_000  # pictures there
_SCRIPTS: Final = ("report.js", "ratings.js", "report.css")
# Chromium then compiles all of a script while it loads, in a thread of its own, and not once more
# on the page's thread, function by function: a third of what opening the page takes there.
_COMPILE_AT_ONCE: Final = b"//# allFunctionsCalledOnLoad\n"


@dataclass(frozen=True, slots=True)
class Written:
    """What was written: the start page, pages of scans, scans on them of those that are listed."""

    page: Path
    n_pages: int
    n_shown: int
    n_listed: int

    def __str__(self) -> str:
        """Write it as a line."""
        return f"report: {self.page} ({self.n_shown} of {self.n_listed} scans one by one)"


def run(
    run_folder: Path,
    /,
    *,
    output: Path | None = None,
    ratings: Sequence[Path] | None = None,
    repeatability: Path | None = None,
    shareable: bool = False,
    max_scans: int = 2000,
    jobs: Path | None = None,
) -> Written:
    """Write the report of a cohort: a start page, and pages of scans sorted by doubt.

    Args:
        run_folder: Folder of the run, with tables and quality.
        output: Folder to publish; without, ``results/report`` of the run, or
            ``report_shareable`` beside it.
        ratings: TSV files of ratings by hand; without, those in ``ratings`` of the run.
        repeatability: ``repeatability.csv`` of ``organome repeatability``.
        shareable: Leave out scans, dates and pictures, and hide numbers of fewer than ten people.
        max_scans: Scans that are shown one by one at most: half the most doubtful, half by chance.
        jobs: File to write what jobs cost into, step by step, as HTML; without, none is written.

    Raises:
        SetupError: There are no tables, or a file is not what it should be.
    """
    if max_scans < 1:
        raise SetupError(f"--max-scans {max_scans}: at least 1")
    place = open_run(run_folder)
    output = output or place.results / ("report_shareable" if shareable else "report")
    cohort = read_cohort(place)
    paths = sorted((run_folder / "ratings").glob("*.tsv")) if ratings is None else ratings
    words = read_last_words(paths, [one.name for one in ORGANS] + list(cohort.structures))
    shown = cohort.scans.iloc[:0] if shareable else choose_shown(cohort, max_scans, _SEED)
    min_count = MIN_COUNT if shareable else 0
    data = plot_data(cohort, shown, shareable=shareable)
    facts = read_facts(place)
    page = _Pages(place, cohort, shown, shareable=shareable)
    temporary = output.with_name(f".{output.name}.{ATTEMPT}.tmp")
    with machine_faults_stop_the_job():
        recover_folder(output)
        try:
            temporary.mkdir(parents=True)
            _copy_assets(temporary)
            text = json.dumps(page.facts() | data, separators=(",", ":"), allow_nan=False)
            (temporary / "data.js").write_text(f"window.REPORT={text};\n", encoding="utf-8")
            content = {
                "sections": _sections(cohort, words, data, repeatability, min_count),
                "facts": run_facts(place, facts.model, counts=not shareable),
                "methods": methods_text(facts, counts=not shareable),
                "gallery": [] if shareable else page.gallery(),
                "n_all": len(cohort.scans),
                "n_curves": len(data["curves"]),
                "has_ages": bool(cohort.scans["age_years"].notna().any()),
                "min_count": min_count,
            }
            page.write(temporary / INDEX, "index.html.j2", **content)
            n_pages = page.write_scans(temporary)
            replace_folder(temporary, output)
            if jobs is not None:
                write_job_costs(place, jobs)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return Written(output / INDEX, n_pages, len(shown), len(cohort.scans))


def _copy_assets(folder: Path) -> None:
    here = files("organome.steps.report") / "templates"
    for name in _SCRIPTS:
        (folder / name).write_bytes((here / name).read_bytes())
    # Only the script of the package is needed; importing it would take seconds.
    plotly = files("plotly") / "package_data" / "plotly.min.js"
    (folder / "plotly.min.js").write_bytes(_COMPILE_AT_ONCE + plotly.read_bytes())


def _sections(
    cohort: Cohort,
    words: Mapping[tuple[Target, str], Rating],
    data: Mapping[str, Any],
    repeatability: Path | None,
    min_count: int,
) -> dict[str, Any]:
    """Make the tables of the sections, by section; empty where there is nothing to show."""
    compared = {
        name: tables.agreement_table(data.get(name, ()), title, min_count)
        for name, title in (
            ("visits", "Visit against visit"),
            ("contrasts", "Contrast against contrast"),
        )
    }
    repeated = None
    if repeatability is not None:
        try:
            frame = pd.read_csv(repeatability)
            if min_count and "n_participants" not in frame:
                raise SetupError(
                    f"{repeatability}: does not say how many people were measured twice, as"
                    " --shareable needs to know; run `organome repeatability` again"
                )
            repeated = tables.repeatability_table(frame, min_count)
        except (OSError, KeyError, ValueError) as error:
            raise SetupError(
                f"{repeatability}: not a repeatability.csv of `organome repeatability`"
            ) from error
    return {
        "flow": tables.flow_chart(cohort, min_count),
        "completeness": [
            *tables.completeness_tables(cohort, min_count),
            tables.organ_completeness(cohort, min_count),
        ],
        "volumes": tables.volume_statistics(cohort, min_count),
        "sides": tables.side_table(cohort, min_count),
        **compared,
        "repeatability": repeated,
        "rules": tables.rule_table(cohort, min_count),
        "seams": tables.seam_table(cohort, min_count),
        "raters": None if min_count else tables.rater_table(words),
    }


class _Pages:
    """Writes pages by templates."""

    def __init__(self, place: Run, cohort: Cohort, shown: pd.DataFrame, *, shareable: bool) -> None:
        self._place = place
        self._cohort = cohort
        self._shown = shown
        self._page_of = {scan: n // PAGE_SIZE + 1 for n, scan in enumerate(shown["scan"])}
        self._of_organs = defaultdict(list)
        for odd in cohort.worst:
            self._of_organs[odd.scan].append(odd)
        self._environment = Environment(
            loader=PackageLoader("organome.steps.report"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._shared: dict[str, Any] = {
            "shareable": shareable,
            "cohort": str(cohort.scans["cohort"].iloc[0]) if len(cohort.scans) else "",
            "version": __version__,
            "report_id": self._id(),
            "n_pages": math.ceil(len(shown) / PAGE_SIZE),
            "n_shown": len(shown),
            "meanings": {rule.value: text for rule, text in RULE_MEANINGS.items()},
        }
        self._organs = [name for name in cohort.structures if not name.startswith("both_")]

    def facts(self) -> dict[str, Any]:
        """Return what the scripts need to know besides the plots."""
        names = ("report_id", "shareable")
        identity, shareable = (self._shared[name] for name in names)
        return {"id": identity, "page_size": PAGE_SIZE, "shareable": shareable}

    def _id(self) -> str:
        """Name what ratings in a browser belong to: a run, however often its report is written."""
        return hashlib.sha256(str(self._place.folder.resolve()).encode()).hexdigest()[:12]

    def write(self, path: Path, template: str, **content: Any) -> None:
        """Write a page."""
        text = self._environment.get_template(template).render(**self._shared, **content)
        path.write_text(text, encoding="utf-8")

    def write_scans(self, folder: Path) -> int:
        """Write the pages of scans; return how many there are."""
        n_pages = int(self._shared["n_pages"])
        numbered = [one for one in ORGANS if one.name in self._cohort.organ_reasons]
        if n_pages and numbered:
            draw_legend(numbered).save(folder / LEGEND, lossless=True)
        for page in range(1, n_pages + 1):
            of_page = self._shown.iloc[(page - 1) * PAGE_SIZE : page * PAGE_SIZE]
            pictures = self._read_pictures(of_page["scan"])
            rows = [
                {name: None if pd.isna(value) else value for name, value in row.items()}
                | {"odd": self._of_organs[row["scan"]], "pictures": pictures[row["scan"]]}
                for row in of_page.to_dict("records")
            ]
            self.write(
                folder / f"scans-{page}.html",
                "scans.html.j2",
                page=page,
                rows=rows,
                organs=self._organs,
                ratings=[rating.value for rating in Rating],
                legend=LEGEND if numbered else None,
                legend_text=", ".join(f"{one.label} {one.name}" for one in numbered),
            )
        return n_pages

    def gallery(self) -> list[dict[str, Any]]:
        """Return the worst of each rule, with pictures as far as the page stays small."""
        by_rule: dict[str, list[Odd]] = defaultdict(list)
        for odd in self._cohort.worst:
            if odd.scan in self._page_of:
                by_rule[odd.rule].append(odd)
        first = {rule: found[:_N_WITH_PICTURE] for rule, found in by_rule.items()}
        pictures = self._read_pictures({odd.scan for found in first.values() for odd in found})
        room, made = _GALLERY_BYTES, []
        for rule in (rule.value for rule in Rule if rule.value in by_rule):
            cards = []
            for odd in by_rule[rule]:
                picture = None
                for one in pictures[odd.scan] if odd in first[rule] else ():
                    if len(one["uri"]) < room and (picture is None or one["organ"] == odd.organ):
                        picture = one
                room -= len(picture["uri"]) if picture else 0
                cards.append({"odd": odd, "page": self._page_of[odd.scan], "picture": picture})
            made.append({"rule": rule, "cards": cards})
        return made

    def _read_pictures(self, scans: Iterable[str]) -> dict[str, list[dict[str, Any]]]:
        """Read pictures of scans, a few of each, as data URIs."""
        found: dict[str, list[dict[str, Any]]] = defaultdict(list)
        by_shard: dict[str, set[str]] = defaultdict(set)
        for scan in scans:
            by_shard[scan.partition("-")[0]].add(scan)
        columns = ["scan", "picture", "organ", "webp", "width_px", "height_px", "alt_text"]
        for shard, keys in by_shard.items():
            path = pictures_path(self._place.results, shard)
            if not path.is_file():
                continue
            rows = pq.read_table(path, columns=columns, filters=[("scan", "in", keys)])
            for row in rows.to_pylist():
                if len(found[row["scan"]]) < _N_PICTURES:
                    encoded = base64.b64encode(row.pop("webp")).decode()
                    found[row["scan"]].append(row | {"uri": f"data:image/webp;base64,{encoded}"})
        return found

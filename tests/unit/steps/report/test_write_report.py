"""The report of a made-up cohort: what its pages say, and what the shareable form does not."""

import json
import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import yaml
from sklearn.metrics import cohen_kappa_score

from doubles.leftovers import traces
from doubles.report_runs import N_AGAIN, N_MEN, N_OTHER, N_WOMEN, participant, scan_of, write_run
from organome.domain.errors import SetupError
from organome.domain.outcomes import Outcome, Status
from organome.domain.quality import Rating
from organome.domain.scans import Scan
from organome.io.runs import Run
from organome.io.tables.ledgers import write_ledger
from organome.io.tables.parquet import read_table, write_table
from organome.io.tables.ratings import read_last_words, read_ratings
from organome.io.tables.scan_lists import write_shard
from organome.steps.report import rate, write_report
from organome.steps.report.job_costs import job_costs, write_job_costs
from organome.steps.report.run_facts import run_facts
from organome.steps.report.tables import (
    HIDDEN,
    Shown,
    completeness_tables,
    counts_of,
    flow_chart,
    organ_completeness,
    rater_table,
    repeatability_table,
    rule_table,
    seam_table,
    side_table,
    volume_statistics,
)
from organome.steps.upkeep import withdraw

N_SCANS = N_WOMEN + N_MEN + N_AGAIN + N_OTHER
N_FAILED = 3  # of one who came twice and has the other protocol, too


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with both forms of the report."""
    run = write_run(tmp_path_factory.mktemp("report") / "run")
    write_report.run(run)
    write_report.run(run, shareable=True)
    return run


def page_of(folder: Path, name: str = "index.html") -> str:
    return (folder / "results" / "report" / name).read_text()


def test_the_flow_adds_up(folder: Path) -> None:
    page = page_of(folder)
    assert f"Listed: {N_SCANS} scans of {N_WOMEN + N_MEN} participants" in page
    assert f"archive_broken: {N_FAILED}" in page
    assert f"Measured: {N_SCANS - N_FAILED} scans" in page


def test_every_scan_is_in_a_row_the_most_doubtful_first(folder: Path) -> None:
    pages = sorted((folder / "results" / "report").glob("scans-*.html"), key=lambda p: p.stem)
    assert len(pages) == -(-N_SCANS // 50)
    keys = [re.findall(r'data-scan="([^"]+)"', page.read_text()) for page in pages]
    assert sorted(chain.from_iterable(keys)) == sorted(
        read_table(folder / "results/tables/scans/part-0000.parquet")["scan"].to_pylist()
    )
    quality = read_table(folder / "results/quality/quality/part-0000.parquet").to_pylist()
    worst = {row["scan"] for row in quality if row["quality"] == "warn"}
    assert worst and worst <= set(keys[0])
    assert set(re.findall(r'data-scan="([^"]+)"', pages[0].read_text())[: len(worst)]) == worst


def test_every_page_says_that_it_is_internal(folder: Path) -> None:
    pages = list((folder / "results" / "report").glob("*.html"))
    assert all("Not to be shared" in page.read_text() for page in pages)


def test_nothing_is_asked_of_a_network(folder: Path) -> None:
    pages = (folder / "results" / "report").glob("*.html")
    links = [
        one for page in pages for one in re.findall(r'(?:src|href)="([^"]+)"', page.read_text())
    ]
    assert links and not [one for one in links if one.startswith(("http", "//"))]


def test_the_shareable_form_has_no_id_date_or_picture(folder: Path) -> None:
    shareable = folder / "results" / "report_shareable"
    names = {path.name for path in shareable.iterdir()}
    assert names == {
        "index.html",
        "data.js",
        "plotly.min.js",
        "report.js",
        "ratings.js",
        "report.css",
    }
    content = "".join(
        path.read_text() for path in shareable.iterdir() if path.name != "plotly.min.js"
    )
    people = range(N_WOMEN + N_MEN)
    whiches: tuple[dict[str, bool], ...] = ({}, {"again": True}, {"other": True})
    ids = [participant(p) for p in people] + [scan_of(p, **w) for p in people for w in whiches]
    assert not [one for one in ids if one in content]
    assert "2017" not in content
    assert "data:image" not in content
    page = page_of(folder, "../report_shareable/index.html")
    assert "Not to be shared" not in page
    assert "archive_broken: hidden" in page
    assert "scans an hour" not in page  # nor how many were processed
    assert f"archive_broken {N_FAILED}" not in page  # nor does the methods paragraph say it


def test_equal_tables_give_equal_bytes(folder: Path, tmp_path: Path) -> None:
    write_report.run(folder, output=tmp_path / "again")
    first = folder / "results" / "report"
    assert {p.name: p.read_bytes() for p in first.iterdir()} == {
        p.name: p.read_bytes() for p in (tmp_path / "again").iterdir()
    }


def test_of_many_scans_some_are_shown_and_the_page_says_so(folder: Path, tmp_path: Path) -> None:
    written = write_report.run(folder, output=tmp_path / "few", max_scans=60)
    assert 60 <= written.n_shown < 60 + 3  # who is drawn last may have three
    assert (
        f"of {N_SCANS} scans: the most doubtful, and people drawn"
        in (tmp_path / "few" / "index.html").read_text()
    )
    data = json.loads((tmp_path / "few" / "data.js").read_text()[14:-2])
    n_livers = sum(map(sum, data["bins"]["liver"]["n"]))
    assert n_livers == N_SCANS - N_FAILED  # all, whatever is shown


def test_of_who_withdraws_nothing_is_left_in_the_run_nor_its_reports(
    folder: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(folder, run)
    theirs = [participant(1), scan_of(1), scan_of(1, again=True)]
    shard = [Scan(scan_of(1), "made_up", participant(1), "2", "0", "dixon", ())]
    write_shard(run / "scans" / "7350.parquet", shard)
    assert {name.split("/")[1] for name in traces(run, theirs) if name.startswith("results/")} == {
        "quality",
        "report",
        "tables",
    }
    names = tmp_path / "list.txt"
    names.write_text(participant(1))
    assert withdraw.run(run, list=names).holds
    assert traces(run, theirs[:2]) == []
    assert not list((run / "results").glob("*report*"))


def test_no_tables_is_said_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()
    with pytest.raises(SetupError, match="no tables yet"):
        write_report.run(tmp_path)


def renew(run: Path, table: str, **changed: object) -> None:
    """Write one row of a table otherwise, as if it were collected again."""
    path = run / "results" / "tables" / table / "part-0000.parquet"
    content = read_table(path)
    first, *others = content.to_pylist()
    write_table(path, pa.Table.from_pylist([first | changed, *others], schema=content.schema))


@pytest.mark.parametrize("table", ["organs", "visits"])
def test_quality_of_older_tables_is_refused(folder: Path, tmp_path: Path, table: str) -> None:
    run = tmp_path / "run"
    shutil.copytree(folder / "results", run / "results")
    (run / "scans").mkdir()
    changed = {"organs": {"volume_ml": 1.0}, "visits": {"liver_volume_ml": 1.0}}[table]
    renew(run, table, **changed)
    with pytest.raises(SetupError, match=r"judges other tables than those in .*check-quality"):
        write_report.run(run)
    dictionary = run / "results" / "quality" / "dictionary.json"
    dictionary.write_text(dictionary.read_text().replace('"made_of"', '"unknown"'))
    write_report.run(run)  # of a release that does not say; the scans are the same
    renew(run, "scans", scan="7350-9999")
    with pytest.raises(SetupError, match="judges other tables"):
        write_report.run(run)


@pytest.mark.parametrize(
    ("counts", "shown"),
    [
        ({"a": 20, "b": 30}, {"a": "20", "b": "30", "all": "50"}),
        # One small cell could be had from the total: a second one is hidden with it.
        ({"a": 3, "b": 30, "c": 40}, {"a": HIDDEN, "b": HIDDEN, "c": "40", "all": "73"}),
    ],
)
def test_small_counts_are_hidden(counts: dict[str, int], shown: dict[str, str]) -> None:
    people = {name: {f"{name}{person}" for person in range(n)} for name, n in counts.items()}
    assert counts_of(counts, 10, people) == shown


def test_it_is_people_that_must_not_be_few_not_their_scans() -> None:
    many = {f"p{person}" for person in range(40)}
    counts, people = {"lost": 12, "left": 240}, {"lost": {"p1", "p2"}, "left": many}
    assert counts_of(counts, 10, people) == {"lost": HIDDEN, "left": HIDDEN, "all": "252"}
    # Of both hidden cells together there would be but nine people: neither is their sum shown.
    few = {"a": {*range(5)}, "b": {*range(9)}}
    assert set(counts_of({"a": 20, "b": 30}, 10, few).values()) == {HIDDEN}


@pytest.fixture
def few_people_many_scans() -> Any:
    """Forty people; six stations of two of them failed, and ten organs of one are odd."""
    scans = pd.DataFrame(
        [
            {"scan": f"{person}-{station}", "participant": f"p{person}", "fat_water": "sound"}
            | {"status": "failed" if person < 2 else "done", "quality": "pass"}
            | {"reason": "archive_broken" if person < 2 else None, "n_stations": 6}
            | {
                "flags": "mirrored" if person == 5 else None,
                "sex": "female" if person % 2 else "male",
            }
            | {"age_years": np.nan, "bmi_kg_per_m2": np.nan, "centre": None}
            for person in range(40)
            for station in range(6)
        ]
    )
    persons = np.repeat(np.arange(2, 40), 6)
    rule = {"judged": "organ", "rule": "volume", "n_checked": 9120, "n_warn": 10, "n_fail": 0}
    return SimpleNamespace(
        scans=scans,
        organ_reasons={
            "liver": {None: persons[12:], "truncated": persons[:12]},
            **{f"organ {n}": {None: persons} for n in range(39)},
        },
        rules=pd.DataFrame([rule, rule | {"rule": "asymmetry", "n_warn": 30}]),
        n_people_fired={("organ", "volume"): 1, ("organ", "asymmetry"): 12},
        structures=("left_kidney", "right_kidney"),
        visits=pd.DataFrame({"participant": ["p1", "p2"] * 6}),
        volume_ml=np.ones((12, 2)),
    )


def test_the_shareable_form_counts_people_in_every_table(few_people_many_scans: Any) -> None:
    cohort = few_people_many_scans
    flow = flow_chart(cohort, 10)
    assert flow.listed == "Listed: 240 scans of 40 participants"
    assert flow.steps[0] == (["archive_broken: hidden"], "Measured: hidden scans")
    by_sex, *_ = completeness_tables(cohort, 10)
    assert {row[2] for row in by_sex.rows} == {HIDDEN}
    organs = {row[0]: row[1:] for row in organ_completeness(cohort, 10).rows}
    assert organs["liver"] == [HIDDEN, "228", "truncated hidden"]
    assert organs["organ 1"] == ["228", "228", "none"]
    assert [row[2:4] for row in rule_table(cohort, 10).rows] == [["9,120", HIDDEN], ["9,120", "30"]]
    assert ["flag", "mirrored", HIDDEN] in seam_table(cohort, 10).rows
    assert side_table(cohort, 10).rows == []


def test_the_internal_form_hides_nothing(few_people_many_scans: Any) -> None:
    cohort = few_people_many_scans
    assert flow_chart(cohort, 0).steps[0] == (["archive_broken: 12"], "Measured: 228 scans")
    assert completeness_tables(cohort, 0)[0].rows[-1] == ["all", "228", "12", "240"]
    assert organ_completeness(cohort, 0).rows[0] == ["liver", "216", "228", "truncated 12"]
    assert [row[3] for row in rule_table(cohort, 0).rows] == ["10", "30"]
    assert ["flag", "mirrored", "6"] in seam_table(cohort, 0).rows
    assert side_table(cohort, 0).rows[0][:2] == ["kidney", "12"]


def test_repeatability_of_few_people_is_not_shared() -> None:
    names = ["twice", "organ", "n", "n_participants", "cv_pct", "detectable_pct", "icc"]
    rows = [("stations", "liver", 50, 9, 1, 1, 1), ("visits", "liver", 10, 10, 1, 1, 1)]
    shown = repeatability_table(pd.DataFrame(rows, columns=names), 10)
    assert [row[0] for row in shown.rows] == ["visits"]


def test_a_structure_with_a_group_of_few_people_has_no_volumes() -> None:
    volumes = np.ones((26, 3))
    volumes[-3:, 1] = np.nan  # spleen: eleven visits of men
    volumes[-5:, 2] = np.nan  # heart: nine men
    cohort = SimpleNamespace(
        structures=("liver", "spleen", "heart"),
        visits=pd.DataFrame(
            {
                # The first of the men came twice.
                "participant": [f"p{n}" for n in (*range(12), 12, *range(12, 25))],
                "sex": ["female"] * 12 + ["male"] * 14,
                "contrast": "water",
            }
        ),
        volume_ml=volumes,
    )
    shown = volume_statistics(cohort, 10)
    assert [row[:4] for row in shown.rows] == [
        ["liver", "female", "water", "12"],
        ["liver", "male", "water", "14"],
        ["spleen", "female", "water", "12"],
        ["spleen", "male", "water", "11"],
    ]
    assert shown.note == "1 structure left out: a group has fewer than 10 people."


def test_columns_of_numbers_stand_at_the_right_and_numbers_among_words_do_not() -> None:
    rows = [["6", "6", "1,204", "-0.50"], ["water", "swapped", HIDDEN, "\N{EN DASH}"]]
    assert Shown("x", ["a", "b", "c", "d"], rows).is_number == [False, False, True, True]


def test_repeatability_has_no_row_of_fewer_than_three_pairs_and_no_nan() -> None:
    names = ["twice", "organ", "n", "cv_pct", "detectable_pct", "icc"]
    rows = [("visits", "liver", 11, 1.25, 3.465, np.nan), ("visits", "heart", 2, 9, 9, 0.5)]
    shown = repeatability_table(pd.DataFrame(rows, columns=names), 0)
    assert shown.rows == [["visits", "liver", "11", "1.2", "3.5", "\N{EN DASH}"]]


@pytest.mark.parametrize(
    ("segment", "shown"),
    [
        # Two jobs of 30 and 15 minutes on two GPUs each; three scans.
        ("{source: model, device: cuda}", "1.50, 2 scans an hour: wall time of 2 finished jobs"),
        ("{source: model, device: auto}", "not known: segment.device is auto"),
        ("{source: model, device: cpu}", "none"),
        ("{source: labelmaps}", "none"),
    ],
)
def test_gpu_hours_are_wall_time_of_jobs_on_gpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, segment: str, shown: str
) -> None:
    config = {
        "segment": {"device": "auto", "combine": "consensus"} | yaml.safe_load(segment),
        "resources": {"segment_organs": {"gpus": 2}},
    }
    monkeypatch.setattr(Run, "config", lambda _: config)
    measured = tmp_path / "logs/benchmarks/segment_organs"
    measured.mkdir(parents=True)
    for shard, wall_s, scans in (("0000", 1800, "ab"), ("0001", 900, "c")):
        (measured / f"{shard}.tsv").write_text(f"s\tcpu_time\n{wall_s}\t3600.0\n")
        ledger = tmp_path / "results/segment_organs" / shard / "ledger.parquet"
        write_ledger(ledger, [Outcome(s, "x", Status.DONE, "f") for s in scans])
    (measured / "0002.tsv").write_text("s\tcpu_time\nNA\tNA\n")
    facts = dict(run_facts(Run(tmp_path), None))
    assert facts["GPU-hours"].startswith(shown)
    assert facts["CPU-hours"].startswith("2.00 in 2 finished jobs")
    shared = dict(run_facts(Run(tmp_path), None, counts=False))
    assert shared["segment_organs"] == "0.00 hours of processes"
    assert not [text for text in shared.values() if "scans" in text]


def test_without_measurements_hours_are_not_known(tmp_path: Path) -> None:
    facts = dict(run_facts(Run(tmp_path), None))
    assert facts["CPU-hours"].startswith("not known")
    assert facts["GPU-hours"].startswith("not known")


def test_kappa_is_that_of_scikit_learn(tmp_path: Path) -> None:
    said = {"ann": "pass fail pass unsure pass fail", "bob": "pass fail fail unsure pass pass"}
    for rater, words in said.items():
        for place, rating in enumerate(words.split()):
            row = {"scan": f"0000-000{place}", "organ": "", "rating": rating, "rater": rater}
            rate.append_rating(tmp_path / f"{rater}.tsv", row | {"note": 'a "b"', "time": "1"})
    table = rater_table(read_last_words(tmp_path.glob("*.tsv"), ()))
    assert table is not None
    expected = cohen_kappa_score(*(words.split() for words in said.values()))
    assert table.rows == [["ann", "bob", 6, "67", f"{expected:.2f}"]]


@pytest.fixture
def server(folder: Path, tmp_path: Path) -> Iterator[rate.RatingServer]:
    made = rate.make_server(folder / "results" / "report", tmp_path / "ratings")
    thread = Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


def post(address: str, content: object) -> int:
    request = urllib.request.Request(address, json.dumps(content).encode(), method="POST")
    try:
        with urllib.request.urlopen(request) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_the_server_writes_what_check_quality_reads(
    server: rate.RatingServer, tmp_path: Path
) -> None:
    place = rate.address(server).replace("index.html", "ratings")
    row = {"scan": "0000-0001", "organ": "liver", "rating": "fail", "rater": "ann", "note": "x\ty"}
    assert post(place, row) == 204
    assert read_ratings([tmp_path / "ratings" / "ann.tsv"], ["liver"]) == {
        ("0000-0001", "liver"): Rating.FAIL
    }
    assert post(place, row | {"rater": "../x"}) == 400
    assert post(place, row | {"rating": "perhaps"}) == 400
    assert post(place, [1]) == 400
    assert post(place.replace(server.token, "guessed"), row) == 403
    assert [path.name for path in (tmp_path / "ratings").iterdir()] == ["ann.tsv"]
    assert server.server_address[0] == "127.0.0.1"


def test_costs_of_jobs_are_summed_up_by_step(tmp_path: Path) -> None:
    jobs = {
        "prepare_images/0000": (3600, 1000, 7200),
        "prepare_images/0001": (1800, 2000, 3600),
        "segment_organs/0000": (1800, "NA", 18000),
        "check_quality/check_quality": ("0.5", "NA", "NA"),
    }
    for name, (wall_s, peak_mib, cpu_s) in jobs.items():
        path = tmp_path / "logs" / "benchmarks" / f"{name}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"s\tmax_rss\tcpu_time\n{wall_s}\t{peak_mib}\t{cpu_s}\n")
    costs = job_costs(Run(tmp_path)).set_index("step")
    assert costs.index.tolist() == ["segment_organs", "prepare_images", "check_quality"]
    assert costs["CPU-hours"].tolist()[:2] == [5, 3]
    assert costs.loc["prepare_images"].tolist() == [2, 1.5, 3, 1, 2000 * 2**20 / 1e9]
    assert costs["most memory, GB"].isna().tolist() == [True, False, True]
    assert pd.isna(costs.loc["check_quality", "CPU-hours"])
    write_job_costs(Run(tmp_path), tmp_path / "costs.html")
    assert "<td>segment_organs</td>" in (tmp_path / "costs.html").read_text()
    assert job_costs(Run(tmp_path / "no_run")).empty

"""Participants who withdraw: nothing of them is left, everybody else is as before."""

import gzip
import json
import re
import shutil
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from doubles.leftovers import traces
from doubles.measured import cohort, scan_of
from doubles.radiomics import write_radiomics_shards
from organome.domain.errors import SetupError
from organome.domain.outcomes import Attempt, Outcome, Status
from organome.io.files.packs import write_pack
from organome.io.tables.scan_lists import read_shard
from organome.shards.journal import Journal, read_journals
from organome.steps.collect.collect_tables import run as collect_tables
from organome.steps.listing.list_scans import run as list_scans
from organome.steps.upkeep import removal
from organome.steps.upkeep.withdraw import _read_list, run

N_SHARDS, N_SCANS = 4, 5
GONE = ("1000020", "1000130")  # in the first and the third shard
KEYS = ("0000-0002", "0002-0003")
STEPS = ("prepare_images", "segment_organs", "measure_volumes", "measure_radiomics")


def participant(number: int) -> str:
    """Name a participant; no volume, 1000 above the name, is the name of another."""
    return f"{1000000 + 10 * (number + number // 100 * 100)}"


def fill(folder: Path, n_shards: int = N_SHARDS, n_scans: int = N_SCANS) -> None:
    """Make a run folder with whatever may name somebody."""
    numbers = [range(n_scans * one, n_scans * (one + 1)) for one in range(n_shards)]
    places = cohort(folder, [[scan_of(participant(number)) for number in each] for each in numbers])
    write_radiomics_shards(folder / "results", contrasts=("water",))
    for path in sorted((folder / "scans").iterdir()):
        fill_shard(folder, path.stem, [scan.scan for scan in read_shard(path)])
    per_file = 8 if n_scans == N_SCANS else 5000
    collect_tables(
        **places, output=folder / "results/tables", radiomics=True, scans_per_file=per_file
    )
    texts = {
        "logs/run/1.log": "event=listed n=20\nscan 0000-0002 of 1000020\n",
        ".snakemake/log/1.snakemake.log": "shard 0002\n/data/1000130_20201_2_0.zip\nshard 0003\n",
        ".snakemake/metadata/c2Nhbg": json.dumps(
            {"input": ["/data/1000020.zip", "b"], "rule": "a"}
        ),
        "work/failures/prepare_images.0002.jsonl": '{"message": "0002-0003 and all"}\n{"a": 1}\n'
        '{"traceback": "Error\\n1000130"}\n',
        "annotations/participants.tsv": "round\tscan\tparticipant\n1\t0000-0002\t1000020\n"
        "1\t0000-0001\t1000010\n",
        "annotations/round_001/round.json": json.dumps(
            {"number": 1, "scans": {"0000-0001": "water", "0000-0002": "water"}}
        ),
        "annotations/round_001/datastore/0000-0002.nii.gz": "image",
        "canary/canary.json": json.dumps(
            {"scans": [{"scan": key} for key in ("0001-0001", *KEYS)]}
        ),
        "canary/0002-0003_water.nii.gz": "image",
        "results/report/scans-1.html": "<p>0000-0002</p>",
        "results/report/report.css": "p {}",
        "results/report_shareable/index.html": "<p>20 people</p>",
        "results/.report.host-1.tmp/index.html": "<p>20 people</p>",
        "covariates.csv": "eid,sex\n1000010,f\n1000020,m\n",
        "short.tsv": "participant\tage\n002\t1000\n003\t002\n",
        "config.yaml": "cohort: {name: demo, kind: folder, root: ../cohort.tsv}\n",
    }
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def fill_shard(folder: Path, shard: str, keys: list[str]) -> None:
    """Add files, journals and logs to what the steps of a shard published."""
    images, labels = (folder / "results" / step / shard for step in STEPS[:2])
    for key in keys:
        (images / f"{key}_water.nii.gz").write_bytes(gzip.compress(key.encode()))
    write_pack(labels / "labelmaps.zip", ((f"{key}_labels.nii.gz", b"labels") for key in keys))
    with closing(Journal(images / "journal.jsonl")) as journal:
        for key in keys:
            outcome = Outcome(key, "prepare_images", Status.DONE, "f")
            journal.append_outcome(outcome, Attempt({f"{key}_water.nii.gz": 9}))
        journal.append_dropped([keys[2], keys[4]])
    log = folder / "logs" / "prepare_images" / f"{shard}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("".join(f"event=scan_done shard={shard} scan={key}\n" for key in keys))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "run"
    fill(folder)
    return folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "run"
    shutil.copytree(whole, copy)  # with the times of all files
    return copy


@pytest.fixture
def names(tmp_path: Path) -> Path:
    path = tmp_path / "w1234.csv"
    path.write_text("\n".join((*GONE, "1999999")) + "\n")
    return path


def tree(folder: Path) -> dict[str, bytes]:
    """Return all files but those that differ from one salt to the next."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    named = {str(path.relative_to(folder)): path.read_bytes() for path in files}
    return {
        name: content
        for name, content in named.items()
        if not name.startswith(("withdrawals/", "scans/withdrawn", "work/controller"))
    }


def kill_at_change(
    n_changes: int, monkeypatch: pytest.MonkeyPatch, folder: Path, names: Path
) -> None:
    """Withdraw, and be killed after so many files were written again."""
    left = iter(range(n_changes))
    real = removal.replacement

    def replacement(path: Path) -> object:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return real(path)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(removal, "replacement", replacement)
        run(folder, list=names)


def test_nothing_of_those_who_withdrew_is_left(folder: Path, names: Path) -> None:
    assert set(GONE) <= {word for word in GONE if traces(folder, (word,))}
    done = run(folder, list=names)
    assert (done.n_listed, done.n_participants, done.n_scans, done.n_shards) == (3, 2, 2, 2)
    assert done.holds
    assert traces(folder, (*GONE, *KEYS)) == []
    (certificate,) = (folder / "withdrawals").iterdir()
    said = json.loads(certificate.read_text())
    assert said["removed"]["rows of tables"] > 2 * 40 * 2
    assert said["removed"]["reports"] == 3
    assert [str(path) for path in folder.rglob("*report*")] == []
    assert not (folder / "scans" / "withdrawal.json").exists()


def test_everybody_else_is_as_before(whole: Path, folder: Path, names: Path) -> None:
    run(folder, list=names)
    for path in sorted(folder.rglob("*.parquet")):
        before = pq.read_table(whole / path.relative_to(folder), partitioning=None)
        after = pq.read_table(path, partitioning=None)
        kept = [row for row in before.to_pylist() if row.get("scan") not in KEYS]
        if "scan" in before.column_names:
            assert after.to_pylist() == kept
        assert after.schema.equals(before.schema, check_metadata=True)
    journal = folder / "results/prepare_images/0000/journal.jsonl"
    assert set(read_journals([journal])) == {"0000-0000", "0000-0001", "0000-0003"}
    assert "0000-0001" in (folder / "annotations/participants.tsv").read_text()
    assert json.loads((folder / ".snakemake/metadata/c2Nhbg").read_text()) == {
        "input": ["b"],
        "rule": "a",
    }
    assert (folder / "short.tsv").read_text() == (whole / "short.tsv").read_text()


def test_only_what_was_of_them_is_written_again_and_in_its_time(
    whole: Path, folder: Path, names: Path
) -> None:
    before = tree(whole)
    run(folder, list=names)
    after = tree(folder)
    changed = {name for name, content in after.items() if before.get(name) != content}
    of_shards = {name.split("/")[2] for name in changed if name.startswith("results/m")}
    assert of_shards == {"0000", "0002"}
    assert not any(
        "/0001" in name or "/0003" in name for name in changed | (set(before) - set(after))
    )
    moved = [
        name
        for name in after
        if (folder / name).stat().st_mtime_ns != (whole / name).stat().st_mtime_ns
    ]
    assert moved == ["results/tables/dictionary.json"]  # so that the tables are collected again


def test_tables_collected_again_are_the_same_rows(folder: Path, names: Path) -> None:
    run(folder, list=names)
    places = {"scans": folder / "scans", "results": folder / "results"}
    collect_tables(**places, output=folder / "again", radiomics=True, scans_per_file=8)
    flow = pq.read_table(folder / "again/flow", partitioning=None).to_pylist()
    assert sum(row["n_scans"] for row in flow) == N_SHARDS * N_SCANS
    assert [row["n_scans"] for row in flow if row["status"] == "withdrawn"] == [2]
    for table in ("scans", "organs", "visits", "radiomics"):
        kept, again = (
            [
                row
                for part in sorted((one / table).iterdir())
                for row in pq.read_table(part).to_pylist()
            ]
            for one in (folder / "results/tables", folder / "again")
        )
        assert kept == again


def list_again(folder: Path, listed: list[str], n_gone: int) -> None:
    """List all who were there before; they are known or were withdrawn."""
    rows = [f"{one}\t2\t0\tdixon\t{one}.nii.gz\twater" for one in listed]
    sheet = folder.with_name("cohort.tsv")
    folder.with_name(f"{listed[0]}.nii.gz").write_bytes(b"")
    heading = "participant\tinstance\tarray\tprotocol\timage\tcontrast"
    sheet.write_text("\n".join([heading, *rows]) + "\n")
    n_shards = len([*(folder / "scans").glob("*.parquet")])
    summary = list_scans(kind="folder", cohort="demo", root=sheet, scans=folder / "scans")
    assert (summary.n_new, summary.n_known) == (0, len(listed) - n_gone)
    assert dict(summary.left_out) == {"scans of participants who withdrew": n_gone}
    assert len([*(folder / "scans").glob("*.parquet")]) == n_shards


def test_no_listing_brings_them_back(folder: Path, names: Path) -> None:
    run(folder, list=names)
    listed = [participant(number) for number in range(N_SCANS * N_SHARDS)]
    for _ in range(2):
        list_again(folder, [*listed, "1999999"], n_gone=3)
    assert traces(folder, (*GONE, "1999999")) == []


@pytest.mark.parametrize("n_changes", [0, 7, 25])
def test_killed_in_the_middle_it_ends_the_same(
    whole: Path, folder: Path, names: Path, n_changes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = folder.with_name("undisturbed")
    shutil.copytree(whole, undisturbed)
    expected = run(undisturbed, list=names)
    kill_at_change(n_changes, monkeypatch, folder, names)
    with pytest.raises(SetupError, match="begun and not ended"):
        list_scans(kind="folder", cohort="demo", root=names, scans=folder / "scans")
    other = names.with_name("other.csv")
    other.write_text("1000070\n")
    with pytest.raises(SetupError, match="another list"):
        run(folder, list=other)
    assert run(folder, list=names) == expected
    assert tree(folder) == tree(undisturbed)
    assert traces(folder, (*GONE, *KEYS)) == []


def test_what_is_the_users_own_is_said_and_not_removed(folder: Path, names: Path) -> None:
    (folder / "notes.docx").write_bytes(b"\xd0\xcf seen 1000020 \xff")
    done = run(folder, list=names)
    assert (done.n_files_left, done.holds) == (1, False)
    assert "1 file of your own" in str(done)
    assert (folder / "notes.docx").exists()


@pytest.mark.parametrize("text", ["", "eid\n", "\n\n"])
def test_a_list_without_names_is_refused(folder: Path, tmp_path: Path, text: str) -> None:
    path = tmp_path / "list.csv"
    path.write_text(text)
    with pytest.raises(SetupError, match="names no participant"):
        run(folder, list=path)


@pytest.mark.parametrize(
    "text",
    [
        "eid;date\n1000020;2026-03-01\n1000130;2026-03-01\n",
        "1000020;\n1000130;\n",
        "eid\n1000020,\n1000130,\n",
        "date,eid\n2026-03-01,1000020\n2026-03-01,1000130\n",
        "id\tparticipant_id\n1\tsub-1000020\n2\tsub-1000130\n",
        "\ufeffID;note\n1000020;a, b, c\n1000130;\n",
        "f.eid\r1000020\r1000130\r",
    ],
)
def test_a_list_names_whom_its_column_names(text: str, tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(text.encode())
    assert _read_list(path) == set(GONE)


def test_a_list_with_an_open_quote_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text('"1000020\n1000130\n')
    with pytest.raises(SetupError, match="cannot be read as a list"):
        _read_list(path)


@pytest.mark.parametrize("root", [".", "{folder}", "../alias"])
def test_a_cohort_in_the_run_folder_itself_is_refused(folder: Path, names: Path, root: str) -> None:
    folder.with_name("alias").symlink_to(folder)
    root = root.format(folder=folder)
    (folder / "config.yaml").write_text(f"cohort: {{name: demo, kind: bids, root: {root}}}\n")
    before = tree(folder)
    with pytest.raises(SetupError, match="run folder itself"):
        run(folder, list=names)
    assert tree(folder) == before


def test_nothing_of_a_delivery_below_the_run_folder_is_changed(folder: Path, names: Path) -> None:
    delivered = folder / "data" / "participants.tsv"
    delivered.parent.mkdir()
    delivered.write_text("participant_id\nsub-1000020\n")
    folder.with_name("alias").symlink_to(folder)
    config = "cohort: {name: demo, kind: bids, root: ../alias/data}\n"
    (folder / "config.yaml").write_text(config)
    assert run(folder, list=names).holds
    assert "1000020" in delivered.read_text()


def test_a_training_is_refused(folder: Path, names: Path) -> None:
    (folder / "config.yaml").write_text("train: {name: own}\ndatasets: []\n")
    with pytest.raises(SetupError, match="a training"):
        run(folder, list=names)


def test_short_names_are_looked_for_in_their_columns(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("participant_id\nsub-002\n")
    run(folder, list=path)
    assert (folder / "short.tsv").read_text() == "participant\tage\n003\t002\n"


@pytest.mark.slow
def test_fifty_of_five_thousand_withdraw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, undisturbed, n_scans = tmp_path / "run", tmp_path / "undisturbed", 250
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", lambda _: None)  # of what is made up, thousands of times
        fill(folder, 5000 // n_scans, n_scans)
    # 2, 13 and 503 are those whom logs, JSON and text tables of the run name.
    numbers = [2, 13, 503, *range(20, 80, 5), *range(510, 605, 5), *range(1800, 1848, 3)]
    gone = [participant(number) for number in numbers]
    keys = [f"{number // n_scans:04d}-{number % n_scans:04d}" for number in numbers]
    assert len(set(gone)) == 50
    names = tmp_path / "list.csv"
    names.write_text("\n".join(["eid", *gone]) + "\n")
    before = tree(folder)
    shutil.copytree(folder, undisturbed)
    expected = run(undisturbed, list=names)
    assert (expected.n_participants, expected.n_scans, expected.n_shards) == (50, 50, 3)
    assert expected.holds
    kill_at_change(12, monkeypatch, folder, names)
    assert run(folder, list=names) == expected
    after = tree(folder)
    assert after == tree(undisturbed)
    assert traces(folder, (*gone, *keys)) == []
    changed = {path for path, content in before.items() if after.get(path) != content}
    of_shards = (re.search(r"/(\d{4})[/.]", path) for path in changed)
    assert {found[1] for found in of_shards if found} == {"0000", "0002", "0007"}
    for path in (path for path in changed & set(after) if path.endswith(".parquet")):
        was, now = (pq.read_table(pa.BufferReader(each[path])) for each in (before, after))
        kept = pc.invert(pc.is_in(was.column("scan"), pa.array(keys)))
        assert now.equals(was.filter(kept))
    list_again(folder, [participant(number) for number in range(5000)], n_gone=50)
    collect_tables(
        scans=folder / "scans",
        results=folder / "results",
        output=folder / "results/tables",
        radiomics=True,
    )
    flow = pq.read_table(folder / "results/tables/flow", partitioning=None).to_pylist()
    assert sum(row["n_scans"] for row in flow) == 5000
    assert [row["n_scans"] for row in flow if row["status"] == "withdrawn"] == [50]
    again = (folder / "results/tables", folder / "scans")
    assert [traces(one, (*gone, *keys)) for one in again] == [[], []]

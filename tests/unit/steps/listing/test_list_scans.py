"""list_scans: append-only dealing, for every kind of cohort."""

import errno
import logging
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from organome.cli import app
from organome.domain.errors import SetupError
from organome.domain.scans import Contrast, Scan, Stations
from organome.io.tables.scan_lists import listed_shards, read_shard
from organome.steps.listing import list_scans
from organome.steps.listing.list_scans import ListingSummary


@pytest.fixture
def ukb(tmp_path: Path) -> Path:
    root = tmp_path / "ukb"
    for participant in (1000005, 1000003, 1000004):
        _add(root, participant)
    return root


def _add(root: Path, participant: int, *, field: int = 20201, instance: int = 2) -> Path:
    path = root / str(participant)[:2] / f"{participant}_{field}_{instance}_0.zip"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    return path


def _list(
    root: Path,
    *,
    stations: Stations = Stations.STITCH,
    shard_size: int = 2,
    check: bool = False,
) -> ListingSummary:
    return list_scans.run(
        kind="ukb",
        cohort="ukb",
        root=root,
        scans=root.parent / "scans",
        shard_size=shard_size,
        stations=stations,
        protocols=["dixon"],
        check=check,
    )


def _scans(folder: Path) -> list[Scan]:
    return [scan for _, path in listed_shards(folder) for scan in read_shard(path)]


def _state(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.iterdir()}


def test_scans_are_dealt_in_the_order_of_their_identity(ukb: Path) -> None:
    assert _list(ukb) == ListingSummary(n_known=0, n_new=3, n_gone=0, n_shards=2)
    scans = _scans(ukb.parent / "scans")
    assert [(scan.scan, scan.participant) for scan in scans] == [
        ("0000-0000", "1000003"),
        ("0000-0001", "1000004"),
        ("0001-0000", "1000005"),
    ]
    assert all(Path(scan.sources[0].path).is_file() for scan in scans)


def test_second_run_writes_nothing(ukb: Path) -> None:
    _list(ukb)
    before = _state(ukb.parent / "scans")
    assert _list(ukb) == ListingSummary(n_known=3, n_new=0, n_gone=0, n_shards=2)
    assert _state(ukb.parent / "scans") == before


def test_new_participant_opens_one_new_shard_and_touches_no_other(ukb: Path) -> None:
    _list(ukb)
    before = _state(ukb.parent / "scans")
    _add(ukb, 1000001)
    assert _list(ukb, shard_size=200) == ListingSummary(n_known=3, n_new=1, n_gone=0, n_shards=3)
    after = _state(ukb.parent / "scans")
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {"0002.parquet"}
    assert [scan.scan for scan in read_shard(ukb.parent / "scans" / "0002.parquet")] == [
        "0002-0000"
    ]


@pytest.mark.odd_input(
    "C-43",
    make="a participant who is gone",
    source="withdrawals, own",
    outcome="stays listed, with `file_missing`",
)
def test_gone_scan_stays_listed(ukb: Path) -> None:
    _list(ukb)
    before = _state(ukb.parent / "scans")
    (ukb / "10" / "1000004_20201_2_0.zip").unlink()
    assert _list(ukb) == ListingSummary(n_known=3, n_new=0, n_gone=1, n_shards=2)
    assert _state(ukb.parent / "scans") == before


def test_moved_scan_is_counted_and_not_listed_again(ukb: Path) -> None:
    _list(ukb)
    (ukb / "10" / "1000004_20201_2_0.zip").rename(ukb / "1000004_20201_2_0.zip")
    summary = _list(ukb)
    assert (summary.n_new, summary.n_gone, summary.n_changed) == (0, 0, 1)


def test_repeat_visit_is_a_scan_and_other_fields_are_not(ukb: Path) -> None:
    _add(ukb, 1000004, instance=3)
    _add(ukb, 1000004, field=20204)
    (ukb / "notes.txt").touch()
    assert _list(ukb).n_new == 4


def test_stations_of_an_archive_share_a_shard(ukb: Path) -> None:
    _list(ukb, stations=Stations.SEPARATE, shard_size=8)
    shards = [read_shard(path) for _, path in listed_shards(ukb.parent / "scans")]
    assert [[scan.station for scan in shard] for shard in shards] == [[1, 2, 3, 4, 5, 6]] * 3


def test_stations_and_stitched_scans_are_not_pooled(ukb: Path) -> None:
    _list(ukb)
    with pytest.raises(SetupError, match="listed before, not with"):
        _list(ukb, stations=Stations.SEPARATE)


def test_the_same_scan_at_two_places_is_one_scan_of_two_files(ukb: Path) -> None:
    """It stopped the listing of everybody; its row says whether the files differ."""
    (ukb / "copy").mkdir()
    (ukb / "copy" / "1000004_20201_2_0.zip").touch()
    assert _list(ukb).n_new == 3
    assert [len(scan.sources) for scan in _scans(ukb.parent / "scans")] == [1, 2, 1]


def test_nothing_found_is_a_setup_error_that_says_what_there_is(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").touch()
    with pytest.raises(SetupError, match="no scan of dixon; nothing in it is named as"):
        _list(tmp_path / "other")
    with pytest.raises(SetupError, match="no such folder"):
        _list(tmp_path / "gone")
    (tmp_path / "a.tsv").write_text("participant\timage\tcontrast\np\ta.mha\tct\n")
    (tmp_path / "a.mha").touch()
    with pytest.raises(SetupError, match="no scan of dixon; there are scans of ct"):
        list_scans.run(
            kind="folder",
            cohort="c",
            root=tmp_path / "a.tsv",
            scans=tmp_path / "scans",
            protocols=["dixon"],
        )
    assert not (tmp_path / "scans").exists()


def test_shard_size_must_be_positive(ukb: Path) -> None:
    with pytest.raises(SetupError, match="shard_size"):
        _list(ukb, shard_size=0)


def test_no_log_line_names_a_participant(ukb: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    _list(ukb)
    assert "shard=0001" in caplog.text
    assert "1000004" not in caplog.text


def test_folder_cohort(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text(
        "\ufeffparticipant\timage\tcontrast\n007\tw.mha\twater\n007\tf.mha\tfat\n007\tc.mha\tct\n",
        encoding="utf-8",
    )
    (tmp_path / "c.mha").touch()  # a missing image is a row; if all are, the paths are wrong
    list_scans.run(kind="folder", cohort="c", root=tmp_path / "a.tsv", scans=tmp_path / "scans")
    ct, dixon = _scans(tmp_path / "scans")
    assert (ct.participant, ct.protocol, dixon.protocol) == ("007", "ct", "dixon")
    assert [source.contrast for source in dixon.sources] == [Contrast.FAT, Contrast.WATER]
    assert dixon.sources[1].path == str(tmp_path / "w.mha")


def test_bids_cohort(tmp_path: Path) -> None:
    for name in ("acq-ax_T1w", "acq-cor_T1w", "part-water_vibe", "part-fat_vibe", "FLAIR"):
        path = tmp_path / "bids" / "sub-01" / "ses-a" / "anat" / f"sub-01_ses-a_{name}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    derived = tmp_path / "bids" / "derivatives" / "sub-01" / "anat" / "sub-01_T1w.nii.gz"
    derived.parent.mkdir(parents=True)
    derived.touch()

    def run(protocols: list[str], scans: str) -> list[str]:
        list_scans.run(
            kind="bids",
            cohort="c",
            root=tmp_path / "bids",
            scans=tmp_path / scans,
            protocols=protocols,
        )
        return [scan.protocol for scan in _scans(tmp_path / scans)]

    assert run([], "all") == ["dixon", "t1_ax", "t1_cor"]
    assert run(["t1"], "some") == ["t1_ax", "t1_cor"]
    assert run(["t1_ax"], "one") == ["t1_ax"]


def test_an_unreadable_folder_stops_the_listing_and_names_nobody(
    ukb: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scandir = os.scandir

    def forbid(path: str) -> Any:
        if str(path).endswith("/10"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return scandir(path)

    monkeypatch.setattr("os.scandir", forbid)
    with pytest.raises(SetupError, match=r"1 folder\(s\) cannot be read, 1 level.*Permission"):
        _list(ukb)
    assert not (ukb.parent / "scans").exists()


@pytest.mark.odd_input(
    "C-42",
    make="linked folders, and links in a circle",
    source="own",
    outcome="followed; circles end",
)
def test_linked_folders_are_followed_and_loops_end(ukb: Path) -> None:
    (ukb.parent / "elsewhere").mkdir()
    (ukb.parent / "elsewhere" / "2000001_20201_2_0.zip").touch()
    (ukb / "link").symlink_to(ukb.parent / "elsewhere")
    (ukb / "link_again").symlink_to(ukb.parent / "elsewhere")
    (ukb / "loop").symlink_to(ukb)
    summary = _list(ukb)
    assert summary.n_new == 4
    assert summary.left_out == (("linked folders that were met before", 2),)


def test_an_alias_that_sorts_first_hides_nobody(tmp_path: Path) -> None:
    root = tmp_path / "bids"
    image = root / "sub-01" / "anat" / "sub-01_T1w.nii.gz"
    image.parent.mkdir(parents=True)
    image.touch()
    (root / "sub-001").symlink_to("sub-01")
    summary = list_scans.run(kind="bids", cohort="c", root=root, scans=tmp_path / "scans")
    (scan,) = _scans(tmp_path / "scans")
    assert (scan.participant, scan.sources[0].path) == ("01", str(image))
    assert summary.left_out == (("linked folders that were met before", 1),)


def test_what_is_left_out_is_counted_by_kind_and_printed(ukb: Path) -> None:
    _add(ukb, 1000004, field=20204)
    (ukb / "notes.txt").touch()
    summary = _list(ukb)
    assert summary.left_out == (("archives of field 20204", 1), ("files of other names", 1))
    assert "left out, archives of field 20204: 1" in str(summary)
    assert "1000004" not in str(summary)


def test_what_a_bids_cohort_holds_besides_is_counted(tmp_path: Path) -> None:
    folder = tmp_path / "bids" / "sub-01" / "anat"
    (tmp_path / "bids" / "sub-01" / "dwi").mkdir(parents=True)
    (tmp_path / "bids" / "sub-01" / "dwi" / "sub-01_dwi.nii.gz").touch()
    folder.mkdir()
    for name in ("T1w.nii.gz", "T2w.nii.gz", "FLAIR.nii.gz", "T1w.json", "odd.nii.gz"):
        (folder / f"sub-01_{name}").touch()
    (folder / "sub-01_part-phase_T1w.nii.gz").touch()
    summary = list_scans.run(
        kind="bids", cohort="c", root=tmp_path / "bids", scans=tmp_path / "s", protocols=["t1"]
    )
    assert dict(summary.left_out) == {
        "files that are not images": 1,
        "images of FLAIR": 1,
        "images of part-phase": 1,
        "images outside anat, ct, mr, vibe": 1,
        "images whose names are not understood": 1,
        "scans of t2": 1,
    }


@pytest.mark.odd_input(
    "C-15",
    make="the cohort's name changed, and listed again",
    source="own",
    outcome="the listing stops: nobody is listed twice",
)
def test_another_name_of_the_cohort_does_not_list_everybody_twice(ukb: Path) -> None:
    _list(ukb)
    moved = ukb.rename(ukb.parent / "moved")
    before = _state(ukb.parent / "scans")
    with pytest.raises(SetupError, match="3 of these scans are listed already, as cohort 'ukb'"):
        list_scans.run(kind="ukb", cohort="other", root=moved, scans=ukb.parent / "scans")
    assert _state(ukb.parent / "scans") == before


@pytest.mark.odd_input(
    "C-41",
    make="the cohort moved to another folder",
    source="own",
    outcome="found there; nothing is done again",
)
def test_a_cohort_at_another_root_is_found_there(ukb: Path) -> None:
    """The list once kept the old paths, and every scan failed as missing."""
    _list(ukb)
    before = _scans(ukb.parent / "scans")
    times = {path: path.stat().st_mtime_ns for path in (ukb.parent / "scans").iterdir()}
    moved = ukb.rename(ukb.parent / "moved")
    assert _list(moved) == ListingSummary(n_known=3, n_new=0, n_gone=0, n_shards=2, n_changed=3)
    after = _scans(ukb.parent / "scans")
    assert [(one.scan, one.identity) for one in after] == [
        (one.scan, one.identity) for one in before
    ]
    assert all(Path(source.path).is_file() for one in after for source in one.sources)
    # What changes no result makes no shard stale.
    assert times == {path: path.stat().st_mtime_ns for path in (ukb.parent / "scans").iterdir()}
    assert _list(moved).n_changed == 0


@pytest.mark.odd_input(
    "C-14",
    make="an archive delivered again",
    source="own",
    outcome="that participant's shard is done again, no other",
)
def test_what_is_delivered_again_touches_one_shard(ukb: Path) -> None:
    _list(ukb)
    before = _state(ukb.parent / "scans")
    (ukb / "again").mkdir()
    (ukb / "10" / "1000005_20201_2_0.zip").rename(ukb / "again" / "1000005_20201_2_0.zip")
    (ukb / "10" / "1000003_20201_2_0.zip").unlink()
    summary = _list(ukb)
    assert (summary.n_changed, summary.n_gone) == (1, 1)
    after = _state(ukb.parent / "scans")
    times = [(ukb.parent / "scans" / f"000{n}.parquet").stat().st_mtime_ns for n in (0, 1)]
    assert times[0] < times[1]
    assert after["0000.parquet"] == before["0000.parquet"]
    assert after["0001.parquet"] != before["0001.parquet"]


@pytest.mark.odd_input(
    "C-28",
    make="an archive delivered again in its place, under its name",
    source="own; UK Biobank delivers corrected archives so",
    outcome="with `cohort.check_files` its shard is done again, and no other",
)
def test_what_is_delivered_again_in_place_touches_one_shard(ukb: Path) -> None:
    _list(ukb)
    lists = [ukb.parent / "scans" / f"000{n}.parquet" for n in (0, 1)]
    before = _state(ukb.parent / "scans")
    (ukb / "10" / "1000005_20201_2_0.zip").write_bytes(b"another")
    ahead_ns = time.time_ns() + 3_600_000_000_000  # by the clock of the file server
    os.utime(ukb / "10" / "1000005_20201_2_0.zip", ns=(ahead_ns, ahead_ns))
    assert _list(ukb).n_redelivered == 0
    assert _list(ukb, check=True).n_redelivered == 1
    after = _state(ukb.parent / "scans")
    assert after["0000.parquet"] == before["0000.parquet"]
    assert after["0001.parquet"][1] == before["0001.parquet"][1]
    assert lists[1].stat().st_mtime_ns == ahead_ns
    assert _list(ukb, check=True).n_redelivered == 0


@pytest.mark.parametrize("code", [errno.ESTALE, errno.EIO])
@pytest.mark.parametrize("call", ["scandir", "stat"])
def test_a_failing_disk_stops_the_listing_and_names_nobody(
    call: str,
    code: int,
    ukb: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = ukb / "10" / "1000004"
    folder.mkdir()
    real = getattr(os, call)

    def fail(path: Any, *more: Any, **named: Any) -> Any:
        if str(path) == str(folder):
            raise OSError(code, os.strerror(code), str(path))
        return real(path, *more, **named)

    monkeypatch.setattr(os, call, fail)
    words = ["--kind=ukb", "--cohort=c", f"--root={ukb}", f"--scans={ukb.parent / 'scans'}"]
    assert app.run(["list-scans", *words]) == app.EXIT_MACHINE
    said = capsys.readouterr().err
    assert f"{ukb}: 1 folder(s) cannot be read, 2 level(s) below it ({os.strerror(code)})" in said
    assert "1000004" not in said
    assert not (ukb.parent / "scans").exists()


def test_two_listings_at_once_lose_nothing(ukb: Path) -> None:
    for participant in range(2000000, 2000040):
        _add(ukb, participant)
    outcomes: list[ListingSummary] = []
    together = [threading.Thread(target=lambda: outcomes.append(_list(ukb))) for _ in range(4)]
    for thread in together:
        thread.start()
    for thread in together:
        thread.join()
    assert sorted(one.n_new for one in outcomes) == [0, 0, 0, 43]
    scans = _scans(ukb.parent / "scans")
    assert len({scan.participant for scan in scans}) == len(scans) == 43
    assert sorted(path.name for path in ukb.parent.iterdir()) == ["scans", "ukb"]

"""Cohorts as they are delivered: what listing makes of names that are odd.

Source: ds004332 (several contrast phases of a visit), BIDS 1.10, TPTBox (`sequ-`, `vibe/`),
what mounts and downloads do to folders.
"""

import os
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from organome.domain.covariates import Covariate
from organome.domain.flags import Flag
from organome.domain.outcomes import Outcome, Reason
from organome.domain.scans import CohortKind, Contrast, Scan, Source, Stations
from organome.io.images.sidecars import read_sidecar
from organome.io.tables.participants import ParticipantTables
from organome.io.tables.scan_lists import listed_shards, read_shard
from organome.steps.listing import list_scans
from organome.steps.listing.copies import find_copies
from organome.steps.prepare import prepare_images


def _touch(root: Path, *names: str) -> Path:
    for name in names:
        path = root / f"sub-{name.split('_')[0]}" / "anat" / f"sub-{name}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def _image(path: Path, *, seed: int = 0, low_mm: float = 0.0) -> Path:
    voxels = np.random.default_rng(seed).uniform(90, 110, (12, 10, 10)).astype(np.float32)
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing((5.0, 5.0, 5.0))
    image.SetOrigin((0.0, 0.0, low_mm))
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path))
    return path


def _list(
    root: Path,
    *protocols: str,
    kind: CohortKind = "bids",
    stations: Stations = Stations.STITCH,
    **settings: int,
) -> list[Scan]:
    scans = root.parent / "scans"
    list_scans.run(
        kind=kind,
        cohort="c",
        root=root,
        scans=scans,
        protocols=protocols,
        stations=stations,
        **settings,  # type: ignore[arg-type]
    )
    return [scan for _, path in listed_shards(scans) for scan in read_shard(path)]


def _prepare(
    root: Path, kind: CohortKind = "bids", covariates: Sequence[Covariate] = ()
) -> tuple[Outcome, ...]:
    return prepare_images.run(
        shard=root.parent / "scans" / "0000.parquet",
        output=root.parent / "prepared",
        work=root.parent / "work",
        kind=kind,
        root=root,
        covariates=covariates,
        max_same_reason_share=1.0,
    )


@pytest.mark.parametrize(
    ("names", "protocols"),
    [
        (["ce-arterial_T1w", "ce-portal_T1w"], ["t1_ce-arterial", "t1_ce-portal"]),
        (["ce-GD_T1w"], ["t1_ce-GD"]),
        (["T1w", "acq-ax_ce-GD_T1w"], ["t1", "t1_ax_ce-GD"]),
        (["acq-fs_ce-GD_T1w", "acq-fs_T1w"], ["t1fs", "t1fs_ce-GD"]),
        (["echo-1_T2w", "echo-2_T2w"], ["t2_echo-1", "t2_echo-2"]),
        (["inv-1_T1w", "inv-2_T1w"], ["t1_inv-1", "t1_inv-2"]),
        (["rec-norm_T1w", "T1w"], ["t1", "t1_rec-norm"]),
        (["mt-on_T1w", "flip-2_T1w", "dir-AP_T1w"], ["t1_dir-AP", "t1_flip-2", "t1_mt-on"]),
        (["part-mag_T1w", "part-phase_T1w"], ["t1"]),
        (["chunk-neck_T2w", "chunk-pelvis_T2w"], ["t2_chunk-neck", "t2_chunk-pelvis"]),
        (["ce-GD_part-water_vibe", "part-water_vibe"], ["dixon", "dixon_ce-GD"]),
        (["part-water_vibe", "part-water_mevibe"], ["dixon", "dixon_mevibe"]),
        (["sequ-stitched_part-water_vibe", "part-water_vibe"], ["dixon", "dixon_sequ-stitched"]),
        (["odd_T1w", "T1w"], ["t1", "t1_odd"]),
    ],
)
@pytest.mark.odd_input(
    "C-8",
    make="BIDS names with `ce-`, `echo-`, `inv-`, `rec-`, `chunk-<word>`, ...; `ce-GD_T1w` alone",
    source="OpenNeuro ds004332; BIDS 1.10",
    outcome="each its scan, by protocol: `t1_ce-GD` is never listed as the native `t1`",
)
def test_every_entity_makes_a_scan_of_its_own(
    tmp_path: Path, names: list[str], protocols: list[str]
) -> None:
    root = _touch(tmp_path / "bids", *(f"01_{name}.nii.gz" for name in names))
    scans = _list(root, "t1", "t1fs", "t2", "dixon")
    assert [scan.protocol for scan in scans] == protocols
    assert all(len(scan.sources) == 1 for scan in scans)


@pytest.mark.parametrize(
    "name",
    [
        *("run2_T1w", "run_2_T1w", "Run-2_T1w", "run-_T1w", "run-1_run-2_T1w", "RUN2_T1w"),
        *("ses2_T1w", "Ses-2_T1w", "session-2_T1w", "session2_T1w", "2_T1w", "20200102_T1w"),
        *("sub-02_T1w", "Sub-02_T1w", "subject2_T1w"),
        *("Part-water_T1w", "part-mag_part-water_T1w", "Acq-water_T1w"),
        *("chunk2_part-water_vibe", "Chunk-2_part-water_vibe", "chunk-1_chunk-2_part-water_vibe"),
        *("part-water_run-2", "part-water_vibe_run-2", "part-water_2", "part-water_ses2"),
        "T1w_run-2",
    ],
)
@pytest.mark.odd_input(
    "C-61",
    make="nearly BIDS: `run2`, `run_2`, `Ses-2`, `run-1_run-2`, `sub-01_02`, `vibe_run-2`",
    source="own: names made by hand",
    outcome="left out and counted: no visit, repeat or person becomes a protocol",
)
def test_a_misspelt_entity_is_no_protocol(tmp_path: Path, name: str) -> None:
    root = _touch(tmp_path / "bids", "01_T1w.nii.gz", f"01_{name}.nii.gz")
    kinds: tuple[CohortKind, ...] = ("bids", "nako")
    for kind in kinds:
        summary = list_scans.run(kind=kind, cohort="c", root=root, scans=tmp_path / f"of_{kind}")
        assert dict(summary.found) == {"t1: t1": 1}
        assert dict(summary.left_out) == {
            "images with a misspelt entity (run2, Ses-1), a second one, or a number without one": 1
        }


def test_entities_that_are_read_are_no_part_of_the_protocol(tmp_path: Path) -> None:
    path = tmp_path / "bids" / "sub-01" / "ses-1" / "anat"
    path.mkdir(parents=True)
    (path / "sub-01_ses-1_acq-high_run-2_T1w.nii.gz").touch()
    (scan,) = _list(tmp_path / "bids", "t1")
    assert scan.identity == ("c", "01", "1", "2", "t1_high", 0)


@pytest.mark.odd_input(
    "C-17",
    make="`space-MNI`, `desc-preproc`, `res-2` beside the raw image",
    source="BIDS derivatives",
    outcome="listed only where `cohort.protocols` names the whole protocol",
)
def test_derivatives_do_not_pass_for_raw_images(tmp_path: Path) -> None:
    names = ["T1w", "space-MNI_T1w", "desc-preproc_T1w", "res-2_T1w"]
    root = _touch(tmp_path / "bids", *(f"01_{name}.nii.gz" for name in names))
    assert [scan.protocol for scan in _list(root, "t1")] == ["t1"]
    assert [scan.protocol for scan in _list(root, "t1", "t1_space-MNI")] == ["t1", "t1_space-MNI"]


@pytest.mark.parametrize(
    ("seed", "reason"), [(0, None), (1, Reason.SEVERAL_SERIES)], ids=["equal", "other"]
)
@pytest.mark.odd_input(
    "C-18",
    make="`T1w.nii` beside `T1w.nii.gz`, with equal and with other voxels",
    source="SimpleITK, which reads the one when asked for the other",
    outcome="equal: read once, `delivered_twice`; else `several_series`, that row only",
)
def test_an_image_in_two_files_costs_at_most_its_own_row(
    tmp_path: Path, seed: int, reason: Reason | None
) -> None:
    root = tmp_path / "bids"
    for participant, suffix, of in (("1", "nii", 0), ("1", "nii.gz", seed), ("2", "nii.gz", 5)):
        anat = root / f"sub-{participant}" / "anat"
        _image(anat / f"sub-{participant}_T1w.{suffix}", seed=of)
    assert len(_list(root, "t1")) == 2
    collided, other = _prepare(root)
    assert (collided.reason, other.reason) == (reason, None)
    assert other.facts["flags"] == []
    assert reason or collided.facts["flags"] == [Flag.DELIVERED_TWICE]


@pytest.mark.odd_input(
    "C-19",
    make="a Dixon visit with a stitched image and with chunks under one name",
    source="own, after TPTBox's stitched images",
    outcome="`several_series`, that row only",
)
def test_images_with_and_without_a_station_are_not_pooled(tmp_path: Path) -> None:
    root = tmp_path / "bids"
    _image(root / "sub-1" / "anat" / "sub-1_part-water_vibe.nii.gz")
    _image(root / "sub-1" / "anat" / "sub-1_chunk-1_part-water_vibe.nii.gz")
    _image(root / "sub-2" / "anat" / "sub-2_part-water_vibe.nii.gz")
    assert len(_list(root, "dixon")) == 2
    assert [one.reason for one in _prepare(root)] == [Reason.SEVERAL_SERIES, None]


@pytest.mark.odd_input(
    "C-20",
    make="NAKO as TPTBox writes it, a station acquired twice (`sequ-5`, `sequ-21`), once in part",
    source="TPTBox, BIDS-like names",
    outcome="the latest whole repeat, flag `duplicate_station`, as in archives",
)
def test_repeats_of_a_station_by_the_number_of_their_series(tmp_path: Path) -> None:
    root = tmp_path / "nako"
    for chunk, numbers in ((1, (5,)), (2, (9, 21, 101))):
        for sequ in numbers:
            for part in ("water",) if sequ == 101 else ("water", "fat", "inphase", "outphase"):
                name = f"sub-1_sequ-{sequ}_acq-ax_part-{part}_chunk-{chunk}_vibe.nii.gz"
                (root / "sub-1" / "vibe").mkdir(parents=True, exist_ok=True)
                (root / "sub-1" / "vibe" / name).touch()
    (scan,) = _list(root, "dixon")
    assert (scan.protocol, len(scan.sources)) == ("dixon_ax", 8)
    assert all("sequ-21_" in one.path for one in scan.sources if one.station == 2)
    assert scan.flags == (Flag.DUPLICATE_STATION,)


@pytest.mark.odd_input(
    "C-30",
    make="NAKO below folders of its own, one participant with three of four stations, derivatives",
    source="TPTBox, NAKO converter",
    outcome="kind `nako`: by name; `stations_missing`; derivatives are left out",
)
def test_nako_is_listed_by_name(tmp_path: Path) -> None:
    root = tmp_path / "nako"
    for folder, person, chunks in (
        ("rawdata/100", "100001", (1, 2, 3)),
        ("rawdata/101", "101002", (1, 2, 3, 4)),
        ("derivatives_stitched/101", "101002", (1,)),
    ):
        vibe = root / folder / person / "vibe"
        vibe.mkdir(parents=True)
        for sequ, chunk in enumerate(chunks, start=7):
            for part in ("water", "fat", "inphase", "outphase"):
                name = f"sub-{person}_sequ-{sequ}_acq-ax_part-{part}_chunk-{chunk}_vibe.nii.gz"
                (vibe / name).touch()
    three, four = _list(root, "dixon", kind="nako")
    assert (len(three.sources), three.flags) == (12, (Flag.STATIONS_MISSING,))
    assert (len(four.sources), four.flags) == (16, ())
    assert four.participant == "101002"


@pytest.mark.odd_input(
    "C-55",
    make="NAKO's HASTE as TPTBox writes it: `T2haste/sub-1_acq-ax_T2haste.nii.gz`, beside spines",
    source="TPTBox, NAKO converter: folder and suffix are called by the format",
    outcome="kind `nako`: protocol `haste`, contrast `t2`; a spine is another protocol",
)
def test_haste_of_nako_is_a_protocol(tmp_path: Path) -> None:
    root = tmp_path / "nako"
    for name in (
        "rawdata/1/T2haste/sub-1_acq-ax_T2haste.nii.gz",
        "rawdata/1/T2w/sub-1_acq-sag_chunk-HWS_sequ-9_T2w.nii.gz",
        "rawdata/1/mevibe/sub-1_acq-ax_part-eco0-opp1_sequ-7_mevibe.nii.gz",
        "rawdata/1/vibe/sub-1_acq-ax_part-water_chunk-1_vibe.nii.gz",
        "rawdata/1/other/sub-1_acq-ax_T2haste.nii.gz",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    scans = _list(root, "haste", "t2", "dixon", kind="nako")
    assert [scan.protocol for scan in scans] == ["dixon_ax", "haste_ax", "t2_sag_chunk-HWS"]
    assert [one.contrast for one in scans[1].sources] == [Contrast.T2]
    assert (scans[0].flags, scans[1].flags) == ((Flag.STATIONS_MISSING,), ())


@pytest.mark.odd_input(
    "C-56",
    make="one participant's archive, image or DICOM folder copied under another's name, or visit's",
    source="own: wrong assignments at export",
    outcome="counted by `list-scans --check`, keys in the log; never an error, no row changes",
)
def test_one_content_under_two_names_is_counted(tmp_path: Path) -> None:
    root = tmp_path / "ukb"
    root.mkdir()
    contents = {
        "1000001_20201_2_0": b"one" * 90_000,
        "1000002_20201_2_0": b"one" * 90_000,  # of another participant
        "1000002_20201_3_0": b"two" * 90_000,
        "1000003_20201_2_0": b"six" * 90_000,  # of the same size
        "1000004_20201_2_0": b"",
        "1000005_20201_2_0": b"",
    }
    for name, content in contents.items():
        (root / f"{name}.zip").write_bytes(content)
    (root / "again").mkdir()
    (root / "again" / "1000003_20201_2_0.zip").write_bytes(b"six" * 90_000)  # its own
    kind = "scans that have the very file of another participant or visit"

    def counted(*, check: bool) -> int:
        listed = list_scans.run(
            kind="ukb", cohort="c", root=root, scans=tmp_path / "scans", check=check
        )
        return dict(listed.found).get(kind, 0)

    assert counted(check=True) == 2
    before = (tmp_path / "scans" / "0000.parquet").read_bytes()
    assert counted(check=False) == 0
    (root / "1000006_20201_2_0.zip").write_bytes(b"two" * 90_000)
    assert counted(check=True) == 4
    assert (tmp_path / "scans" / "0000.parquet").read_bytes() == before


@pytest.mark.parametrize("below", ["", "series_1"])
def test_a_copied_folder_of_dicom_is_found(tmp_path: Path, below: str) -> None:
    for name, last in (("a", b"x"), ("b", b"x"), ("c", b"y")):
        (tmp_path / name / below).mkdir(parents=True)
        for n in range(3):
            (tmp_path / name / below / f"{n}.dcm").write_bytes(bytes([n]) * (100 + n) + last)
    scans = [Scan("", "c", name, "1", "1", "ct", (Source(str(tmp_path / name)),)) for name in "abc"]
    ((one, other),) = find_copies(scans)
    assert (one.participant, other.participant) == ("a", "b")
    assert find_copies([scans[0], replace(scans[2], participant="a")]) == []


@pytest.mark.odd_input(
    "C-21",
    make="`sequ-5_T2w` and `sequ-11_T2w`, no stations",
    source="TPTBox, BIDS-like names",
    outcome="two scans: arrays `1-5` and `1-11`",
)
def test_repeats_without_stations_are_scans(tmp_path: Path) -> None:
    root = _touch(tmp_path / "bids", "1_sequ-5_T2w.nii.gz", "1_sequ-11_T2w.nii.gz")
    assert {scan.array for scan in _list(root, "t2")} == {"1-5", "1-11"}


@pytest.mark.odd_input(
    "C-60",
    make="`sequ-5_T2w`; later `sequ-11_T2w` beside it, or `sequ-3_T2w`; then without the first",
    source="own: repeats that are delivered later, or withdrawn",
    outcome="the first keeps its key and its array `1`, the later one is a scan `1-<sequ>`",
)
@pytest.mark.parametrize("later", ["11", "3"])
def test_a_repeat_that_comes_later_leaves_the_first_its_name(tmp_path: Path, later: str) -> None:
    root = _touch(tmp_path / "bids", "1_sequ-5_T2w.nii.gz", "2_T2w.nii.gz")
    first, other = _list(root, "t2")
    listed = (tmp_path / "scans" / "0000.parquet").stat().st_mtime_ns
    _touch(root, f"1_sequ-{later}_T2w.nii.gz")
    for _ in range(2):
        scans = _list(root, "t2")
        assert scans[:2] == [first, other]
        assert [(one.scan, one.array) for one in scans[2:]] == [("0001-0000", f"1-{later}")]
    next(root.glob("sub-1/anat/*_sequ-5_*")).unlink()
    assert _list(root, "t2") == scans  # the later one does not become the first
    assert (tmp_path / "scans" / "0000.parquet").stat().st_mtime_ns == listed


def test_repeats_of_several_contrasts_keep_their_names(tmp_path: Path) -> None:
    root = _touch(tmp_path / "bids", "1_sequ-5_part-water_vibe.nii.gz")
    (first,) = _list(root, "dixon")
    names = ("sequ-5_part-fat", "sequ-9_part-water", "sequ-9_part-fat")
    _touch(root, *(f"1_{name}_vibe.nii.gz" for name in names))
    whole, later = _list(root, "dixon")
    assert whole == replace(first, sources=whole.sources)
    assert {Path(one.path).name.split("_")[1] for one in whole.sources} == {"sequ-5"}
    assert [len(one.sources) for one in (whole, later)] == [2, 2]
    assert (later.array, later.scan) == ("1-9", "0001-0000")


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.odd_input(
    "C-22",
    make="chunks counted from 0; one visit without its last chunk, one without its first",
    source="BIDS 1.10: a chunk is a nonnegative integer",
    outcome="stations from 1 on by `cohort.first_chunk`; `stations_missing` by `cohort.n_stations`",
)
def test_an_end_station_may_lack_in_bids(tmp_path: Path, first: int) -> None:
    names = [
        f"{person}_chunk-{chunk + first}_part-water_vibe.nii.gz"
        for person in (1, 2, 3, 4)
        for chunk in range(4)
        if (person, chunk) not in [(3, 3), (4, 0)]
    ]
    root = _touch(tmp_path / "bids", *names)
    scans = _list(root, "dixon", first_chunk=first, n_stations=4)
    assert [one.station for one in scans[0].sources] == [1, 2, 3, 4]
    missing = (Flag.STATIONS_MISSING,)
    assert [one.station for one in scans[3].sources] == [2, 3, 4]
    assert [scan.flags for scan in scans] == [(), (), missing, missing]


@pytest.mark.parametrize("stations", Stations)
@pytest.mark.odd_input(
    "C-50",
    make="chunks that count from 1; later a participant with `chunk-0`, or with more of them",
    source="own",
    outcome="nobody else's stations, flags or lists change: each scan is judged by its own files",
)
def test_a_later_delivery_changes_nobody_else(tmp_path: Path, stations: Stations) -> None:
    def chunks(person: int, *numbers: int) -> list[str]:
        return [f"{person}_chunk-{one}_part-water_vibe.nii.gz" for one in numbers]

    root = _touch(tmp_path / "bids", *chunks(1, 1, 2), *chunks(2, 1, 2, 3))
    before = _list(root, "dixon", stations=stations)
    lists = {path: path.stat().st_mtime_ns for path in (tmp_path / "scans").iterdir()}
    _touch(root, *chunks(3, 0, 1, 2), *chunks(4, 1, 2, 3, 4), *chunks(5, 1, 2, 3, 4))
    after = _list(root, "dixon", stations=stations)
    assert after[: len(before)] == before
    assert {path: path.stat().st_mtime_ns for path in lists} == lists
    assert not any(scan.flags for scan in after)
    of_third = [scan for scan in after if scan.participant == "3"]
    assert [one.station for scan in of_third for one in scan.sources] == [1, 2, 3]


@pytest.mark.odd_input(
    "C-51",
    make="a file and a folder whose names are not UTF-8 (Latin-1, as an old server wrote them)",
    source="POSIX: names are bytes; own",
    outcome="left out and counted, never named; everything else is listed",
)
@pytest.mark.parametrize("kind", ["bids", "ukb", "nako"])
def test_names_that_are_not_utf8_stop_nobody(tmp_path: Path, kind: CohortKind) -> None:
    root = _touch(tmp_path / "bids", "1_T1w.nii.gz", "1_T2w.nii.gz")
    (root / "sub-1" / "1000004_20201_2_0.zip").touch()
    odd = os.fsencode(root / "sub-1" / "anat") + b"/sub-M\xfcller_T1w.nii.gz"
    os.close(os.open(odd, os.O_CREAT))
    folder = os.fsencode(root) + b"/sub-M\xfcller/anat"
    Path(os.fsdecode(folder)).mkdir(parents=True)
    os.close(os.open(folder + b"/1000005_20201_2_0.zip", os.O_CREAT))
    summary = list_scans.run(kind=kind, cohort="c", root=root, scans=tmp_path / "scans")
    assert summary.n_new == (1 if kind == "ukb" else 2)
    assert dict(summary.left_out)["files whose names are not UTF-8"] == 2
    assert "ller" not in str(summary)


@pytest.mark.odd_input(
    "C-52",
    make="names of images with a line feed, tab, escape, zero-width or bidirectional character",
    source="own: `sub-1` and `sub-1<U+200B>` look alike in every table",
    outcome="left out and counted, never named; everything else is listed",
)
@pytest.mark.parametrize("odd", ["\n", "\t", "\x1b", "\x7f", "\u200b", "\u202e", "\ufeff", "\x85"])
def test_names_that_cannot_be_read_are_counted(tmp_path: Path, odd: str) -> None:
    root = _touch(tmp_path / "bids", "1_T1w.nii.gz", f"1{odd}_T1w.nii.gz", f"1_acq-a{odd}_T1w.nii")
    summary = list_scans.run(kind="bids", cohort="c", root=root, scans=tmp_path / "scans")
    (scan,) = read_shard(tmp_path / "scans" / "0000.parquet")
    assert scan.participant == "1"
    assert summary.left_out == (("images whose names hold characters that cannot be seen", 2),)


@pytest.mark.odd_input(
    "C-53",
    make="folders of one participant in composed and in decomposed letters; names of 255 bytes",
    source="Unicode TR 15; own",
    outcome="one participant, composed; two images at one place are that row's `several_series`",
)
def test_one_participant_by_two_spellings(tmp_path: Path) -> None:
    composed, apart = (unicodedata.normalize(form, "M\u00fcller") for form in ("NFC", "NFD"))
    root = tmp_path / "bids"
    for n, name in enumerate((composed, apart)):
        _image(root / f"sub-{name}" / "anat" / f"sub-{name}_T1w.nii.gz", seed=n)
    _image(root / f"sub-{apart}" / "anat" / f"sub-{apart}_T2w.nii.gz", seed=3)
    longest = "sub-a_acq-" + "x" * (255 - len("sub-a_acq-_T2w.nii")) + "_T2w.nii"
    _image(root / "sub-a" / "anat" / longest)
    scans = _list(root)
    assert [scan.participant for scan in scans] == [composed, composed, "a"]
    assert [len(scan.sources) for scan in scans] == [2, 1, 1]
    reasons = [one.reason for one in _prepare(root)]
    assert reasons == [Reason.SEVERAL_SERIES, None, None]


@pytest.mark.odd_input(
    "C-54",
    make="participants `aB1` and `ab1`",
    source="own: pseudonyms in base 62",
    outcome="two participants, as BIDS has it; listing counts them",
)
def test_names_that_differ_in_case_are_counted(tmp_path: Path) -> None:
    root = _touch(tmp_path / "bids", "aB1_T1w.nii.gz", "ab1_T1w.nii.gz", "c_T1w.nii.gz")
    summary = list_scans.run(kind="bids", cohort="c", root=root, scans=tmp_path / "scans")
    assert summary.n_new == 3
    assert dict(summary.found)["participants whose names differ in case only"] == 2


@pytest.mark.parametrize("suffix", [".NII.GZ", ".Nii.gz", ".NII", ".NRRD", ".MHA"])
@pytest.mark.odd_input(
    "Z-20",
    make="`T1w.NII.GZ`, `.Nii.gz`, `.NII`, `.NRRD`, `.MHA`",
    source="Windows and CD-ROMs, own",
    outcome="as in lower case: listed, read, with its sidecar",
)
def test_suffixes_in_capitals(tmp_path: Path, suffix: str) -> None:
    root = tmp_path / "bids"
    made = _image(root / "sub-1" / "anat" / f"sub-1_T1w{suffix.lower()}")
    made.rename(made.with_name(f"sub-1_T1w{suffix}"))
    made.with_name("sub-1_T1w.json").write_text('{"Manufacturer": "Siemens"}')
    assert len(_list(root, "t1")) == 1
    (outcome,) = _prepare(root)
    assert (outcome.reason, outcome.facts.get("manufacturer")) == (None, "Siemens")


@pytest.mark.odd_input(
    "Z-21",
    make="`1000004_20201_2_0.ZIP`, alone and beside `.zip`",
    source="Windows, own",
    outcome="the same scan; as an archive it is judged by its content",
)
def test_archives_in_capitals(tmp_path: Path) -> None:
    root = tmp_path / "ukb"
    root.mkdir()
    for name in ("1000004_20201_2_0.ZIP", "1000005_20201_2_0.Zip", "1000005_20201_2_0.zip"):
        (root / name).write_bytes(b"no archive")
    one, two = _list(root, "dixon", kind="ukb")
    assert (len(one.sources), len(two.sources)) == (1, 2)
    assert {one.reason for one in _prepare(root, "ukb")} == {Reason.ARCHIVE_BROKEN}


@pytest.mark.parametrize("same", [True, False])
@pytest.mark.odd_input(
    "C-23",
    make="an archive under one name in two folders, equal and not",
    source="own: a delivery that was fetched twice",
    outcome="equal: read once, `delivered_twice`; else `several_series`, that row only",
)
def test_an_archive_in_two_folders_stops_nobody_else(tmp_path: Path, same: bool) -> None:
    root = tmp_path / "ukb"
    for folder, content in (("a", b"one"), ("b", b"one" if same else b"two")):
        (root / folder).mkdir(parents=True)
        (root / folder / "1000004_20201_2_0.zip").write_bytes(content)
    (root / "a" / "1000005_20201_2_0.zip").write_bytes(b"three")
    assert len(_list(root, "dixon", kind="ukb")) == 2
    doubled, other = _prepare(root, "ukb")
    wanted = Reason.ARCHIVE_BROKEN if same else Reason.SEVERAL_SERIES
    assert (doubled.reason, other.reason) == (wanted, Reason.ARCHIVE_BROKEN)


def test_what_was_found_is_printed_by_protocol_contrast_and_stations(tmp_path: Path) -> None:
    names = [
        f"{person}_chunk-{chunk}_part-{part}_vibe.nii.gz"
        for person in (1, 2, 3)
        for chunk in (1, 2)
        for part in ("fat", "water")
        if (person, chunk) != (3, 2)
    ]
    root = _touch(tmp_path / "bids", *names, "1_T1w.nii", "1_T1w.nii.gz")
    summary = list_scans.run(
        kind="bids", cohort="c", root=root, scans=tmp_path / "scans", n_stations=2
    )
    assert summary.found == (
        ("dixon: fat, water at 1 stations", 1),
        ("dixon: fat, water at 2 stations", 2),
        ("flag stations_missing", 1),
        ("scans with two files at one place", 1),
        ("t1: t1", 1),
    )
    assert "found, t1: t1: 1" in str(summary)


def test_a_contrast_of_a_listed_scan_is_what_its_name_says(tmp_path: Path) -> None:
    root = _touch(tmp_path / "bids", "1_acq-W_vibe.nii.gz", "1_acq-W_part-phase_vibe.nii.gz")
    (scan,) = _list(root, "dixon")
    assert [one.contrast for one in scan.sources] == [Contrast.WATER]


@pytest.mark.parametrize(
    ("text", "maker", "field"),
    [
        (
            '{"Manufacturer": "Siemens", "MagneticFieldStrength": 3, "PatientName": "X"}',
            "Siemens",
            3,
        ),
        ('{"Manufacturer": 7, "MagneticFieldStrength": "3", "PatientSize": true}', None, None),
        ('{"MagneticFieldStrength": NaN, "Manufacturer": " "}', None, None),
        ("[1, 2]", None, None),
        ("{", None, None),
    ],
)
@pytest.mark.odd_input(
    "C-16",
    make="a JSON sidecar: Manufacturer, MagneticFieldStrength, ...; not JSON, wrong types, NaN",
    source="BIDS 1.10; dcm2niix",
    outcome="columns as from DICOM headers, null where it says nothing that can be",
)
def test_sidecars_give_the_columns_of_headers(
    tmp_path: Path, text: str, maker: str | None, field: float | None
) -> None:
    anat = tmp_path / "bids" / "sub-1" / "anat"
    _image(anat / "sub-1_T1w.nii.gz")
    (anat / "sub-1_T1w.json").write_text(text)
    _list(tmp_path / "bids", "t1")
    (outcome,) = _prepare(tmp_path / "bids")
    assert outcome.reason is None
    facts = outcome.facts
    assert (facts.get("manufacturer"), facts.get("field_strength_t")) == (maker, field)
    assert "PatientName" not in str(facts)


def test_times_of_a_sidecar_are_in_seconds(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(
        '{"EchoTime": 0.00239, "RepetitionTime": 0.00669, "FlipAngle": 10,'
        ' "SoftwareVersions": "XA"}'
    )
    read = read_sidecar(tmp_path / "a.nii.gz")
    assert read is not None
    assert (read.echo_time_ms, read.repetition_time_ms, read.flip_angle_deg) == (2.39, 6.69, 10)
    assert read.software_version == "XA"


@pytest.mark.parametrize(
    "text",
    [
        "participant\timage\tcontrast\tnote\n007\ta.nii.gz\tct\tx{odd}y\n".replace("{odd}", odd)
        for odd in ("", "\u0085", "\u2028", "\x0b", "\x0c", "\x1c", '"', "\x00")
    ]
    + [
        "participant\timage\tcontrast\r\n007\ta.nii.gz\tct\r\n\r\n\t\t\r\n",
        "\ufeffparticipant\timage\tcontrast\n007\ta.nii.gz\tct",
        "participant\timage\tcontrast\r007\ta.nii.gz\tct\r",
        'participant\timage\tcontrast\tnote\n"007"\ta.nii.gz\tct\t"x\ty\r\nz"\n',
        "participant\timage\tcontrast\n007 \t a.nii.gz\tct\n\n\n",
    ],
)
@pytest.mark.odd_input(
    "T-51",
    make="U+0085, U+2028, VT or FF in a cell of a TSV; CRLF, CR, BOM, empty lines, a quoted tab",
    source="own: `str.splitlines` ends lines at all of these",
    outcome="one row, every cell as it stands",
)
def test_a_tsv_as_programs_write_it(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.nii.gz").touch()
    (tmp_path / "scans.tsv").write_bytes(text.encode())
    (scan,) = _list(tmp_path / "scans.tsv", kind="folder")
    assert (scan.participant, Path(scan.sources[0].path).name) == ("007", "a.nii.gz")


_PARTICIPANTS = (
    "participant_id\tage\tsex\tsite\tname\r\n"
    "sub-1\t61\tF\tA1\tMiller\r\nsub-2\tn/a\t2\tMain Street 1\tSmith\r\n"
    "sub-3\t50\tM\tA1\tJones\r\nsub-3\t52\tM\tA1\tJones\r\nsub-9\t70\tF\tA1\tGone\r\n"
)


def _covariates(outcome: Outcome) -> tuple[object, ...]:
    return tuple(outcome.facts.get(one) for one in ("sex", "age_years", "acq_month", "site"))


@pytest.mark.odd_input(
    "T-52",
    make="participants.tsv with `n/a`, coded sex, an address as site, rows that disagree",
    source="BIDS 1.10; own",
    outcome="columns only of what `cohort.covariates` names; a cell that is not plain is null",
)
def test_covariates_are_read_on_request_only(tmp_path: Path) -> None:
    root = tmp_path / "bids"
    for person in (1, 2, 3):
        _image(root / f"sub-{person}" / "anat" / f"sub-{person}_T1w.nii.gz")
    (root / "participants.tsv").write_text(_PARTICIPANTS)
    (root / "sub-1" / "sub-1_scans.tsv").write_text(
        "filename\tacq_time\nanat/sub-1_T1w.nii.gz\t2016-05-03T10:15:00\n"
    )
    (root / "sub-2" / "sub-2_scans.tsv").write_bytes(b"\xff\xfe\x00")
    assert len(_list(root)) == 3
    outcomes = _prepare(root)
    assert {_covariates(one) for one in outcomes} == {(None,) * 4}
    assert not any("sex" in one.facts for one in outcomes)
    asked = _prepare(root, covariates=tuple(Covariate))
    assert [_covariates(one) for one in asked] == [
        ("female", 61.0, "2016-05", "A1"),
        (None, None, None, None),
        ("male", None, None, "A1"),
    ]
    only = _prepare(root, covariates=[Covariate.AGE])
    assert [_covariates(one)[1] for one in only] == [61.0, None, None]
    assert not any("sex" in one.facts for one in only)
    assert not any(word in str(asked) for word in ("Miller", "Street", "10:15"))


@pytest.mark.odd_input(
    "T-53",
    make="two sessions and one age in participants.tsv; sessions.tsv with ages; ages in months",
    source="BIDS 1.10",
    outcome="an age of one visit is not that of another: null, or as sessions.tsv has it",
)
def test_an_age_is_that_of_the_visit(tmp_path: Path) -> None:
    root = tmp_path / "bids"
    for person, session in ((1, "a"), (1, "b"), (2, "a"), (3, "a"), (3, "b")):
        name = f"sub-{person}_ses-{session}_T1w.nii.gz"
        _image(root / f"sub-{person}" / f"ses-{session}" / "anat" / name)
    (root / "participants.tsv").write_text(
        "participant_id\tage\n" + "".join(f"sub-{one}\t61\n" for one in (1, 2, 3))
    )
    (root / "sub-3" / "sub-3_sessions.tsv").write_text(
        "session_id\tage\tacq_time\nses-a\t61\t2016-05-03\nses-b\t64\t2019-06-01\n"
    )
    (root / "sub-2" / "sub-2_sessions.tsv").write_text("session_id\tage\nses-a\tn/a\n")
    _list(root)
    asked = _prepare(root, covariates=[Covariate.AGE, Covariate.ACQ_MONTH])
    assert [_covariates(one)[1] for one in asked] == [None, None, 61, 61, 64]
    assert [_covariates(one)[2] for one in asked] == [None, None, None, "2016-05", "2019-06"]
    (root / "participants.json").write_text('{"age": {"Units": "months"}}')
    again = _prepare(root, covariates=[Covariate.AGE, Covariate.ACQ_MONTH])
    assert {_covariates(one)[1] for one in again} == {None}


def test_a_visit_that_only_an_archive_names_may_not_be_the_only_one(tmp_path: Path) -> None:
    root = tmp_path / "nako"
    (root / "3D_GRE_TRA_W").mkdir(parents=True)
    for name in ("100023_30", "100023_31", "100024"):
        (root / "3D_GRE_TRA_W" / f"{name}.zip").touch()
    (root / "participants.tsv").write_text("participant_id\tage\n100023\t61\n100024\t50\n")
    tables = ParticipantTables(root, {"100023", "100024"})
    ages = {
        (scan.participant, scan.instance): tables.of(scan).age_years
        for scan in _list(root, kind="nako")
    }
    assert ages == {("100023", "30"): None, ("100023", "31"): None, ("100024", "1"): 50}


def test_participants_without_a_scan_are_counted(tmp_path: Path) -> None:
    root = _touch(tmp_path / "bids", "1_T1w.nii.gz", "3_T1w.nii.gz")
    (root / "participants.tsv").write_text(_PARTICIPANTS)
    summary = list_scans.run(kind="bids", cohort="c", root=root, scans=tmp_path / "scans")
    assert dict(summary.found)["participants of participants.tsv without a scan"] == 2
    (root / "participants.tsv").write_bytes(b"\xff\x00")
    again = list_scans.run(kind="bids", cohort="c", root=root, scans=tmp_path / "scans")
    assert (again.n_known, dict(again.found)) == (2, {"t1: t1": 2})


def test_a_sidecar_says_covariates_in_memory_only(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(
        '{"PatientSex": "F", "PatientAge": "061Y", "PatientBirthDate": "19550101",'
        ' "AcquisitionDateTime": "2016-05-03T10:15:00"}'
    )
    read = read_sidecar(tmp_path / "a.nii.gz")
    assert read is not None
    covariates = read.covariates
    assert (covariates.sex, covariates.age_years, covariates.acq_month) == ("female", 61, "2016-05")
    assert "1955" not in str(read)

"""Cohorts as they are delivered: what listing makes of names that are odd.

Source: ds004332 (several contrast phases of a visit), BIDS 1.10, TPTBox (`sequ-`, `vibe/`),
what mounts and downloads do to folders.
"""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from organome.domain.flags import Flag
from organome.domain.outcomes import Outcome, Reason
from organome.domain.scans import CohortKind, Contrast, Scan, Stations
from organome.io.images.sidecars import read_sidecar
from organome.io.tables.scan_lists import listed_shards, read_shard
from organome.steps.listing import list_scans
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
) -> list[Scan]:
    scans = root.parent / "scans"
    list_scans.run(
        kind=kind, cohort="c", root=root, scans=scans, protocols=protocols, stations=stations
    )
    return [scan for _, path in listed_shards(scans) for scan in read_shard(path)]


def _prepare(root: Path, kind: CohortKind = "bids") -> tuple[Outcome, ...]:
    return prepare_images.run(
        shard=root.parent / "scans" / "0000.parquet",
        output=root.parent / "prepared",
        work=root.parent / "work",
        kind=kind,
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
    "C-21",
    make="`sequ-5_T2w` and `sequ-11_T2w`, no stations",
    source="TPTBox, BIDS-like names",
    outcome="two scans: arrays `1-5` and `1-11`",
)
def test_repeats_without_stations_are_scans(tmp_path: Path) -> None:
    root = _touch(tmp_path / "bids", "1_sequ-5_T2w.nii.gz", "1_sequ-11_T2w.nii.gz")
    assert {scan.array for scan in _list(root, "t2")} == {"1-5", "1-11"}


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.odd_input(
    "C-22",
    make="chunks counted from 0; one visit without its last chunk, one without its first",
    source="BIDS 1.10: a chunk is a nonnegative integer",
    outcome="stations from 1 on; what is there is measured, flag `stations_missing`",
)
def test_an_end_station_may_lack_in_bids(tmp_path: Path, first: int) -> None:
    names = [
        f"{person}_chunk-{chunk + first}_part-water_vibe.nii.gz"
        for person in (1, 2, 3, 4)
        for chunk in range(4)
        if (person, chunk) not in [(3, 3), (4, 0)]
    ]
    scans = _list(_touch(tmp_path / "bids", *names), "dixon")
    assert [one.station for one in scans[0].sources] == [1, 2, 3, 4]
    missing = (Flag.STATIONS_MISSING,)
    assert [one.station for one in scans[3].sources] == [2, 3, 4]
    assert [scan.flags for scan in scans] == [(), (), missing, missing]


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
    summary = list_scans.run(kind="bids", cohort="c", root=root, scans=tmp_path / "scans")
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

"""NAKO as delivered: zipped DICOM, an archive for each sequence.

Source: TPTBox's converter for NAKO, public scripts for its zipped series.
"""

from pathlib import Path, PurePath
from zipfile import ZipFile

import pytest

from doubles.odd_dicom import Files, series, stored_values
from organome.cohorts.nako import parse_archive
from organome.domain.flags import Flag
from organome.domain.outcomes import Outcome, Reason
from organome.domain.scans import Scan, Stations
from organome.io.tables.scan_lists import listed_shards, read_shard
from organome.steps.listing import list_scans
from organome.steps.prepare import prepare_images

PARTS = ("F", "W", "in", "opp")
SLICES, SHARED = 12, 2


def _station(number: int, part: str, *, name: str = "3D_GRE_TRA") -> Files:
    uid = f"1.2.{number}.{PARTS.index(part)}"
    return series(
        stored_values(SLICES, seed=10 * number + PARTS.index(part), high=900),
        first=(4 - number) * (SLICES - SHARED),
        prefix=f"{number}_{part}_",
        modality="MR",
        SeriesInstanceUID=uid,
        SOPInstanceUID=lambda index: f"{uid}.{index}",
        SeriesDescription=f"{name}_{part}",
        SeriesNumber=10 * number + PARTS.index(part),
        ProtocolName=f"NAKO_3D_GRE_TRA_{number}",
    )


def _zip(path: Path, *of_series: Files) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with ZipFile(path, "w") as archive:
        for files in of_series:
            for name, content in files.items():
                archive.writestr(f"dicom/{name}", content)


def _deliver(root: Path, *, numbers: tuple[int, ...] = (1, 2, 3, 4)) -> Path:
    for part in PARTS:
        stations = [_station(number, part) for number in numbers]
        _zip(root / f"3D_GRE_TRA_{part}" / "100023_30.zip", *stations)
    return root


def _run(
    root: Path, stations: Stations = Stations.STITCH
) -> tuple[list[Scan], tuple[Outcome, ...]]:
    lists = root.parent / "scans"
    list_scans.run(
        kind="nako",
        cohort="nako",
        root=root,
        scans=lists,
        protocols=["dixon", "haste"],
        stations=stations,
    )
    outcomes = prepare_images.run(
        shard=lists / "0000.parquet",
        output=root.parent / "prepared",
        work=root.parent / "work",
        kind="nako",
        stations=stations,
        max_same_reason_share=1.0,
    )
    return [scan for _, path in listed_shards(lists) for scan in read_shard(path)], outcomes


@pytest.mark.parametrize(
    ("name", "protocol", "contrast"),
    [
        ("3D_GRE_TRA_W/100023_30.zip", "dixon", "water"),
        ("MRT/3D_GRE_TRA_bh_F/100023.ZIP", "dixon", "fat"),
        ("100023/100023_30_3D_GRE_TRA_opp.zip", "dixon", "opposed_phase"),
        ("3D_GRE_TRA_in/100023_30_001.zip", "dixon", "in_phase"),
        ("3D_GRE_TRA_W_COMPOSED/100023_30.zip", "dixon_composed", "water"),
        ("T2_HASTE_TRA_COMPOSED/100023_30.zip", "haste", "t2"),
        ("100023_30.zip", "dixon", None),
        ("ME_vibe_fp/100023_30.zip", None, None),
        ("3D_GRE_TRA_X/100023_30.zip", None, None),
        ("3D_GRE_TRA_W/1000234_30.zip", None, None),
        ("3D_GRE_TRA_W/notes.zip", None, None),
        ("3D_GRE_TRA_W/100023_30.tar", None, None),
    ],
)
@pytest.mark.odd_input(
    "C-57",
    make="archives by sequence: `3D_GRE_TRA_W/100023_30.zip`, `_COMPOSED`, `T2_HASTE`, others",
    source="public scripts for NAKO's zipped series",
    outcome="protocols `dixon`, `dixon_composed`, `haste`; other sequences are left out",
)
def test_archives_are_known_by_their_sequence(
    name: str, protocol: str | None, contrast: str | None
) -> None:
    image = parse_archive(PurePath("/nako") / name, root=PurePath("/nako"))
    assert (image and image.protocol) == protocol
    if image is not None:
        assert image.contrast == contrast
        assert (image.participant, image.instance) == ("100023", "30" if "_30" in name else "1")


@pytest.mark.odd_input(
    "C-58",
    make="four stations of DICOM in an archive for each contrast, a composed series among them",
    source="TPTBox, NAKO converter; own",
    outcome="one scan of four stations; the composed series is not a station",
)
def test_stations_in_archives_are_one_scan(tmp_path: Path) -> None:
    root = _deliver(tmp_path / "nako")
    composed = series(
        stored_values(30, high=900),
        modality="MR",
        SeriesInstanceUID="1.9",
        SOPInstanceUID=lambda index: f"1.9.{index}",
        SeriesDescription="3D_GRE_TRA_W_COMPOSED",
        ImageType=["DERIVED", "PRIMARY", "W", "COMPOSED"],
    )
    waters = [_station(number, "W") for number in (1, 2, 3, 4)]
    _zip(root / "3D_GRE_TRA_W" / "100023_30.zip", *waters, composed)
    (scan,), (outcome,) = _run(root)
    assert (scan.participant, scan.instance, len(scan.sources)) == ("100023", "30", 4)
    assert outcome.reason is None, outcome.fact
    assert outcome.facts["n_stations"] == 4
    assert outcome.facts["contrasts"] == ["in_phase", "opposed_phase", "fat", "water"]
    assert outcome.facts["size_xyz"][2] == 4 * SLICES - 3 * SHARED  # type: ignore[index, call-overload]
    assert Flag.STATIONS_MISSING not in outcome.facts["flags"]  # type: ignore[operator]


@pytest.mark.parametrize(
    ("numbers", "reason"), [((1, 2, 3), None), ((1, 2, 4), Reason.STATION_MISSING)]
)
@pytest.mark.odd_input(
    "C-59",
    make="NAKO's archives without the last or the third station; that of in-phase is damaged",
    source="own",
    outcome="an end may lack (`stations_missing`), one within not; in-phase alone is left out",
)
def test_what_lacks_in_archives(
    tmp_path: Path, numbers: tuple[int, ...], reason: Reason | None
) -> None:
    root = _deliver(tmp_path / "nako", numbers=numbers)
    (root / "3D_GRE_TRA_in" / "100023_30.zip").write_bytes(b"PK no archive")
    _, (outcome,) = _run(root)
    assert outcome.reason is reason, outcome.fact
    if reason is None:
        assert outcome.facts["contrasts"] == ["opposed_phase", "fat", "water"]
        flags = {Flag.STATIONS_MISSING, Flag.CONTRAST_LEFT_OUT}
        assert flags <= set(outcome.facts["flags"])  # type: ignore[arg-type]


@pytest.mark.parametrize(("part", "reason"), [("opp", None), ("W", Reason.FILE_BROKEN)])
@pytest.mark.odd_input(
    "C-85",
    make="one broken file in the archive of NAKO's opposed-phase images, or of water",
    source="own",
    outcome="opposed-phase alone is left out, `contrast_left_out`; of water `file_broken`",
)
def test_a_broken_file_in_the_archive_of_one_contrast(
    tmp_path: Path, part: str, reason: Reason | None
) -> None:
    root = _deliver(tmp_path / "nako")
    broken = {"broken.dcm": bytes(200)}
    stations = [_station(number, part) for number in (1, 2, 3, 4)]
    _zip(root / f"3D_GRE_TRA_{part}" / "100023_30.zip", *stations, broken)
    _, (outcome,) = _run(root)
    assert outcome.reason is reason, outcome.fact
    if reason is None:
        assert outcome.facts["contrasts"] == ["in_phase", "fat", "water"]
        assert outcome.facts["flags"] == [Flag.CONTRAST_LEFT_OUT]


def test_a_series_in_two_archives_counts_once(tmp_path: Path) -> None:
    root = _deliver(tmp_path / "nako")
    stations = [_station(number, part) for number in (1, 2, 3, 4) for part in ("in", "W")]
    _zip(root / "3D_GRE_TRA_in" / "100023_30.zip", *stations)
    _, (outcome,) = _run(root)
    assert outcome.reason is None, outcome.fact
    assert outcome.facts["flags"] == [Flag.FILES_REPEATED]


def test_stations_of_archives_may_be_kept(tmp_path: Path) -> None:
    root = _deliver(tmp_path / "nako")
    scans, outcomes = _run(root, Stations.SEPARATE)
    assert [scan.station for scan in scans] == [1, 2, 3, 4]
    assert [one.reason for one in outcomes] == [None] * 4


def test_haste_of_an_archive(tmp_path: Path) -> None:
    root = tmp_path / "nako"
    haste = series(stored_values(12, high=900), modality="MR", SeriesDescription="T2_HASTE")
    _zip(root / "T2_HASTE_COMPOSED" / "100023_30.zip", haste)
    (scan,), (outcome,) = _run(root)
    assert (scan.protocol, outcome.reason) == ("haste", None), outcome.fact
    assert outcome.facts["contrasts"] == ["t2"]

"""Slices of several echoes as they may be delivered, and what becomes of them.

Source: what public code says of UK Biobank's fields 20203, 20254 and 20260 (ml4h, recoh), names of
Siemens for magnitude and phase images. No file of UK Biobank was at hand.
"""

import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from doubles.dicom_files import encode_slice
from organome.compute.dixon.multi_echo import fat_signal
from organome.compute.dixon.slice_measures import SliceMaps, SliceMeasure, measure_on_slices
from organome.domain.contrasts import PDFF_MAPS, pdff_map_name
from organome.domain.scans import Scan, Source, Stations
from organome.io.images.image_files import read_published_slice
from organome.io.tables.scan_lists import listed_shards, read_shard
from organome.steps.listing import list_scans
from organome.steps.prepare.slices import write_slices

SIZE = 24
GRE_MS = tuple(round(2.38 * number, 2) for number in range(1, 11))
IDEAL_MS = (1.2, 3.2, 5.2, 7.2, 9.2, 11.2)
PDFF_PCT, R2STAR_PER_S, LIVER = 12.0, 40.0, 5


def echo(
    time_ms: float,
    number: int,
    *,
    z_mm: float = 0.0,
    kind: str = "M",
    series: str = "1.2.3",
    pdff_pct: float = PDFF_PCT,
    **elements: Any,
) -> bytes:
    """One magnitude of a slice that is one tissue, with a little noise."""
    share = pdff_pct / 100
    size = abs(1 - share + share * fat_signal([time_ms], 1.5)[0])
    counts = 1000 * size * np.exp(-R2STAR_PER_S * time_ms / 1e3)
    noise = np.random.default_rng(number).normal(0, 5, (SIZE, SIZE))
    uid = f"{series}.{number}.{round(1000 * (z_mm + 500))}.{kind == 'M':d}"
    facts: dict[str, Any] = {
        "SOPInstanceUID": uid,
        "SeriesInstanceUID": series + ("" if kind == "M" else ".9"),
        "SeriesNumber": 1,
        "InstanceNumber": number,
        "ImageType": ["ORIGINAL", "PRIMARY", kind, "ND"],
        "EchoTime": time_ms,
        "EchoNumbers": number,
        "RepetitionTime": 14.0,
        "FlipAngle": 5.0,
        "MagneticFieldStrength": 1.5,
        "FrameOfReferenceUID": "1.2.7",
        "SliceThickness": 10.0,
        "PixelSpacing": [4.0, 4.0],
        "ImagePositionPatient": [0.0, 0.0, z_mm],
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
    } | elements
    voxels_yx = np.rint(counts + noise).astype(np.uint16)
    return encode_slice(voxels_yx, syntax="1.2.840.10008.1.2.1", **facts)


def echoes(times_ms: Sequence[float], **options: Any) -> list[bytes]:
    return [echo(time_ms, number, **options) for number, time_ms in enumerate(times_ms, start=1)]


def pack(folder: Path, files: Iterable[bytes], *, field: int = 20254, array: int = 0) -> str:
    path = folder / f"1000004_{field}_2_{array}.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number, content in enumerate(files):
            archive.writestr(f"{number}.dcm", content)
    return str(path)


def read(folder: Path, *paths: str, frame_uid: str = "1.2.7") -> dict[str, Any]:
    scan = Scan("0000-0000", "c", "1000004", "2", "0", "dixon", tuple(map(Source, paths)))
    return write_slices(
        scan,
        frame_uid=frame_uid,
        place=lambda name: folder / f"0000-0000_{name}",
        check_root=lambda: None,
    )


def measured(
    folder: Path, *, view: str = "liver", n_slices: int = 1, bottom_mm: float = -40.0
) -> SliceMeasure:
    """Measure a liver that fills a Dixon image of 80 mm, with a grid of its own."""
    labelmap = sitk.GetImageFromArray(np.full((20, 30, 30), LIVER, np.uint8))
    labelmap.SetSpacing((5.0, 5.0, 4.0))
    labelmap.SetOrigin((-20.0, -20.0, bottom_mm))
    slices = [
        SliceMaps(
            *(
                read_published_slice(
                    folder / f"0000-0000_{pdff_map_name(view, number, which)}.nii.gz",
                )
                for which in PDFF_MAPS
            )
        )
        for number in range(1, n_slices + 1)
    ]
    return measure_on_slices(labelmap, slices, [LIVER])[LIVER]


def assert_is_planted(measure: SliceMeasure, n_voxels: int = SIZE**2) -> None:
    assert (measure.n_voxels, measure.reason) == (n_voxels, None)
    assert measure.median_pct == pytest.approx(PDFF_PCT, abs=0.5)
    assert measure.mean_pct == pytest.approx(PDFF_PCT, abs=0.5)
    assert measure.r2star_median_per_s == pytest.approx(R2STAR_PER_S, abs=2)


def failure(folder: Path, files: Iterable[bytes]) -> tuple[str, str]:
    facts = read(folder, pack(folder, files))
    assert not list(folder.glob("*.nii.gz"))
    return facts["pdff_liver_na_reason"], facts["pdff_liver_fact"]


@pytest.mark.parametrize(("field", "times_ms"), [(20203, GRE_MS), (20254, IDEAL_MS)])
def test_echoes_become_a_fat_fraction(
    tmp_path: Path, field: int, times_ms: Sequence[float]
) -> None:
    facts = read(tmp_path, pack(tmp_path, echoes(times_ms), field=field))
    protocol = {20203: "pdff_liver", 20254: "pdff_liver_ideal"}[field]
    assert facts == {
        "pdff_liver_protocol": protocol,
        "pdff_liver_n_slices": 1,
        "pdff_liver_n_echoes": len(times_ms),
        "pdff_liver_flags": [],
    }
    assert_is_planted(measured(tmp_path))


@pytest.mark.odd_input(
    "V-81",
    make="ten echoes without the fourth; its number lacks",
    source="own",
    outcome="fitted on the nine others, `echoes_missing`",
)
def test_a_missing_echo_is_flagged(tmp_path: Path) -> None:
    files = echoes(GRE_MS)
    del files[3]
    facts = read(tmp_path, pack(tmp_path, files))
    assert (facts["pdff_liver_n_echoes"], facts["pdff_liver_flags"]) == (9, ["echoes_missing"])
    assert_is_planted(measured(tmp_path))


@pytest.mark.parametrize(
    ("times_ms", "fact"),
    [
        ((2.38, 4.76), "2 echoes, 3 are needed"),
        ((4.6, 9.2, 13.8), "3 echoes at times that hardly tell fat from water"),
    ],
)
@pytest.mark.odd_input(
    "V-82",
    make="two echoes; three echoes that are all in phase",
    source="Bydder et al. 2008",
    outcome="no fat fraction, `echoes_unsuitable`; the Dixon scan goes through",
)
def test_echoes_that_do_not_tell_fat_from_water_are_refused(
    tmp_path: Path, times_ms: Sequence[float], fact: str
) -> None:
    assert failure(tmp_path, echoes(times_ms)) == ("echoes_unsuitable", fact)


@pytest.mark.odd_input(
    "V-83",
    make="six echoes, each 3 mm above the one before",
    source="own",
    outcome="no fat fraction, `grids_differ`",
)
def test_echoes_at_different_positions_are_refused(tmp_path: Path) -> None:
    files = [echo(one, number, z_mm=3.0 * number) for number, one in enumerate(IDEAL_MS, start=1)]
    reason, fact = failure(tmp_path, files)
    assert (reason, fact) == ("grids_differ", "echoes at 6 positions, one at each")


@pytest.mark.odd_input(
    "V-84",
    make="phase images only; phase images beside the magnitudes",
    source="recoh pipeline, `LMS IDEAL` magnitude and phase",
    outcome="`contrast_missing`; beside magnitudes left out, `extra_series`",
)
def test_phase_images_are_not_magnitudes(tmp_path: Path) -> None:
    phases = echoes(IDEAL_MS, kind="P")
    reason, fact = failure(tmp_path, phases)
    assert (reason, fact) == ("contrast_missing", "none of 6 images is a magnitude of an echo")
    facts = read(tmp_path, pack(tmp_path, [*phases, *echoes(IDEAL_MS)]))
    assert facts["pdff_liver_flags"] == ["extra_series"]
    assert_is_planted(measured(tmp_path))


@pytest.mark.odd_input(
    "V-90",
    make="two series of six echoes, image types without a mark of magnitude or phase",
    source="archives made anonymous without ImageType",
    outcome="no fat fraction, `several_series`: one of them may be the phase",
)
def test_series_without_marks_are_not_guessed(tmp_path: Path) -> None:
    plain = echoes(IDEAL_MS, ImageType=["ORIGINAL", "PRIMARY"])
    others = echoes(IDEAL_MS, ImageType=["ORIGINAL", "PRIMARY"], series="1.2.4")
    assert failure(tmp_path, [*plain, *others])[0] == "several_series"
    again = echoes(IDEAL_MS, ImageType=["ORIGINAL", "PRIMARY"], AcquisitionNumber=2)
    assert failure(tmp_path, [*plain, *again])[0] == "several_series"
    read(tmp_path, pack(tmp_path, plain))
    assert_is_planted(measured(tmp_path))


@pytest.mark.odd_input(
    "V-91",
    make="three echoes at each of twenty positions; one slice of 800 x 800 pixels",
    source="own",
    outcome="`several_series`, `geometry_implausible`: the time of a fit is bounded",
)
def test_what_is_no_slice_is_not_fitted(tmp_path: Path) -> None:
    volume = [one for z in range(20) for one in echoes(IDEAL_MS[:3], z_mm=5.0 * z)]
    assert failure(tmp_path, volume)[0] == "several_series"
    many = [one for z in range(201) for one in echoes(IDEAL_MS[:3], z_mm=1.0 * z)]
    assert failure(tmp_path, many)[1].startswith("603 images")
    large = [
        encode_slice(
            np.full((800, 800), 100, np.uint16),
            syntax="1.2.840.10008.1.2.1",
            SOPInstanceUID=f"1.2.{number}",
            SeriesInstanceUID="1.2",
            ImageType=["ORIGINAL", "PRIMARY", "M"],
            EchoTime=time_ms,
            MagneticFieldStrength=1.5,
            PixelSpacing=[1.0, 1.0],
            ImagePositionPatient=[0, 0, 0],
            ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
        )
        for number, time_ms in enumerate(IDEAL_MS, start=1)
    ]
    assert failure(tmp_path, large)[0] == "geometry_implausible"


@pytest.mark.odd_input(
    "V-85",
    make="ten echoes, one of which is there twice, its echo time rounded in the second file",
    source="own",
    outcome="ten echoes, the last instance counts, `duplicate_slices`",
)
def test_an_echo_time_that_is_rounded_is_no_further_echo(tmp_path: Path) -> None:
    files = [*echoes(GRE_MS), echo(9.52, 14, EchoTime=9.5, EchoNumbers=4, InstanceNumber=14)]
    facts = read(tmp_path, pack(tmp_path, files))
    assert (facts["pdff_liver_n_echoes"], facts["pdff_liver_flags"]) == (10, ["duplicate_slices"])
    assert_is_planted(measured(tmp_path))


@pytest.mark.odd_input(
    "V-86",
    make="six echoes at each of two positions; at the second, three of them only",
    source="ml4h: 36 images in an archive of field 20254",
    outcome="both slices measured together; a slice with fewer echoes left out, `volumes_left_out`",
)
def test_two_slices_are_measured_together(tmp_path: Path) -> None:
    upper = echoes(IDEAL_MS, z_mm=15.0)
    facts = read(tmp_path, pack(tmp_path, [*echoes(IDEAL_MS), *upper]))
    assert (facts["pdff_liver_n_slices"], facts["pdff_liver_flags"]) == (2, [])
    assert_is_planted(measured(tmp_path, n_slices=2), n_voxels=2 * SIZE**2)
    facts = read(tmp_path, pack(tmp_path, [*echoes(IDEAL_MS), *upper[:3]]))
    assert (facts["pdff_liver_n_slices"], facts["pdff_liver_flags"]) == (1, ["volumes_left_out"])


@pytest.mark.odd_input(
    "V-87",
    make="a slice above the Dixon image; a slice of another frame of reference",
    source="own",
    outcome="no number, `outside_labelmap`; flag `frame_differs`",
)
def test_a_slice_beside_the_dixon_image_has_no_number(tmp_path: Path) -> None:
    facts = read(tmp_path, pack(tmp_path, echoes(IDEAL_MS)), frame_uid="1.2.8")
    assert facts["pdff_liver_flags"] == ["frame_differs"]
    measure = measured(tmp_path, bottom_mm=30.0)
    assert (measure.reason, measure.median_pct) == ("outside_labelmap", None)


@pytest.mark.odd_input(
    "V-88",
    make="an organ of 80 % fat on magnitudes alone",
    source="Bydder et al. 2008: magnitudes do not tell 80 % from 34 % and faster decay",
    outcome="no number, `mostly_fat`",
)
def test_more_than_half_fat_is_no_number(tmp_path: Path) -> None:
    read(tmp_path, pack(tmp_path, echoes(IDEAL_MS, pdff_pct=80.0)))
    measure = measured(tmp_path)
    assert (measure.reason, measure.median_pct) == ("mostly_fat", None)


@pytest.mark.odd_input(
    "V-89",
    make="several echoes at 20 degrees and 27 ms; without a flip angle",
    source="T1 of liver and fat, de Bazelaire et al. 2004",
    outcome="`pdff_t1_weighted`: too high by a quarter, not corrected",
)
def test_fat_that_is_bright_by_its_t1_is_flagged(tmp_path: Path) -> None:
    for elements in ({"FlipAngle": 20.0, "RepetitionTime": 27.0}, {"FlipAngle": None}):
        facts = read(tmp_path, pack(tmp_path, echoes(GRE_MS, **elements)))
        assert facts["pdff_liver_flags"] == ["pdff_t1_weighted"]


@pytest.mark.odd_input(
    "V-181",
    make="several echoes with repetition time and flip angle 0, or a thickness below zero",
    source="own",
    outcome="as where they are absent: `pdff_t1_weighted`; the fat fraction stands",
)
@pytest.mark.parametrize(
    "elements",
    [{"FlipAngle": 0.0, "RepetitionTime": 0.0}, {"FlipAngle": None, "SliceThickness": -5}],
)
def test_what_a_header_has_as_zero_or_below_counts_as_absent(
    tmp_path: Path, elements: dict[str, Any]
) -> None:
    facts = read(tmp_path, pack(tmp_path, echoes(GRE_MS, **elements)))
    assert facts["pdff_liver_flags"] == ["pdff_t1_weighted"]
    assert_is_planted(measured(tmp_path))


@pytest.mark.odd_input(
    "Z-81",
    make="a broken archive of several echoes; an older one that can be read beside it",
    source="own",
    outcome="`pdff_liver_na_reason` says why, or the older one counts; the Dixon scan goes through",
)
def test_an_archive_that_cannot_be_read_gives_way_to_another(tmp_path: Path) -> None:
    broken = tmp_path / "1000004_20254_2_0.zip"
    broken.write_bytes(b"PK")
    facts = read(tmp_path, str(broken))
    assert facts["pdff_liver_protocol"] == "pdff_liver_ideal"
    assert facts["pdff_liver_na_reason"] == "archive_broken"
    assert read(tmp_path, str(tmp_path / "1000004_20260_2_0.zip"))["pdff_pancreas_na_reason"] == (
        "file_missing"
    )
    older = pack(tmp_path, echoes(GRE_MS), field=20203)
    facts = read(tmp_path, str(broken), older)
    assert (facts["pdff_liver_protocol"], facts.get("pdff_liver_na_reason")) == ("pdff_liver", None)


def _archive(root: Path, field: int, *, instance: int = 2, participant: int = 1000004) -> None:
    (root / f"{participant}_{field}_{instance}_0.zip").touch()


def _listed(
    root: Path, *protocols: str, stations: Stations = Stations.STITCH
) -> tuple[list[Scan], dict[str, int]]:
    scans = root.parent / "scans"
    summary = list_scans.run(
        kind="ukb",
        cohort="c",
        root=root,
        scans=scans,
        protocols=protocols,
        stations=stations,
    )
    listed = [scan for _, path in listed_shards(scans) for scan in read_shard(path)]
    return listed, dict(summary.left_out)


@pytest.mark.odd_input(
    "C-81",
    make="archives of several echoes of the same visit, of another visit, and without a Dixon scan",
    source="own",
    outcome="sources of the Dixon scan of their visit only; without one left out and counted",
)
def test_slices_go_with_the_dixon_scan_of_their_visit(tmp_path: Path) -> None:
    root = tmp_path / "ukb"
    root.mkdir()
    _archive(root, 20201)
    _archive(root, 20254)
    _archive(root, 20260)
    _archive(root, 20254, instance=3)
    _archive(root, 20203, participant=1000005)
    (scan,), left_out = _listed(root, "dixon", "pdff")
    assert [Path(one.path).name for one in scan.sources] == [
        "1000004_20201_2_0.zip",
        "1000004_20254_2_0.zip",
        "1000004_20260_2_0.zip",
    ]
    assert left_out == {
        "scans of pdff_liver without a Dixon scan of the visit": 1,
        "scans of pdff_liver_ideal without a Dixon scan of the visit": 1,
    }


def test_slices_that_nobody_asked_for_are_left_out_and_counted(tmp_path: Path) -> None:
    root = tmp_path / "ukb"
    root.mkdir()
    _archive(root, 20201)
    _archive(root, 20254)
    (scan,), left_out = _listed(root, "dixon")
    assert len(scan.sources) == 1
    assert left_out == {"scans of pdff_liver_ideal": 1}
    (scan,), _ = _listed(root, "dixon", "pdff_liver_ideal")  # asked for later
    assert len(scan.sources) == 2


def test_every_station_that_is_a_scan_of_its_own_has_the_slices(tmp_path: Path) -> None:
    root = tmp_path / "ukb"
    root.mkdir()
    _archive(root, 20201)
    _archive(root, 20254)
    scans, _ = _listed(root, "dixon", "pdff", stations=Stations.SEPARATE)
    assert [(one.station, len(one.sources)) for one in scans] == [(n, 2) for n in range(1, 7)]

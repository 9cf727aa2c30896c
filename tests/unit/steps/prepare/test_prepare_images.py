"""prepare_images, from deliveries of every kind to published images."""

import errno
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from doubles.odd_dicom import series
from organome.domain.errors import ScanError, SetupError
from organome.domain.flags import Flag
from organome.domain.outcomes import Outcome, Reason, Status
from organome.domain.scans import DIXON_CONTRASTS, Contrast, Scan, Source, Stations
from organome.io.files.delivered import refusing
from organome.io.tables.ledgers import LEDGER, read_ledger
from organome.io.tables.parquet import read_table
from organome.io.tables.scan_lists import write_shard
from organome.shards.faults import machine_fault
from organome.steps.prepare import deliveries, prepare_images

Files = dict[str, bytes]
MakeFiles = Callable[..., Files]
Pack = Callable[[Path, Mapping[str, bytes]], Path]
WATER, FAT, CT = Contrast.WATER, Contrast.FAT, Contrast.CT


def _scan(*sources: Source, station: int | None = None, key: str = "0000-0000") -> Scan:
    return Scan(key, "c", "1000004", "2", "0", "dixon", sources, station)


def _run(folder: Path, *scans: Scan, kind: str = "folder", **options: Any) -> tuple[Outcome, ...]:
    write_shard(folder / "scans" / "0000.parquet", scans)
    return prepare_images.run(
        shard=folder / "scans" / "0000.parquet",
        output=folder / "results" / "0000",
        work=folder / "work" / "0000",
        kind=kind,  # type: ignore[arg-type]
        **options,
    )


def _published(folder: Path, name: str) -> sitk.Image:
    return sitk.ReadImage(str(folder / "results" / "0000" / name))


def _failure(folder: Path, *sources: Source, **options: Any) -> tuple[Reason | None, str | None]:
    (outcome,) = _run(folder, _scan(*sources), **options)
    assert outcome.status is Status.FAILED
    assert not list((folder / "results" / "0000").glob("*.nii.gz"))
    return outcome.reason, outcome.fact


def _image_file(path: Path, *, seed: int = 0, code: str = "LPS") -> Path:
    voxels = np.random.default_rng(seed).integers(-1000, 1000, (9, 10, 11)).astype(np.int16)
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing((2.0, 3.0, 4.0))
    image.SetOrigin((-5.0, 6.0, 70.0))
    sitk.WriteImage(sitk.DICOMOrient(image, code), str(path))
    return path


def test_archive_becomes_one_image_per_contrast(
    tmp_path: Path, make_ukb: MakeFiles, pack: Pack
) -> None:
    archive = pack(tmp_path / "a.zip", make_ukb(gains=(1, 1, 0.8, 1, 1.25, 1)))
    (outcome,) = _run(tmp_path, _scan(Source(str(archive))), kind="ukb")
    assert outcome.status is Status.DONE
    facts = outcome.facts
    assert facts["contrasts"] == list(DIXON_CONTRASTS)
    assert facts["size_xyz"] == [16, 12, 52]
    assert facts["spacing_xyz_mm"] == [4.0, 4.0, 5.0]
    assert facts["orientation"] == "LPS"
    assert facts["n_stations"] == 6
    assert facts["seam_gains"] == pytest.approx([1, 1.25, 0.8, 0.8, 1.25], abs=1e-4)
    assert facts["seam_overlaps_mm"] == [20.0] * 5
    assert facts["station_spans_mm"][0] == [-2.5, 57.5]
    assert facts["flags"] == []
    assert (facts["manufacturer"], facts["scanner_model"]) == ("SIEMENS", "Aera")
    assert (facts["field_strength_t"], facts["height_m"], facts["weight_kg"]) == (1.5, 1.71, 68.5)
    fat, water = (
        sitk.GetArrayFromImage(_published(tmp_path, f"0000-0000_{name}.nii.gz"))[..., 3:]
        for name in ("fat", "water")
    )
    np.testing.assert_allclose(fat / (fat + water), 0.25, atol=1e-3)


def test_only_images_that_are_read_are_written(
    tmp_path: Path, make_ukb: MakeFiles, pack: Pack
) -> None:
    archive = pack(tmp_path / "a.zip", make_ukb(gains=(1, 1, 0.8, 1, 1.25, 1)))
    scan = _scan(Source(str(archive)))
    (whole,) = _run(tmp_path / "all", scan, kind="ukb")
    readers = {"labelled": (Contrast.WATER, Contrast.IN_PHASE)}
    (lean,) = _run(tmp_path / "lean", scan, kind="ukb", **readers)
    assert lean == whole
    written = _contents(tmp_path / "lean")
    assert set(written) == {"0000-0000_fat.nii.gz", "0000-0000_water.nii.gz"}
    assert written.items() <= _contents(tmp_path / "all").items()
    # Another step reads more of them now: the scan is done once more, and nothing else changes.
    (again,) = _run(tmp_path / "lean", scan, kind="ukb", measured=[Contrast.IN_PHASE], **readers)
    assert again == whole
    assert set(_contents(tmp_path / "lean")) == {*written, "0000-0000_in_phase.nii.gz"}


def _contents(folder: Path) -> dict[str, bytes]:
    return {one.name: one.read_bytes() for one in (folder / "results" / "0000").glob("*.nii.gz")}


@pytest.mark.parametrize(
    ("available", "labelled", "is_swapped", "wanted"),
    [
        ("in_phase opposed_phase fat water", "", False, "in_phase opposed_phase fat water"),
        ("in_phase opposed_phase fat water", "water in_phase", False, "fat water"),
        ("in_phase opposed_phase fat water", "water in_phase", True, "in_phase fat water"),
        ("in_phase opposed_phase", "water in_phase", False, "in_phase"),
        ("ct t2", "water t2 ct", False, "ct t2"),  # a label scheme may be for CT only
        ("t1", "water", False, "t1"),  # a scan of one image is labelled whatever it is
        ("t1 t2", "water", False, "t1 t2"),  # none is read; its row will say so
    ],
)
def test_images_that_are_read(available: str, labelled: str, is_swapped: bool, wanted: str) -> None:
    readers = prepare_images.Readers(tuple(map(Contrast, labelled.split())))
    found = readers.wanted([*map(Contrast, available.split())], is_swapped=is_swapped)
    assert found == set(map(Contrast, wanted.split()))


def test_nothing_published_names_the_participant(
    tmp_path: Path, make_ukb: MakeFiles, pack: Pack, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    archive = pack(tmp_path / "1000004_20201_2_0.zip", make_ukb())
    _run(tmp_path, _scan(Source(str(archive))), kind="ukb")
    texts = [caplog.text, str(read_ledger(tmp_path / "results" / "0000" / LEDGER))]
    texts.append(str(read_table(tmp_path / "results" / "0000" / "headers.parquet").to_pylist()))
    for secret in ("1000004", "SECRET", "20200101"):
        assert not any(secret in text for text in texts)


def test_a_kept_station_keeps_its_voxels(tmp_path: Path, make_ukb: MakeFiles, pack: Pack) -> None:
    archive = pack(tmp_path / "a.zip", make_ukb(stations=[0, 1, 2, 4, 5]))
    scans = [
        _scan(Source(str(archive)), station=station, key=f"0000-000{station}")
        for station in range(1, 7)
    ]
    outcomes = _run(tmp_path, *scans, kind="ukb", stations=Stations.SEPARATE)
    assert [outcome.reason for outcome in outcomes] == [
        None,
        None,
        None,
        Reason.STATION_MISSING,
        None,
        None,
    ]
    image = _published(tmp_path, "0000-0005_in_phase.nii.gz")
    assert image.GetSize() == (16, 12, 12)
    assert image.GetPixelID() == sitk.sitkUInt16
    assert image.GetOrigin()[2] == -160.0


def test_manifest_and_repeats_are_flagged(tmp_path: Path, make_ukb: MakeFiles, pack: Pack) -> None:
    files = make_ukb()
    repeat = make_ukb(stations=[2], offset=16)
    archive = pack(tmp_path / "a.zip", files | repeat | {"manifest.cvs": b"filename\n1.dcm,x"})
    (outcome,) = _run(tmp_path, _scan(Source(str(archive))), kind="ukb")
    assert outcome.facts["flags"] == ["duplicate_station", "manifest_differs"]


def test_only_wanted_contrasts_must_be_there(
    tmp_path: Path, make_ukb: MakeFiles, pack: Pack
) -> None:
    files = {name: content for name, content in make_ukb().items() if not name.startswith("1.2.7.")}
    archive = pack(tmp_path / "a.zip", files)
    source = Source(str(archive))
    (outcome,) = _run(tmp_path, _scan(source), kind="ukb", contrasts=[WATER, CT])
    assert outcome.facts["contrasts"] == ["water"]
    assert _failure(tmp_path, source, kind="ukb")[0] is Reason.CONTRAST_MISSING
    assert _failure(tmp_path, source, kind="ukb", contrasts=[CT])[0] is Reason.CONTRAST_MISSING


@pytest.mark.parametrize(
    ("lost", "reason"),
    [("1.2.12.6", Reason.SLICES_MISSING), ("1.2.", Reason.ARCHIVE_EMPTY)],
)
def test_broken_deliveries_are_rows_with_a_reason(
    tmp_path: Path, make_ukb: MakeFiles, pack: Pack, lost: str, reason: Reason
) -> None:
    files = {name: content for name, content in make_ukb().items() if not name.startswith(lost)}
    archive = pack(tmp_path / "a.zip", files | {"manifest.csv": b""})
    assert _failure(tmp_path, Source(str(archive)), kind="ukb")[0] is reason


def test_missing_and_broken_archives(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"PK")
    assert _failure(tmp_path, Source(str(tmp_path / "a.zip")), kind="ukb")[0] is (
        Reason.ARCHIVE_BROKEN
    )
    gone = _failure(tmp_path, Source(str(tmp_path / "1000004.zip")), kind="ukb")
    assert gone == (Reason.FILE_MISSING, "no file where the list says")


def test_constant_series_is_named_by_its_contrast(
    tmp_path: Path, make_ukb: MakeFiles, make_dicom: MakeFiles, pack: Pack
) -> None:
    files = make_ukb()
    files |= make_dicom(
        np.zeros((12, 12, 16), np.uint16),
        number=8,
        first_xyz_mm=(0.0, 0.0, -40.0),
        SeriesDescription="Dixon_W",
        SeriesTime="1200",
    )
    archive = pack(tmp_path / "a.zip", files)
    reason, fact = _failure(tmp_path, Source(str(archive)), kind="ukb")
    assert (reason, fact) == (Reason.CONSTANT_IMAGE, "water: all voxels are 0")


def _without_voxels(content: bytes) -> bytes:
    """Cut the end off the voxels of a slice, as its header says nothing of."""
    dataset = pydicom.dcmread(BytesIO(content))
    dataset.PixelData = dataset.PixelData[:100]
    written = BytesIO()
    dataset.save_as(written)
    return written.getvalue()


@pytest.mark.odd_input(
    "C-82",
    make="a slice of water of the knee, of the neck, or of a station within lacks half its voxels",
    source="own",
    outcome="an end counts as missing (`stations_missing`); within, or all: `file_broken`",
)
@pytest.mark.parametrize(
    ("stations", "n_whole"), [((0,), 5), ((5,), 5), ((0, 4, 5), 3), ((2,), None), (range(6), None)]
)
def test_a_damaged_station_at_an_end_costs_itself(
    tmp_path: Path,
    make_ukb: MakeFiles,
    pack: Pack,
    stations: Sequence[int],
    n_whole: int | None,
) -> None:
    files = make_ukb()
    for station in stations:
        name = f"1.2.{4 * station + 4}.6.dcm"
        files[name] = _without_voxels(files[name])
    scan = _scan(Source(str(pack(tmp_path / "a.zip", files))))
    (outcome,) = _run(tmp_path, scan, kind="ukb")
    if n_whole is None:
        assert outcome.reason is Reason.FILE_BROKEN
    else:
        assert outcome.facts["n_stations"] == n_whole
        assert outcome.facts["contrasts"] == list(DIXON_CONTRASTS)
        assert outcome.facts["flags"] == ["stations_missing"]
        low_mm = min(low for low, _ in outcome.facts["station_spans_mm"])  # type: ignore[union-attr,misc]
        assert low_mm == {(0,): -202.5, (5,): -162.5, (0, 4, 5): -122.5}[tuple(stations)]


@pytest.mark.odd_input(
    "C-83",
    make="image files by station, one contrast each: that of an end, or of one within, is damaged",
    source="own",
    outcome="an end counts as missing (`stations_missing`), whatever the contrast; one that is "
    "gone: `file_missing`",
)
@pytest.mark.parametrize("contrast", [WATER, CT])
@pytest.mark.parametrize(
    ("place", "content", "reason"),
    [
        (2, b"\x1f\x8b nothing", None),
        (1, b"\x1f\x8b nothing", Reason.FILE_BROKEN),
        (2, None, Reason.FILE_MISSING),
    ],
)
def test_a_damaged_station_of_files(
    tmp_path: Path, contrast: Contrast, place: int, content: bytes | None, reason: Reason | None
) -> None:
    sources = []
    for station in range(3):
        path = _image_file(tmp_path / f"{station}.nii.gz", seed=station)
        image = sitk.ReadImage(str(path))
        image.SetOrigin((-5.0, 6.0, 70.0 - 16.0 * station))
        sitk.WriteImage(image, str(path))
        sources.append(Source(str(path), contrast, station + 1))
    damaged = Path(sources[place].path)
    damaged.unlink()
    if content is not None:
        damaged.write_bytes(content)
    (outcome,) = _run(tmp_path, _scan(*sources))
    assert outcome.reason is reason, outcome.fact
    if reason is None:
        assert outcome.facts["n_stations"] == 2
        assert "stations_missing" in outcome.facts["flags"]  # type: ignore[operator]


@pytest.mark.parametrize("contrast", [WATER, Contrast.OPPOSED_PHASE])
def test_a_fault_of_the_disk_costs_no_station_and_no_contrast(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, contrast: Contrast
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        with refusing(Reason.FILE_BROKEN, "it cannot be read"):
            raise OSError(errno.EIO, "Input/output error")

    sources = [
        Source(str(_image_file(tmp_path / "w1.nii.gz")), WATER, 1),
        Source(str(_image_file(tmp_path / "w2.nii.gz", seed=1)), WATER, 2),
        Source(str(_image_file(tmp_path / "bad.nii.gz", seed=2)), contrast, 3),
    ]
    read = deliveries.read_delivered
    monkeypatch.setattr(
        deliveries,
        "read_delivered",
        lambda path, **options: (fail if path.name == "bad.nii.gz" else read)(path, **options),
    )
    with pytest.raises(ScanError) as caught:
        deliveries.Deliveries("folder", tuple(Contrast)).read(_scan(*sources))
    assert machine_fault(caught.value) is not None


@pytest.mark.odd_input(
    "C-86",
    make="an image file of a station at an end that may not be read, or no handle is left for it",
    source="own",
    outcome="`file_broken`: the station is whole, and there again once that is put right",
)
@pytest.mark.parametrize(
    ("error", "is_damage"),
    [
        (PermissionError(errno.EACCES, "Permission denied"), False),
        (OSError(errno.EMFILE, "Too many open files"), False),
        (OSError(errno.EINVAL, "Invalid argument"), True),  # a damaged file points nowhere
        (OSError("not a gzip file"), True),
    ],
)
def test_a_station_that_may_not_be_read_is_not_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError, is_damage: bool
) -> None:
    def read_or_fail(path: Path, **options: Any) -> Any:
        with refusing(Reason.FILE_BROKEN, "it cannot be read"):
            if path.name == "2.nii.gz":
                raise error
        return read(path, **options)

    sources = [
        Source(str(_image_file(tmp_path / f"{place}.nii.gz", seed=place)), WATER, place)
        for place in range(3)
    ]
    read = deliveries.read_delivered
    monkeypatch.setattr(deliveries, "read_delivered", read_or_fail)
    if is_damage:
        delivery = deliveries.Deliveries("folder", [WATER]).read(_scan(*sources))
        assert (len(delivery.stations), delivery.flags) == (2, {Flag.STATIONS_MISSING})
    else:
        with pytest.raises(ScanError) as caught:
            deliveries.Deliveries("folder", [WATER]).read(_scan(*sources))
        assert caught.value.reason is Reason.FILE_BROKEN


@pytest.mark.odd_input(
    "C-84",
    make="a station of another frame of reference: somebody left the table and came back",
    source="own; DICOM PS3.3 C.7.4.1",
    outcome="measured, flag `frame_differs`",
)
@pytest.mark.parametrize(
    ("uids", "flags"),
    [
        (("1.9.1", "1.9.1"), []),
        (("1.9.1", "1.9.2"), ["frame_differs"]),
        (("1.9.1", ""), []),
    ],
)
def test_stations_of_two_frames_of_reference(
    tmp_path: Path, make_ukb: MakeFiles, pack: Pack, uids: Sequence[str], flags: Sequence[str]
) -> None:
    files = {}
    for name, content in make_ukb().items():
        dataset = pydicom.dcmread(BytesIO(content))
        dataset.FrameOfReferenceUID = uids[int(name.split(".")[2]) > 12]
        written = BytesIO()
        dataset.save_as(written)
        files[name] = written.getvalue()
    scan = _scan(Source(str(pack(tmp_path / "a.zip", files))))
    (outcome,) = _run(tmp_path, scan, kind="ukb")
    assert (outcome.facts["n_stations"], outcome.facts["flags"]) == (6, flags)


def test_the_frame_of_reference_of_a_station_that_is_left_out_does_not_count(
    tmp_path: Path, make_ukb: MakeFiles, pack: Pack
) -> None:
    files = {}
    for name, content in make_ukb().items():
        dataset = pydicom.dcmread(BytesIO(content))
        dataset.FrameOfReferenceUID = f"1.9.{1 + (int(name.split('.')[2]) > 20)}"
        written = BytesIO()
        dataset.save_as(written)
        files[name] = written.getvalue()
    files["1.2.24.6.dcm"] = _without_voxels(files["1.2.24.6.dcm"])
    scan = _scan(Source(str(pack(tmp_path / "a.zip", files))))
    (outcome,) = _run(tmp_path, scan, kind="ukb")
    assert (outcome.facts["n_stations"], outcome.facts["flags"]) == (5, ["stations_missing"])


def test_stations_in_folders_of_two_frames_of_reference(
    tmp_path: Path, make_dicom: MakeFiles
) -> None:
    sources = []
    for station in (1, 2):
        folder = tmp_path / str(station)
        folder.mkdir()
        voxels = np.random.default_rng(station).integers(90, 110, (12, 12, 16)).astype(np.uint16)
        first_xyz_mm = (0.0, 0.0, -40.0 * station)
        uid = f"1.9.{station}"
        files = make_dicom(voxels, first_xyz_mm=first_xyz_mm, FrameOfReferenceUID=uid)
        for name, content in files.items():
            (folder / name).write_bytes(content)
        sources.append(Source(str(folder), Contrast.T1, station))
    (outcome,) = _run(tmp_path, _scan(*sources))
    assert outcome.facts["n_stations"] == 2
    assert "frame_differs" in outcome.facts["flags"]  # type: ignore[operator]


@pytest.mark.parametrize("code", ["LPS", "LIP", "RPI"])
def test_image_file_passes_with_its_very_grid(tmp_path: Path, code: str) -> None:
    path = _image_file(tmp_path / "a.nrrd", code=code)
    (outcome,) = _run(tmp_path, _scan(Source(str(path), CT)))
    original, image = sitk.ReadImage(str(path)), _published(tmp_path, "0000-0000_ct.nii.gz")
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), sitk.GetArrayFromImage(original))
    assert image.GetPixelID() == sitk.sitkInt16
    assert image.GetDirection() == original.GetDirection()
    assert image.GetOrigin() == original.GetOrigin()
    assert image.GetSpacing() == original.GetSpacing()
    assert outcome.facts["orientation"] == code
    assert outcome.facts["n_stations"] == 1
    assert "manufacturer" not in outcome.facts


@pytest.mark.odd_input(
    "N-91",
    make="a CT as NIfTI, NRRD or MetaImage, padded with -2000, -3024 or -32768; int16 and float32",
    source="vtk-dicom 173; converters that keep DICOM's padding",
    outcome="-1024 HU and `padding_replaced`, as where it comes as DICOM; other values stay",
)
@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize("fill", [-2000, -3024, -32768, -1500])
@pytest.mark.parametrize("pixel", [sitk.sitkInt16, sitk.sitkFloat32])
def test_padding_of_a_ct_in_a_file(tmp_path: Path, suffix: str, fill: int, pixel: int) -> None:
    path = _image_file(tmp_path / f"a{suffix}")
    image = sitk.Cast(sitk.ReadImage(str(path)), pixel)
    image[:3, :, :] = fill
    sitk.WriteImage(image, str(path))
    read = deliveries.Deliveries("folder", [CT]).read(_scan(Source(str(path), CT)))
    expected = sitk.Image(image)
    if fill < -1500:
        expected[:3, :, :] = -1024
    assert (Flag.PADDING_REPLACED in read.flags) == (fill < -1500)
    found = read.stations[0][CT]
    assert (found.GetPixelID(), found.GetSpacing()) == (pixel, image.GetSpacing())
    assert found.GetOrigin() == pytest.approx(image.GetOrigin())
    np.testing.assert_array_equal(*map(sitk.GetArrayViewFromImage, (found, expected)))


def test_a_round_field_of_view_is_noted(tmp_path: Path) -> None:
    _, y, x = np.indices((9, 60, 60))
    voxels_zyx = np.random.default_rng(0).integers(-1000, 1000, x.shape)
    voxels_zyx[np.hypot(x - 29.5, y - 29.5) > 30] = -2000
    image = sitk.GetImageFromArray(voxels_zyx.astype(np.int16))
    image.SetSpacing((2.0, 2.0, 4.0))
    sitk.WriteImage(image, str(tmp_path / "a.nii.gz"))
    (outcome,) = _run(tmp_path, _scan(Source(str(tmp_path / "a.nii.gz"), CT)))
    x_field, y_field, z_field = outcome.facts["round_xyz"]["ct"]  # type: ignore[index,call-overload,misc]
    assert (x_field, z_field) == (y_field, None)
    assert x_field == pytest.approx([29.5, 29.2], abs=0.2)


@pytest.mark.odd_input(
    "N-92",
    make="a CT whose air is -1024, padded with -2048 at one end, around a circle, or both; as "
    "DICOM and as a file",
    source="own; scanners that clip air, and pad below",
    outcome="-1024 HU; `truncated` where the organ ends with what was seen, as where air is noise",
)
@pytest.mark.parametrize("as_dicom", [False, True])
@pytest.mark.parametrize("radius", [None, 31])
def test_padding_that_becomes_air_was_not_seen(
    tmp_path: Path, as_dicom: bool, radius: int | None
) -> None:
    z, y, x = np.indices((20, 64, 64))
    body = np.random.default_rng(0).normal(40, 20, x.shape)
    voxels_zyx = np.where(np.hypot((x - 32) / 20, (y - 32) / 16) < 1, body, -1024)
    padded_zyx = (z >= 15) | (np.hypot(x - 31.5, y - 31.5) > (radius or 99))
    voxels_zyx[padded_zyx] = -2048
    delivered = tmp_path / "ct.nii.gz"
    if as_dicom:
        delivered = tmp_path / "ct"
        delivered.mkdir()
        stored = voxels_zyx.astype(np.int16)
        for name, content in series(stored, RescaleIntercept=0, PixelPaddingValue=-2048).items():
            (delivered / name).write_bytes(content)
    else:
        sitk.WriteImage(sitk.GetImageFromArray(voxels_zyx.astype(np.int16)), str(delivered))
    (outcome,) = _run(tmp_path, _scan(Source(str(delivered), CT)))
    published = sitk.GetArrayFromImage(_published(tmp_path, "0000-0000_ct.nii.gz"))
    assert set(published[padded_zyx]) == {-1024}
    assert outcome.facts["seen_xyz"] == {"ct": [[[0, 64], [0, 64], [0, 15]]]}
    if radius is None:
        assert outcome.facts["round_xyz"] == {}
    else:
        x_field, y_field, _ = outcome.facts["round_xyz"]["ct"]  # type: ignore[index,call-overload,misc]
        assert x_field == y_field == pytest.approx([31.5, radius - 0.6], abs=0.5)


def test_low_values_of_mri_stay(tmp_path: Path) -> None:
    path = _image_file(tmp_path / "a.nrrd")
    image = sitk.ReadImage(str(path))
    image[:3, :, :] = -2000
    sitk.WriteImage(image, str(path))
    scan = _scan(Source(str(path), Contrast.T2))
    read = deliveries.Deliveries("folder", [Contrast.T2]).read(scan)
    assert Flag.PADDING_REPLACED not in read.flags
    assert sitk.GetArrayViewFromImage(read.stations[0][Contrast.T2]).min() == -2000


def test_unwanted_contrasts_are_left_alone(tmp_path: Path) -> None:
    path = _image_file(tmp_path / "a.nii.gz")
    sources = [Source(str(tmp_path / "gone.nii.gz"), FAT), Source(str(path), WATER)]
    (outcome,) = _run(tmp_path, _scan(*sources), contrasts=[WATER])
    assert outcome.facts["contrasts"] == ["water"]
    reason, fact = _failure(tmp_path, *sources)
    assert (reason, fact) == (Reason.FILE_MISSING, "fat: no file where the list says")
    assert _failure(tmp_path, *sources, contrasts=[CT])[0] is Reason.CONTRAST_MISSING


@pytest.mark.odd_input(
    "V-52",
    make="contrasts of one scan on two grids",
    source="own",
    outcome="`grids_differ`",
)
def test_an_archive_without_its_knees_is_measured(
    tmp_path: Path, make_ukb: MakeFiles, pack: Pack
) -> None:
    archive = pack(tmp_path / "a.zip", make_ukb(stations=range(5)))
    (outcome,) = _run(tmp_path, _scan(Source(str(archive))), kind="ukb")
    assert outcome.facts["n_stations"] == 5
    assert outcome.facts["flags"] == ["stations_missing"]


def test_a_pancreas_archive_becomes_a_t1_image(
    tmp_path: Path, make_dicom: MakeFiles, pack: Pack
) -> None:
    voxels = np.random.default_rng(0).integers(0, 2000, (8, 12, 16)).astype(np.uint16)
    files = make_dicom(voxels, SeriesDescription="t1_vibe_pancreas")
    archive = pack(tmp_path / "a.zip", files)
    scan = replace(_scan(Source(str(archive))), protocol="t1_pancreas")
    (outcome,) = _run(tmp_path, scan, kind="ukb")
    assert (outcome.facts["contrasts"], outcome.facts["n_stations"]) == (["t1"], 1)
    image = _published(tmp_path, "0000-0000_t1.nii.gz")
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), voxels)


def test_a_contrast_that_is_not_required_costs_itself(
    tmp_path: Path, make_ukb: MakeFiles, make_dicom: MakeFiles, pack: Pack
) -> None:
    files = {name: one for name, one in make_ukb().items() if not name.startswith("1.2.22.")}
    blank = make_dicom(
        np.zeros((12, 12, 16), np.uint16),
        number=5,
        first_xyz_mm=(0.0, 0.0, -40.0),
        SeriesDescription="Dixon_in",
        SeriesTime="120001.5",
        SeriesDate="20200101",
    )
    archive = pack(tmp_path / "a.zip", files | blank)
    (outcome,) = _run(tmp_path, _scan(Source(str(archive))), kind="ukb")
    assert outcome.facts["contrasts"] == ["fat", "water"]
    assert outcome.facts["seam_gains"] == pytest.approx([1.0] * 5)
    assert outcome.facts["flags"] == ["contrast_left_out"]
    assert outcome.facts["n_stations"] == 6


@pytest.mark.parametrize("oddity", ["broken", "gone", "other grid", "not at one station"])
@pytest.mark.odd_input(
    "C-27",
    make="files: an opposed-phase image broken, gone, on another grid, or of one station only",
    source="own",
    outcome="measured on water, flag `contrast_left_out`",
)
def test_an_image_file_that_is_not_required_costs_itself(tmp_path: Path, oddity: str) -> None:
    opposed = tmp_path / "opp.nii.gz"
    sources = [Source(str(_image_file(tmp_path / "w.nii.gz")), WATER, 1)]
    if oddity == "broken":
        opposed.write_bytes(b"\x1f\x8b nothing")
    elif oddity == "other grid":
        _image_file(opposed, code="LIP")
    elif oddity == "not at one station":
        _image_file(opposed)
        lower = sitk.ReadImage(str(_image_file(tmp_path / "w2.nii.gz", seed=1)))
        lower.SetOrigin((-5.0, 6.0, 54.0))
        sitk.WriteImage(lower, str(tmp_path / "w2.nii.gz"))
        sources.append(Source(str(tmp_path / "w2.nii.gz"), WATER, 2))
    sources.insert(1, Source(str(opposed), Contrast.OPPOSED_PHASE, 1))
    (outcome,) = _run(tmp_path, _scan(*sources))
    assert outcome.reason is None
    assert outcome.facts["contrasts"] == ["water"]
    assert "contrast_left_out" in outcome.facts["flags"]


def test_a_station_of_files_that_lacks_water_at_an_end(tmp_path: Path) -> None:
    sources = [
        Source(str(_image_file(tmp_path / "1.nii.gz")), WATER, 1),
        Source(str(_image_file(tmp_path / "2.nii.gz")), Contrast.IN_PHASE, 2),
    ]
    (outcome,) = _run(tmp_path, _scan(*sources))
    assert (outcome.facts["contrasts"], outcome.facts["n_stations"]) == (["water"], 1)
    assert outcome.facts["flags"] == ["contrast_left_out", "stations_missing"]


def test_contrasts_on_two_grids(tmp_path: Path) -> None:
    water = _image_file(tmp_path / "w.mha")
    fat = _image_file(tmp_path / "f.mha", code="LIP")
    sources = [Source(str(fat), FAT), Source(str(water), WATER)]
    assert _failure(tmp_path, *sources)[0] is Reason.GRIDS_DIFFER


def test_stations_in_files_are_stitched(tmp_path: Path) -> None:
    sources = []
    for station, low_mm in ((1, 0.0), (2, -40.0)):
        image = sitk.GetImageFromArray(
            np.random.default_rng(station).uniform(90, 110, (20, 30, 30)).astype(np.float32)
        )
        image.SetSpacing((3.0, 3.0, 3.0))
        image.SetOrigin((0.0, 0.0, low_mm))
        sitk.WriteImage(image, str(tmp_path / f"{station}.nii.gz"))
        sources.append(Source(str(tmp_path / f"{station}.nii.gz"), WATER, station))
    (outcome,) = _run(tmp_path, _scan(*sources), kind="bids")
    assert outcome.facts["size_xyz"] == [30, 30, 33]
    assert outcome.facts["n_stations"] == 2


@pytest.mark.odd_input(
    "V-53",
    make="a gap between neighbouring stations",
    source="own",
    outcome="`stations_apart`",
)
def test_stations_apart(tmp_path: Path) -> None:
    near, far = _image_file(tmp_path / "1.mha"), tmp_path / "2.mha"
    moved = sitk.ReadImage(str(near)) + 1
    moved.SetOrigin((-5.0, 6.0, -400.0))
    sitk.WriteImage(moved, str(far))
    sources = (Source(str(near), WATER, 1), Source(str(far), WATER, 2))
    assert _failure(tmp_path, *sources)[0] is Reason.STATIONS_APART


def test_dicom_folder_of_ct_becomes_hounsfield_units(tmp_path: Path, make_dicom: MakeFiles) -> None:
    voxels = np.random.default_rng(0).integers(0, 2000, (5, 8, 8)).astype(np.uint16)
    files = make_dicom(voxels, Modality="CT", RescaleIntercept=-1024, RescaleSlope=1)
    (tmp_path / "series").mkdir()
    for name, content in files.items():
        (tmp_path / "series" / name).write_bytes(content)
    (outcome,) = _run(tmp_path, _scan(Source(str(tmp_path / "series"))))
    assert outcome.facts["contrasts"] == ["ct"]
    image = _published(tmp_path, "0000-0000_ct.nii.gz")
    assert image.GetPixelID() == sitk.sitkInt16
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), voxels.astype(int) - 1024)


def test_dicom_archive_of_a_folder_cohort(
    tmp_path: Path, make_dicom: MakeFiles, pack: Pack
) -> None:
    voxels = np.random.default_rng(0).integers(0, 2000, (5, 8, 8)).astype(np.uint16)
    one = pack(tmp_path / "one.zip", make_dicom(voxels))
    two = pack(tmp_path / "two.zip", make_dicom(voxels) | make_dicom(voxels, number=2))
    (outcome,) = _run(tmp_path, _scan(Source(str(one), Contrast.T2)))
    assert outcome.facts["contrasts"] == ["t2"]
    reason, fact = _failure(tmp_path, Source(str(two), Contrast.T2))
    assert (reason, fact) == (Reason.SEVERAL_SERIES, "t2: 2 series where one is expected")


def test_headers_table_has_a_row_for_every_scan(tmp_path: Path) -> None:
    path = _image_file(tmp_path / "a.nrrd")
    scans = [
        _scan(Source(str(path), CT)),
        _scan(Source(str(tmp_path / "gone.mha"), CT), key="0000-0001"),
    ]
    _run(tmp_path, *scans)
    done, failed = read_table(tmp_path / "results" / "0000" / "headers.parquet").to_pylist()
    assert (done["scan"], done["size_z"], done["contrasts"]) == ("0000-0000", 9, "ct")
    assert failed["scan"] == "0000-0001"
    assert {value for name, value in failed.items() if name != "scan"} == {None}


def test_input_that_moved_but_did_not_change_is_the_same_input(
    tmp_path: Path, make_ukb: MakeFiles, pack: Pack
) -> None:
    step = prepare_images.PrepareImages(kind="ukb", stations=Stations.STITCH, contrasts=[WATER])
    files = make_ukb(n_slices=6)
    here, there = pack(tmp_path / "a.zip", files), pack(tmp_path / "b" / "c.zip", files)
    identities = [
        step.input_identity(_scan(Source(str(path))), None)
        for path in (here, there, tmp_path / "gone.zip")
    ]
    assert identities[0] == identities[1] != identities[2]


def test_stations_must_be_the_one_that_was_listed(tmp_path: Path) -> None:
    source = Source(str(tmp_path / "a.zip"))
    with pytest.raises(SetupError, match="not listed with `stations: stitch`"):
        _run(tmp_path, _scan(source, station=1), kind="ukb")
    stations = [Source("1.mha", WATER, 1), Source("2.mha", WATER, 2)]
    with pytest.raises(SetupError, match="not listed with `stations: separate`"):
        _run(tmp_path, _scan(*stations), stations=Stations.SEPARATE)


def test_image_file_that_nobody_says_what_it_shows(tmp_path: Path) -> None:
    source = Source(str(_image_file(tmp_path / "a.nrrd")))
    assert _failure(tmp_path, source)[0] is Reason.CONTRAST_MISSING

import zipfile
from collections import Counter
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataset import FileDataset

from organome.domain.ukb_protocol import STATIONS
from organome.phantoms.bodies.anatomy import Body
from organome.phantoms.delivery.cohort import DeliveredScan, Visit
from organome.phantoms.delivery.defects import Defect
from organome.phantoms.delivery.ukb_delivery import deliver_archive, render_stations

REDUCE = 28  # 8 x 6 pixels: all 1328 files, hardly any voxel
ARCHIVE = "ukb/12/1234567_20201_2_0.zip"

Slices = dict[int, list[FileDataset]]


def read_series(archive: bytes) -> Slices:
    """All slices by series number, by position from feet to head."""
    series: Slices = {}
    with zipfile.ZipFile(BytesIO(archive)) as members:
        for name in members.namelist():
            if name.endswith(".dcm"):
                one = pydicom.dcmread(BytesIO(members.read(name)))
                series.setdefault(int(one.SeriesNumber), []).append(one)
    return {
        number: sorted(slices, key=lambda one: float(one.ImagePositionPatient[2]))
        for number, slices in sorted(series.items())
    }


def deliver(
    body: Body, visit: Visit, output: Path, defect: Defect | None = None
) -> tuple[DeliveredScan, bytes]:
    scan = deliver_archive(body, replace(visit, defect=defect), output=output, reduce=REDUCE)
    return scan, (output / scan.images[0].path).read_bytes()


@pytest.fixture(scope="module")
def archive(body: Body, visit: Visit, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return deliver(body, visit, tmp_path_factory.mktemp("sound"))[1]


@pytest.fixture(scope="module")
def series(archive: bytes) -> Slices:
    return read_series(archive)


def test_an_archive_lies_and_is_named_as_in_the_biobank_even_when_empty(
    body: Body, visit: Visit, tmp_path: Path
) -> None:
    scan, spoilt = deliver(body, visit, tmp_path, Defect.EMPTY_ZIP)
    assert [image.path for image in scan.images] == [ARCHIVE]
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / ARCHIVE]
    assert zipfile.ZipFile(BytesIO(spoilt)).namelist() == []


def test_there_are_24_series_of_1328_slices(series: Slices) -> None:
    assert list(series) == list(range(1, 25))
    assert sum(map(len, series.values())) == 1328


def test_voxels_and_positions_are_those_rendered(series: Slices, body: Body, visit: Visit) -> None:
    for number, rendered in enumerate(render_stations(body, visit, reduce=REDUCE), start=1):
        slices = series[number]
        expected_zyx = sitk.GetArrayFromImage(rendered.image)
        assert (np.stack([one.pixel_array for one in slices]) == expected_zyx).all()
        assert [one.InstanceNumber for one in slices] == list(range(1, len(slices) + 1))
        for index, one in enumerate(slices):
            expected_mm = rendered.image.TransformIndexToPhysicalPoint((0, 0, index))
            assert list(map(float, one.ImagePositionPatient)) == pytest.approx(expected_mm)


def test_headers_name_station_and_contrast(series: Slices) -> None:
    assert [series[number][0].SeriesDescription for number in (1, 6, 19, 24)] == [
        "Dixon_noBH_in",
        "Dixon_BH_17s_opp",
        "Dixon_noBH_F",
        "Dixon_noBH_W",
    ]
    endings = [slices[0].ImageType[-1] for slices in series.values()]
    assert endings == ["IN_PHASE", "OPP_PHASE", "FAT", "WATER"] * 6
    for number, slices in series.items():
        station = STATIONS[(number - 1) // 4]
        assert len(slices) == station.n_slices
        assert slices[0].SliceThickness == station.slice_mm


def test_headers_hold_the_covariates_and_the_acquisition(series: Slices) -> None:
    one = series[1][0]
    assert (one.PatientSex, one.PatientAge, one.PatientSize) == ("F", "057Y", 1.684)
    assert (one.Manufacturer, one.ManufacturerModelName) == ("SIEMENS", "Aera")
    assert (one.RepetitionTime, one.EchoTime, one.FlipAngle) == (6.69, 4.77, 10)
    assert series[2][0].EchoTime == 2.39


def test_stations_are_acquired_one_after_the_other(series: Slices) -> None:
    times = [slices[0].SeriesTime for slices in series.values()]
    assert times == sorted(times)
    assert len(set(times)) == 6


def test_the_manifest_lists_every_file(archive: bytes) -> None:
    with zipfile.ZipFile(BytesIO(archive)) as members:
        lines = members.read("manifest.cvs").decode().splitlines()
        listed = {line.split(",")[0] for line in lines[1:]}
        assert listed == {name for name in members.namelist() if name.endswith(".dcm")}


def test_a_truncated_archive_is_rejected(body: Body, visit: Visit, tmp_path: Path) -> None:
    scan, spoilt = deliver(body, visit, tmp_path, Defect.TRUNCATED_ZIP)
    assert scan.defect is Defect.TRUNCATED_ZIP
    with pytest.raises(zipfile.BadZipFile):
        zipfile.ZipFile(BytesIO(spoilt))


def test_shuffled_instances_keep_their_voxels_and_positions(
    series: Slices, body: Body, visit: Visit, tmp_path: Path
) -> None:
    shuffled = read_series(deliver(body, visit, tmp_path, Defect.SHUFFLED_INSTANCES)[1])
    for number, slices in series.items():
        assert [one.ImagePositionPatient for one in shuffled[number]] == [
            one.ImagePositionPatient for one in slices
        ]
        assert [one.PixelData for one in shuffled[number]] == [one.PixelData for one in slices]
        numbers = [one.InstanceNumber for one in shuffled[number]]
        assert numbers != sorted(numbers)


def test_a_repeated_station_comes_last_and_later_at_the_same_place(
    series: Slices, body: Body, visit: Visit, tmp_path: Path
) -> None:
    repeated = read_series(deliver(body, visit, tmp_path, Defect.DUPLICATE_STATION)[1])
    assert list(repeated) == list(range(1, 29))
    for first, second in zip(range(9, 13), range(25, 29), strict=True):
        assert repeated[second][0].SeriesDescription == repeated[first][0].SeriesDescription
        assert repeated[second][0].SeriesTime > repeated[24][0].SeriesTime
        assert [one.ImagePositionPatient for one in repeated[second]] == [
            one.ImagePositionPatient for one in repeated[first]
        ]
        assert [one.PixelData for one in repeated[second]] == [
            one.PixelData for one in series[first]
        ]


@pytest.mark.parametrize(
    ("defect", "n_slices"),
    [
        (Defect.MISSING_STATION, 1328 - 4 * 44),
        (Defect.SLICE_MISSING, 1327),
        (Defect.NO_DICOM_IN_ZIP, 0),
    ],
)
def test_what_is_missing_is_missing_in_the_archive(
    defect: Defect, n_slices: int, body: Body, visit: Visit, tmp_path: Path
) -> None:
    spoilt = read_series(deliver(body, visit, tmp_path, defect)[1])
    assert sum(map(len, spoilt.values())) == n_slices


def test_one_series_has_another_matrix(body: Body, visit: Visit, tmp_path: Path) -> None:
    spoilt = read_series(deliver(body, visit, tmp_path, Defect.WRONG_SIZE_SERIES)[1])
    columns = {number: int(slices[0].Columns) for number, slices in spoilt.items()}
    assert Counter(columns.values()) == {8: 23, 4: 1}
    assert columns[11] == 4


def test_made_again_it_is_the_same_bytes_and_no_defect_of_image_files_touches_it(
    archive: bytes, body: Body, visit: Visit, tmp_path: Path
) -> None:
    scan, delivered = deliver(body, visit, tmp_path, Defect.NOT_FINITE)
    assert scan.defect is None
    assert delivered == archive

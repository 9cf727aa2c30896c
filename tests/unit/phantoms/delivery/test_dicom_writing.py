from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataset import FileDataset
from pydicom.uid import ExplicitVRLittleEndian

from organome.domain.scans import Contrast
from organome.phantoms.bodies.people import Covariates
from organome.phantoms.delivery.cohort import Visit
from organome.phantoms.delivery.defects import PhantomSeries
from organome.phantoms.delivery.dicom_writing import ct_header, dixon_header, encode_series

WHO = Covariates("female", 57.9, 1.684, 71.25)
VISIT = Visit("1234567", "2", 1, "female", 0.0, datetime(2015, 1, 5, 8, 30), with_ct=False)
EMPTY = sitk.Image(2, 2, 2, sitk.sitkInt16)
HEADER = dixon_header(VISIT, WHO, PhantomSeries(Contrast.WATER, EMPTY, 2))
CT_HEADER = ct_header(VISIT, WHO)


def image(low: int = 0, axes: str = "LPS") -> sitk.Image:
    made = sitk.GetImageFromArray((np.arange(60).reshape(3, 4, 5) * 7 + low).astype(np.int16))
    made.SetSpacing((500.0 / 224.0, 500.0 / 224.0, 4.5))
    made.SetOrigin((-248.88392857142858, -193.08035714285714, 309.05))
    oriented: sitk.Image = sitk.DICOMOrient(made, axes)
    return oriented


def read(image: sitk.Image, header: Mapping[str, Any] = HEADER, **how: object) -> list[FileDataset]:
    return [
        pydicom.dcmread(BytesIO(content))
        for _, content in encode_series(image, header, **how)  # type: ignore[arg-type]
    ]


def test_pydicom_reads_the_voxels_back() -> None:
    slices = read(image())
    stored_zyx = np.stack([one.pixel_array for one in slices])
    assert (stored_zyx == sitk.GetArrayFromImage(image())).all()


def test_the_grid_stands_in_every_slice() -> None:
    for index, one in enumerate(read(image())):
        assert list(map(float, one.ImageOrientationPatient)) == [1, 0, 0, 0, 1, 0]
        assert list(map(float, one.PixelSpacing)) == pytest.approx([500 / 224] * 2, rel=1e-12)
        assert (one.SliceThickness, one.SpacingBetweenSlices) == (4.5, 4.5)
        assert list(map(float, one.ImagePositionPatient)) == pytest.approx(
            [-248.88392857142858, -193.08035714285714, 309.05 + 4.5 * index], rel=1e-12
        )
        assert float(one.SliceLocation) == pytest.approx(309.05 + 4.5 * index)


def test_tags_are_those_of_the_header() -> None:
    one = read(image())[0]
    assert one.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert (one.SeriesNumber, one.SeriesDescription) == (8, "Dixon_BH_17s_W")
    assert list(one.ImageType) == ["DERIVED", "PRIMARY", "DIXON", "WATER"]
    assert (one.EchoTime, one.FlipAngle, one.MagneticFieldStrength) == (2.39, 10.0, 1.5)
    assert (one.PatientID, one.PatientSex, one.PatientAge) == ("1234567", "F", "057Y")
    assert (one.PatientSize, one.PatientWeight) == (1.684, 71.25)
    assert (one.StudyDate, one.StudyTime) == ("20150105", "083000.000000")
    assert (one.SeriesTime, one.AcquisitionTime) == ("083025.000000", "083025.000000")


def test_instance_numbers_count_from_one_in_the_given_order_and_positions_stay() -> None:
    ordered = {float(one.SliceLocation): one for one in read(image())}
    shuffled = read(image(), slice_order=(2, 0, 1))
    assert [one.InstanceNumber for one in shuffled] == [1, 2, 3]
    for one, index in zip(shuffled, (2, 0, 1), strict=True):
        same_place = ordered[float(one.SliceLocation)]
        assert float(one.SliceLocation) == pytest.approx(309.05 + 4.5 * index)
        assert one.PixelData == same_place.PixelData


def test_slices_left_out_are_not_written() -> None:
    assert len(read(image(), slice_order=(0, 2))) == 2


def test_equal_input_gives_equal_bytes_and_another_seed_other_identifiers() -> None:
    files = list(encode_series(image(), HEADER))
    assert files == list(encode_series(image(), HEADER))
    series = PhantomSeries(Contrast.WATER, EMPTY, 2)
    other = dict(encode_series(image(), dixon_header(replace(VISIT, body_seed=2), WHO, series)))
    assert not dict(files).keys() & other.keys()


def test_identifiers_are_shared_as_dicom_wants_it() -> None:
    next_one = dixon_header(VISIT, WHO, PhantomSeries(Contrast.IN_PHASE, EMPTY, 3))
    slices = read(image()) + read(image(), next_one)
    assert len({one.SOPInstanceUID for one in slices}) == 6
    assert len({one.SeriesInstanceUID for one in slices}) == 2
    assert len({one.StudyInstanceUID for one in slices}) == 1
    assert len({one.FrameOfReferenceUID for one in slices}) == 1


@pytest.mark.parametrize("axes", ["LPS", "LIP", "RPI", "PIR"])
def test_itk_reads_a_ct_series_where_it_was(tmp_path: Path, axes: str) -> None:
    written = image(low=-1000, axes=axes)
    for name, content in encode_series(written, CT_HEADER):
        (tmp_path / name).write_bytes(content)
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(tmp_path))
    back = sitk.DICOMOrient(sitk.ReadImage(names), "LPS")
    expected = image(low=-1000)
    assert (sitk.GetArrayFromImage(back) == sitk.GetArrayFromImage(expected)).all()
    assert back.GetOrigin() == pytest.approx(expected.GetOrigin())
    assert back.GetSpacing() == pytest.approx(expected.GetSpacing())


def test_hounsfield_units_are_stored_with_an_intercept() -> None:
    one = read(image(low=-1024), CT_HEADER)[0]
    assert (one.RescaleIntercept, one.RescaleSlope) == (-1024, 1)
    assert one.pixel_array.min() == 0


@pytest.mark.parametrize("low", [-1, -2000])
def test_values_that_cannot_be_stored_are_refused(low: int) -> None:
    with pytest.raises(ValueError, match="stored values"):
        list(encode_series(image(low=low), HEADER))


def test_floats_are_refused() -> None:
    with pytest.raises(ValueError, match="integers needed"):
        list(encode_series(sitk.Cast(image(), sitk.sitkFloat32), HEADER))


def test_a_series_without_station_has_no_dixon_header() -> None:
    with pytest.raises(ValueError, match="no station"):
        dixon_header(VISIT, WHO, PhantomSeries(Contrast.WATER, EMPTY))


def test_a_second_take_gets_the_numbers_after_the_last_station() -> None:
    header = dixon_header(VISIT, WHO, PhantomSeries(Contrast.FAT, EMPTY, 3, take=2))
    last = dixon_header(VISIT, WHO, PhantomSeries(Contrast.WATER, EMPTY, 6))
    assert header["SeriesNumber"] == 27
    assert header["SeriesDescription"] == "Dixon_BH_17s_F"
    assert header["SeriesTime"] > last["SeriesTime"]

from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from organome.domain.scans import Contrast
from organome.phantoms.bodies.anatomy import Body
from organome.phantoms.delivery.cohort import Visit
from organome.phantoms.delivery.visits import deliver_ct_series


@pytest.fixture
def image() -> sitk.Image:
    made = sitk.GetImageFromArray((np.arange(60).reshape(3, 4, 5) * 30 - 1024).astype(np.int16))
    made.SetSpacing((2.0, 2.0, 4.0))
    made.SetOrigin((-4.0, -3.0, 50.0))
    return made


def test_the_series_is_a_folder_that_itk_reads_in_hounsfield_units(
    image: sitk.Image, body: Body, visit: Visit, tmp_path: Path
) -> None:
    scan = deliver_ct_series(image, visit, body.covariates, output=tmp_path)
    (delivered,) = scan.images
    assert (delivered.path, delivered.contrast) == ("ct/1234567/ct_2", Contrast.CT)
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(tmp_path / delivered.path))
    back = sitk.ReadImage(names)
    assert (sitk.GetArrayFromImage(back) == sitk.GetArrayFromImage(image)).all()
    assert back.GetOrigin() == pytest.approx(image.GetOrigin())


def test_the_header_says_ct(image: sitk.Image, body: Body, visit: Visit, tmp_path: Path) -> None:
    deliver_ct_series(image, visit, body.covariates, output=tmp_path)
    one = pydicom.dcmread(next((tmp_path / "ct/1234567/ct_2").iterdir()))
    assert (one.Modality, one.KVP, one.RescaleIntercept) == ("CT", 120, -1024)
    assert one.PatientID == "1234567"


def test_writing_again_leaves_the_same_files_and_no_other(
    image: sitk.Image, body: Body, visit: Visit, tmp_path: Path
) -> None:
    def contents() -> dict[str, bytes]:
        return {
            str(path.relative_to(tmp_path)): path.read_bytes()
            for path in tmp_path.rglob("*")
            if path.is_file()
        }

    deliver_ct_series(image, visit, body.covariates, output=tmp_path)
    before = contents()
    deliver_ct_series(image, visit, body.covariates, output=tmp_path)
    assert contents() == before
    assert [path.name for path in (tmp_path / "ct/1234567").iterdir()] == ["ct_2"]

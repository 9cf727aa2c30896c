import pytest
import SimpleITK as sitk

from organome.domain.scans import Contrast
from organome.phantoms.bodies.anatomy import Body
from organome.phantoms.delivery.cohort import Visit
from organome.phantoms.delivery.defects import PhantomSeries
from organome.phantoms.delivery.dicom_headers import dixon_header, mri_examination


def test_a_series_without_station_has_no_dixon_header(body: Body, visit: Visit) -> None:
    series = PhantomSeries(Contrast.WATER, sitk.Image(2, 2, 2, sitk.sitkInt16))
    with pytest.raises(ValueError, match="no station"):
        dixon_header(mri_examination(visit, body.covariates), series)


def test_a_second_take_gets_the_numbers_after_the_last_station(body: Body, visit: Visit) -> None:
    image = sitk.Image(2, 2, 2, sitk.sitkInt16)
    examination = mri_examination(visit, body.covariates)
    header = dixon_header(examination, PhantomSeries(Contrast.FAT, image, 3, take=2))
    last = dixon_header(examination, PhantomSeries(Contrast.WATER, image, 6))
    assert header.number == 27
    assert header.description == "Dixon_BH_17s_F"
    assert header.started > last.started

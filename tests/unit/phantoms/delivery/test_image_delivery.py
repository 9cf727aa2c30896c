from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from organome.domain.scans import DIXON_CONTRASTS, Contrast
from organome.phantoms.delivery.cohort import Visit
from organome.phantoms.delivery.defects import Defect, PhantomSeries
from organome.phantoms.delivery.visits import deliver_bids, deliver_files


def image(axes: str = "LPS") -> sitk.Image:
    made = sitk.GetImageFromArray(np.arange(24, dtype=np.int16).reshape(2, 3, 4))
    made.SetSpacing((1.0, 2.0, 3.0))
    oriented: sitk.Image = sitk.DICOMOrient(made, axes)
    return oriented


DIXON = tuple(PhantomSeries(contrast, image()) for contrast in DIXON_CONTRASTS)


def test_bids_names_hold_the_entities(visit: Visit, tmp_path: Path) -> None:
    scan = deliver_bids(DIXON, visit, protocol="dixon", defect=None, output=tmp_path)
    stem = "bids/sub-1234567/ses-2/anat/sub-1234567_ses-2_part-"
    assert [one.path for one in scan.images] == [
        f"{stem}{part}_vibe.nii.gz" for part in ("inphase", "outphase", "fat", "water")
    ]
    assert all((tmp_path / one.path).is_file() for one in scan.images)


@pytest.mark.parametrize(
    ("contrast", "path"),
    [
        (Contrast.T1, "anat/sub-1234567_ses-2_T1w.nii.gz"),
        (Contrast.T2, "anat/sub-1234567_ses-2_T2w.nii.gz"),
        (Contrast.CT, "ct/sub-1234567_ses-2_ct.nii.gz"),
    ],
)
def test_other_contrasts_are_bids_suffixes(
    contrast: Contrast, path: str, visit: Visit, tmp_path: Path
) -> None:
    series = (PhantomSeries(contrast, image()),)
    scan = deliver_bids(series, visit, protocol=contrast, defect=None, output=tmp_path)
    assert [one.path for one in scan.images] == [f"bids/sub-1234567/ses-2/{path}"]


def test_each_protocol_has_its_file_format(visit: Visit, tmp_path: Path) -> None:
    suffixes = {}
    for contrast in (Contrast.T1, Contrast.T2, Contrast.CT):
        scan = deliver_files(
            (PhantomSeries(contrast, image()),),
            visit,
            protocol=contrast,
            defect=None,
            output=tmp_path,
            labelmap=None,
        )
        suffixes[contrast.value] = "".join(Path(scan.images[0].path).suffixes)
        back = sitk.ReadImage(str(tmp_path / scan.images[0].path))
        assert (sitk.GetArrayFromImage(back) == sitk.GetArrayFromImage(image())).all()
    assert suffixes == {"t1": ".nrrd", "t2": ".mha", "ct": ".nii.gz"}


def test_a_labelmap_is_delivered_on_the_grid_of_its_image(visit: Visit, tmp_path: Path) -> None:
    scan = deliver_files(
        (PhantomSeries(Contrast.T1, image("LIP")),),
        visit,
        protocol="t1",
        defect=Defect.STORED_CORONAL,
        output=tmp_path,
        labelmap=sitk.Cast(image(), sitk.sitkUInt8),
    )
    (delivered,) = scan.images
    assert delivered.labelmap == "nifti/labelmaps/1234567_2_t1.nii.gz"
    labelmap = sitk.ReadImage(str(tmp_path / delivered.labelmap))
    assert (sitk.GetArrayFromImage(labelmap) == sitk.GetArrayFromImage(image("LIP"))).all()
    assert labelmap.GetDirection() == pytest.approx(image("LIP").GetDirection())
    assert scan.defect is Defect.STORED_CORONAL

import numpy as np
import pytest
import SimpleITK as sitk

from organome.compute.labelmaps.remapping import remap_labelmap
from organome.domain.errors import ScanError
from organome.domain.outcomes import Reason
from organome.domain.schemes import AMOS22, MRSEGMENTATOR, SCHEMES, TOTALSEGMENTATOR_CT, LabelScheme

INTEGER_TYPES = (
    *(sitk.sitkUInt8, sitk.sitkInt8, sitk.sitkUInt16, sitk.sitkInt16),
    *(sitk.sitkUInt32, sitk.sitkInt32, sitk.sitkUInt64, sitk.sitkInt64),
)


def labelmap_of(values: object, dtype: object = np.int32) -> sitk.Image:
    voxels_zyx = np.array(values, dtype=dtype).reshape(1, 1, -1)  # type: ignore[call-overload]
    return sitk.GetImageFromArray(voxels_zyx)


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
def test_every_known_class_becomes_its_organ(scheme: LabelScheme) -> None:
    sources = [0, *scheme.classes]
    remapped = remap_labelmap(labelmap_of(sources), scheme)
    assert sitk.GetArrayFromImage(remapped).ravel().tolist() == [
        scheme.organ_labels.get(source, 0) for source in sources
    ]


@pytest.mark.parametrize("pixel_type", [*INTEGER_TYPES, sitk.sitkFloat32, sitk.sitkFloat64])
def test_any_number_type_is_read(pixel_type: int) -> None:
    labelmap = sitk.Cast(labelmap_of([0, 51, 117, 26]), pixel_type)
    remapped = remap_labelmap(labelmap, TOTALSEGMENTATOR_CT)
    assert remapped.GetPixelID() == sitk.sitkUInt8
    assert sitk.GetArrayFromImage(remapped).ravel().tolist() == [0, 12, 0, 25]


@pytest.mark.parametrize(
    ("values", "dtype", "named"),
    [
        ([1, 118], np.uint8, "value 118 "),
        ([1, 119], np.uint8, "value 119 "),
        ([255, 1], np.uint8, "value 255 "),
        ([-1, 1], np.int16, "value -1 "),
        ([-32768, 32767], np.int16, "value -32768, 32767 "),
        ([2**40, 1], np.int64, "value 1099511627776 "),
        ([1.5, 1.0], np.float32, "value 1.5 "),
        ([-0.5, 1.0], np.float64, "value -0.5 "),
        ([np.nan, 1.0], np.float32, "value nan "),
        ([np.inf, 1.0], np.float32, "value inf "),
        (range(118, 128), np.uint8, "value 118, 119, 120, 121, 122 and 5 more "),
    ],
)
def test_unknown_value_fails_the_scan_and_is_named(
    values: object, dtype: object, named: str
) -> None:
    with pytest.raises(ScanError, match="totalsegmentator_ct") as caught:
        remap_labelmap(labelmap_of(values, dtype), TOTALSEGMENTATOR_CT)
    assert caught.value.reason is Reason.LABEL_UNKNOWN
    assert caught.value.fact.startswith(named)


def test_grid_stays() -> None:
    labelmap = sitk.Image([3, 4, 5], sitk.sitkInt16)
    labelmap.SetSpacing((1.5, 2.25, 3.0))
    labelmap.SetOrigin((-10.5, 20.25, 7.0))
    labelmap.SetDirection((0, 0, -1, 1, 0, 0, 0, -1, 0))
    remapped = remap_labelmap(labelmap, MRSEGMENTATOR)
    for geometry in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
        assert getattr(remapped, geometry)() == getattr(labelmap, geometry)()


def test_labelmap_that_is_not_one_3d_image_fails_the_scan() -> None:
    for labelmap in (
        sitk.Image([3, 3], sitk.sitkUInt8),
        sitk.Image([2, 2, 2], sitk.sitkVectorUInt8),
    ):
        with pytest.raises(ScanError) as caught:
            remap_labelmap(labelmap, AMOS22)
        assert caught.value.reason is Reason.NOT_3D

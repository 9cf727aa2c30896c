import zipfile
from io import BytesIO

import numpy as np
import pytest
import SimpleITK as sitk

from organome.domain.scans import DIXON_CONTRASTS, Contrast
from organome.phantoms.delivery.defects import (
    DEFECTS,
    Defect,
    PhantomSeries,
    spoil_archive,
    spoil_files,
    spoil_series,
)

POINT_XYZ_MM = (-3.0, 25.0, 307.5)


def image(fill: int) -> sitk.Image:
    voxels_zyx = (np.arange(11 * 10 * 12).reshape(11, 10, 12) + 1000 * fill).astype(np.int16)
    made = sitk.GetImageFromArray(voxels_zyx)
    made.SetSpacing((2.0, 2.0, 4.5))
    made.SetOrigin((-11.0, 9.0, 289.5))
    return made


@pytest.fixture
def series() -> tuple[PhantomSeries, ...]:
    return tuple(
        PhantomSeries(contrast, image(4 * (station - 1) + place), station)
        for station in range(1, 7)
        for place, contrast in enumerate(DIXON_CONTRASTS)
    )


def plant(defect: Defect, series: tuple[PhantomSeries, ...]) -> tuple[PhantomSeries, ...]:
    return spoil_series(defect, series, np.random.default_rng(1))


def voxels(series: PhantomSeries) -> list[int]:
    return sitk.GetArrayFromImage(series.image).ravel().tolist()


def changed(
    before: tuple[PhantomSeries, ...], after: tuple[PhantomSeries, ...]
) -> list[tuple[int | None, Contrast]]:
    return [
        (new.station, new.contrast)
        for old, new in zip(before, after, strict=True)
        if new is not old
    ]


def test_every_defect_is_registered_at_exactly_one_place() -> None:
    assert set(DEFECTS) == set(Defect)
    for planting in DEFECTS.values():
        places = (planting.series, planting.files, planting.archive)
        assert sum(place is not None for place in places) == 1
        assert planting.formats
        assert planting.promise.endswith(".")


def test_without_a_defect_nothing_changes(series: tuple[PhantomSeries, ...]) -> None:
    assert not changed(series, spoil_series(None, series, np.random.default_rng(1)))
    assert spoil_files(None, {"a.dcm": b"1"}) == {"a.dcm": b"1"}
    assert spoil_archive(None, b"PK") == b"PK"


def test_a_truncated_zip_is_no_zip() -> None:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.dcm", bytes(1000))
    with pytest.raises(zipfile.BadZipFile):
        zipfile.ZipFile(BytesIO(spoil_archive(Defect.TRUNCATED_ZIP, buffer.getvalue())))


def test_an_empty_zip_has_no_file_and_one_without_dicom_keeps_the_manifest() -> None:
    files = {"a.dcm": b"1", "manifest.cvs": b"2"}
    assert spoil_files(Defect.EMPTY_ZIP, files) == {}
    assert spoil_files(Defect.NO_DICOM_IN_ZIP, files) == {"manifest.cvs": b"2"}


def test_a_missing_station_lacks_all_contrasts(series: tuple[PhantomSeries, ...]) -> None:
    left = plant(Defect.MISSING_STATION, series)
    assert len(left) == 20
    assert {one.station for one in left} == {1, 2, 4, 5, 6}


def test_a_station_acquired_twice_is_good_the_second_time(
    series: tuple[PhantomSeries, ...],
) -> None:
    planted = plant(Defect.DUPLICATE_STATION, series)
    assert len(planted) == 28
    sound = [one for one in series if one.station == 3]
    first = [one for one in planted if one.station == 3 and one.take == 1]
    second = [one for one in planted if one.take == 2]
    assert list(map(voxels, second)) == list(map(voxels, sound))
    assert all(voxels(a) != voxels(b) for a, b in zip(first, sound, strict=True))
    assert all(one.image.GetOrigin() == sound[0].image.GetOrigin() for one in (*first, *second))


def test_one_series_has_another_size_at_the_same_place(series: tuple[PhantomSeries, ...]) -> None:
    planted = plant(Defect.WRONG_SIZE_SERIES, series)
    assert changed(series, planted) == [(3, Contrast.FAT)]
    (cropped,) = (one.image for one in planted if one.image.GetSize() != (12, 10, 11))
    assert cropped.GetSize() == (8, 6, 11)
    assert cropped.GetOrigin() == (-7.0, 13.0, 289.5)


def test_one_inner_slice_of_one_series_is_lost(series: tuple[PhantomSeries, ...]) -> None:
    planted = plant(Defect.SLICE_MISSING, series)
    assert changed(series, planted) == [(3, Contrast.WATER)]
    (order,) = (one.slice_order for one in planted if one.slice_order)
    assert sorted(set(range(11)) - set(order)) == [5]


def test_shuffling_renumbers_all_slices_and_moves_no_voxel(
    series: tuple[PhantomSeries, ...],
) -> None:
    for old, new in zip(series, plant(Defect.SHUFFLED_INSTANCES, series), strict=True):
        assert new.slice_order is not None
        assert new.slice_order != tuple(range(11))
        assert sorted(new.slice_order) == list(range(11))
        assert new.image is old.image


def test_fat_and_water_are_swapped_in_one_station(series: tuple[PhantomSeries, ...]) -> None:
    planted = plant(Defect.SWAPPED_FAT_WATER, series)
    assert changed(series, planted) == [(3, Contrast.FAT), (3, Contrast.WATER)]
    before = {one.contrast: one for one in series if one.station == 3}
    after = {one.contrast: one for one in planted if one.station == 3}
    assert voxels(after[Contrast.FAT]) == voxels(before[Contrast.WATER])
    assert voxels(after[Contrast.WATER]) == voxels(before[Contrast.FAT])


def test_a_swap_leaves_an_image_without_dixon_contrasts_alone() -> None:
    series = (PhantomSeries(Contrast.T1, image(0)),)
    assert plant(Defect.SWAPPED_FAT_WATER, series) == series


def test_not_finite_images_are_finite_elsewhere(series: tuple[PhantomSeries, ...]) -> None:
    for old, new in zip(series, plant(Defect.NOT_FINITE, series), strict=True):
        after = sitk.GetArrayFromImage(new.image)
        assert np.isnan(after).sum() == 8
        same = after == sitk.GetArrayFromImage(old.image)
        assert (same | np.isnan(after)).all()
        assert new.image.GetOrigin() == old.image.GetOrigin()


@pytest.mark.parametrize(
    ("defect", "axes", "size"),
    [(Defect.STORED_CORONAL, "LIP", (12, 11, 10)), (Defect.FLIPPED, "RPI", (12, 10, 11))],
)
def test_voxels_stored_otherwise_stay_where_they_were(
    defect: Defect, axes: str, size: tuple[int, int, int], series: tuple[PhantomSeries, ...]
) -> None:
    for old, new in zip(series, plant(defect, series), strict=True):
        oriented = sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(
            new.image.GetDirection()
        )
        assert oriented == axes
        assert new.image.GetSize() == size
        there = new.image.TransformPhysicalPointToIndex(POINT_XYZ_MM)
        assert new.image[there] == old.image[old.image.TransformPhysicalPointToIndex(POINT_XYZ_MM)]
        assert voxels(new) != voxels(old)

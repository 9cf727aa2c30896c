"""Images of pyradiomics' own tests, compared with its published baselines and with itself."""

import csv
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from doubles.features import measure_features
from doubles.places import SHARED_DATA
from doubles.pyradiomics import differences, reference_features
from organome.domain.features import FEATURES
from organome.domain.radiomics_settings import TextureSettings

DATA = SHARED_DATA / "pyradiomics"
IMAGES = {
    "brain1": ("brain1_image.nrrd", "brain1_label.nrrd"),
    "breast1": ("breast1_image.nrrd", "breast1_label.nrrd"),
    "lung1": ("lung1_image_crop8.nrrd", "lung1_label_crop8.nrrd"),
}
SETTINGS: dict[str, tuple[TextureSettings, dict[str, Any]]] = {
    "": (TextureSettings(voxel_array_shift=2000), {"voxelArrayShift": 2000}),
    "_2d": (TextureSettings(force_2d=True), {"force2D": True}),
    "_FBN": (TextureSettings(bin_count=16), {"binCount": 16}),
}
# The baselines were made by a release with another table of triangles.
MESH = {"MeshVolume", "SurfaceArea", "Sphericity", "SurfaceVolumeRatio"}

pytestmark = pytest.mark.skipif(
    not DATA.is_dir(), reason="the images of pyradiomics are not beside this repository"
)


def read(case: str) -> tuple[sitk.Image, sitk.Image]:
    image, labelmap = (sitk.ReadImage(str(DATA / name)) for name in IMAGES[case])
    return image, sitk.Cast(labelmap, sitk.sitkUInt8)


@pytest.mark.parametrize("setting", SETTINGS, ids=["default", "2d", "fixed number"])
@pytest.mark.parametrize("case", IMAGES)
def test_numbers_are_those_of_pyradiomics(case: str, setting: str) -> None:
    image, labelmap = read(case)
    ours, theirs = SETTINGS[setting]
    found = measure_features(image, labelmap, ours)
    for label in np.setdiff1d(np.unique(sitk.GetArrayViewFromImage(labelmap)), [0]).tolist():
        reference = reference_features(image, labelmap, label, **theirs)
        assert isinstance(reference, dict)
        assert differences(reference, found[label].values) == []


@pytest.mark.parametrize("case", IMAGES)
def test_numbers_are_those_of_the_published_baseline(case: str) -> None:
    found = measure_features(*read(case), SETTINGS[""][0])[1].values
    n_compared = 0
    for of_class, features in FEATURES.items():
        with (DATA / "baseline" / f"baseline_{of_class}.csv").open() as file:
            rows = {row["featureName"]: row[case] for row in csv.DictReader(file)}
        for feature in features:
            name = f"original_{of_class}_{feature}"
            if name not in rows:
                continue
            relative = 1e-3 if feature in MESH else 1e-6
            assert found[name] == pytest.approx(float(rows[name]), rel=relative, abs=1e-9), name
            n_compared += 1
    assert n_compared > 100

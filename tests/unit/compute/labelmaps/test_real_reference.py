"""Real scans with published labelmaps: TotalSegmentator's own test files (Apache-2.0).

What the statistics file shows, and these tests pin down: it was written without that tool's rule of
zeroing masks near the border. Every class that the labelmap holds has its full volume there, though
most of them reach a face; every 0.0 is a class that the labelmap does not hold. Two organs lie
within three voxels of a face and do not reach it: they are complete by our rule.
"""

import json
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from doubles.places import SHARED_DATA
from doubles.schemes import merged
from organome.compute.geometry.grids import share_grid
from organome.compute.labelmaps.remapping import remap_labelmap
from organome.compute.labelmaps.volumes import OrganMeasure, measure_organs
from organome.domain.geometry import Face
from organome.domain.organs import ORGANS
from organome.domain.schemes import TOTALSEGMENTATOR_CT, TOTALSEGMENTATOR_MR, LabelScheme

REAL = SHARED_DATA / "real"
BORDER_VOXELS = 3  # TotalSegmentator's rule, where it is switched on

pytestmark = pytest.mark.skipif(
    not REAL.is_dir(), reason="the shared test data are not beside the repository"
)


def read(name: str) -> sitk.Image:
    return sitk.ReadImage(str(REAL / name))


def by_organ(measures: dict[int, OrganMeasure]) -> dict[str, OrganMeasure]:
    return {organ.name: measures[organ.label] for organ in ORGANS if organ.label in measures}


@pytest.fixture(scope="module")
def ct() -> dict[str, OrganMeasure]:
    labelmap = remap_labelmap(read("example_seg_fast.nii.gz"), TOTALSEGMENTATOR_CT)
    return by_organ(measure_organs(labelmap, read("example_ct_sm.nii.gz")))


@pytest.fixture(scope="module")
def mr() -> dict[str, OrganMeasure]:
    labelmap = remap_labelmap(read("example_seg_mr.nii.gz"), TOTALSEGMENTATOR_MR)
    return by_organ(measure_organs(labelmap, read("example_mr_sm.nii.gz")))


@pytest.fixture(scope="module")
def reference() -> dict[str, Any]:
    """TotalSegmentator's volumes in mm3 and mean intensities, by organ that is one class there."""
    statistics = json.loads((REAL / "example_seg_fast_statistics.json").read_text())
    return {
        ORGANS[label - 1].name: statistics[TOTALSEGMENTATOR_CT.classes[source]]
        for source, label in TOTALSEGMENTATOR_CT.organ_labels.items()
        if ORGANS[label - 1].name not in merged(TOTALSEGMENTATOR_CT)
    }


def test_all_organs_of_one_class_are_compared(reference: dict[str, Any]) -> None:
    assert len(reference) == 37


def test_volumes_of_the_ct_are_exactly_those_of_the_reference(
    ct: dict[str, OrganMeasure], reference: dict[str, Any]
) -> None:
    ours = {organ: ct[organ].volume_observed_ml if organ in ct else 0.0 for organ in reference}
    assert ours == {organ: values["volume"] / 1000 for organ, values in reference.items()}


def test_mean_intensities_of_the_ct_are_those_of_the_reference(
    ct: dict[str, OrganMeasure], reference: dict[str, Any]
) -> None:
    for organ, values in reference.items():
        if organ in ct:
            intensities = ct[organ].intensities
            assert intensities is not None
            assert intensities.mean == pytest.approx(values["intensity"], abs=1e-4)


def test_reference_writes_0_exactly_for_organs_that_the_ct_labelmap_lacks(
    ct: dict[str, OrganMeasure], reference: dict[str, Any]
) -> None:
    zero = {organ for organ, values in reference.items() if values["volume"] == 0.0}
    assert zero == set(reference) - set(ct)
    assert len(zero) == 18


def test_organs_of_the_ct_that_are_wholly_in_view(ct: dict[str, OrganMeasure]) -> None:
    complete = {organ for organ, measure in ct.items() if not measure.touches}
    assert complete == {
        "gallbladder",
        "pancreas",
        "right_adrenal_gland",
        "left_adrenal_gland",
        "portal_vein_and_splenic_vein",
    }


def test_our_completeness_differs_from_the_3_voxel_rule_for_two_organs_only(
    ct: dict[str, OrganMeasure],
) -> None:
    labels_zyx = sitk.GetArrayFromImage(
        remap_labelmap(read("example_seg_fast.nii.gz"), TOTALSEGMENTATOR_CT)
    )
    near_border = set()
    for organ in ORGANS:
        index_zyx = np.argwhere(labels_zyx == organ.label)
        if len(index_zyx):
            away = min(index_zyx.min(), (np.array(labels_zyx.shape) - 1 - index_zyx).min())
            if away < BORDER_VOXELS:
                near_border.add(organ.name)
    truncated = {organ for organ, measure in ct.items() if measure.touches}
    assert truncated < near_border
    assert near_border - truncated == {"gallbladder", "pancreas"}


def test_faces_of_the_ct_are_those_of_the_body(ct: dict[str, OrganMeasure]) -> None:
    # 9 cm of the upper abdomen, stored with x and y reversed: what goes up goes out on top.
    assert ct["left_lung"].touches == (Face.SUPERIOR,)
    assert ct["right_lung"].touches == (Face.SUPERIOR,)
    assert set(ct["spine"].touches) == {Face.SUPERIOR, Face.INFERIOR}
    assert Face.INFERIOR in ct["left_iliopsoas_muscle"].touches
    for left, right in (("left_kidney", "right_kidney"), ("spleen", "liver")):
        assert ct[left].centroid_xyz_mm[0] > ct[right].centroid_xyz_mm[0]


def test_mr_gives_every_mapped_class_the_naive_numbers(mr: dict[str, OrganMeasure]) -> None:
    assert_naive(mr, "example_seg_mr.nii.gz", "example_mr_sm.nii.gz", TOTALSEGMENTATOR_MR)
    assert len(mr) == 21


def test_ct_gives_merged_organs_the_naive_numbers(ct: dict[str, OrganMeasure]) -> None:
    assert_naive(ct, "example_seg_fast.nii.gz", "example_ct_sm.nii.gz", TOTALSEGMENTATOR_CT)
    assert set(ct) >= {"left_lung", "right_lung", "spine"}


def assert_naive(
    measures: dict[str, OrganMeasure], labelmap: str, image: str, scheme: LabelScheme
) -> None:
    """Compare with numbers taken from the source classes, one organ at a time, unmapped."""
    assert share_grid(read(labelmap), read(image))
    source_zyx = sitk.GetArrayFromImage(read(labelmap))
    voxels_zyx = sitk.GetArrayFromImage(read(image))
    for organ in ORGANS:
        classes = [source for source, label in scheme.organ_labels.items() if label == organ.label]
        mask_zyx = np.isin(source_zyx, classes)
        if not mask_zyx.any():
            assert organ.name not in measures
            continue
        measure = measures[organ.name]
        values = voxels_zyx[mask_zyx].astype(float)
        sizes = np.bincount(ndimage.label(mask_zyx)[0][mask_zyx])
        assert measure.n_voxels == values.size
        assert measure.volume_observed_ml == values.size * 27.0 / 1000
        assert measure.n_pieces == np.count_nonzero(sizes)
        assert measure.largest_piece_share == sizes.max() / values.size
        found = measure.intensities
        assert found is not None
        assert (found.mean, found.sd, found.median) == pytest.approx(
            (values.mean(), values.std(), np.median(values)), rel=1e-12
        )
        assert (found.p10, found.p90) == pytest.approx(tuple(np.quantile(values, (0.1, 0.9))))
        reaches = any(mask_zyx.take(end, axis=axis).any() for axis in range(3) for end in (0, -1))
        assert bool(measure.touches) == reaches

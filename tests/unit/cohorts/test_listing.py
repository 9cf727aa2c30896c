"""From images to scans."""

from dataclasses import replace

import pytest

from organome.cohorts.listing import FoundImage, group_images
from organome.domain.errors import SetupError
from organome.domain.scans import Contrast, Stations

WATER = FoundImage("p1", "1", "1", "dixon", "w.nii.gz", "line 2", Contrast.WATER)
FAT = replace(WATER, path="f.nii.gz", where="line 3", contrast=Contrast.FAT)


def test_contrasts_of_a_visit_are_one_scan() -> None:
    (scan,) = group_images([WATER, FAT], cohort="c", stations=Stations.STITCH)
    assert [source.contrast for source in scan.sources] == [Contrast.FAT, Contrast.WATER]


def test_order_of_the_images_does_not_matter() -> None:
    images = [WATER, FAT, replace(WATER, participant="p0", path="p0.nii.gz")]
    assert group_images(images, cohort="c", stations=Stations.STITCH) == group_images(
        reversed(images), cohort="c", stations=Stations.STITCH
    )


def test_stations_are_one_scan_or_one_each() -> None:
    images = [replace(one, station=n) for one in (WATER, FAT) for n in (2, 1)]
    (stitched,) = group_images(images, cohort="c", stations=Stations.STITCH)
    assert [source.station for source in stitched.sources] == [1, 1, 2, 2]
    assert stitched.station is None
    kept = group_images(images, cohort="c", stations=Stations.SEPARATE)
    assert [(scan.station, len(scan.sources)) for scan in kept] == [(1, 2), (2, 2)]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (replace(WATER, path="again", where="line 9"), "line 9: scan, station and contrast of"),
        (replace(FAT, station=1, where="line 9"), "one without station"),
    ],
)
def test_ambiguous_images_are_refused_by_line(other: FoundImage, message: str) -> None:
    with pytest.raises(SetupError, match=message):
        group_images([WATER, other], cohort="c", stations=Stations.STITCH)


@pytest.mark.odd_input(
    "T-42",
    make="two labelmaps for one scan",
    source="own",
    outcome="the listing stops and names both lines",
)
def test_two_labelmaps_of_one_scan_are_refused() -> None:
    with pytest.raises(SetupError, match="different labelmaps"):
        group_images(
            [replace(WATER, labelmap="a"), replace(FAT, labelmap="b")],
            cohort="c",
            stations=Stations.STITCH,
        )


def test_separate_stations_have_a_labelmap_each() -> None:
    images = [
        replace(one, station=n, labelmap=f"{n}.nii.gz") for one in (WATER, FAT) for n in (1, 2)
    ]
    kept = group_images(images, cohort="c", stations=Stations.SEPARATE)
    assert [(scan.station, scan.labelmap) for scan in kept] == [(1, "1.nii.gz"), (2, "2.nii.gz")]
    odd = [*images[:-1], replace(images[-1], labelmap="3.nii.gz")]
    for found, stations in ((images, Stations.STITCH), (odd, Stations.SEPARATE)):
        with pytest.raises(SetupError, match="different labelmaps"):
            group_images(found, cohort="c", stations=stations)


def test_one_labelmap_serves_all_contrasts() -> None:
    (scan,) = group_images(
        [replace(WATER, labelmap="a"), FAT], cohort="c", stations=Stations.STITCH
    )
    assert scan.labelmap == "a"


@pytest.mark.odd_input(
    "T-43",
    make="one image for two participants",
    source="own",
    outcome="the listing stops and names both lines",
)
def test_one_image_of_two_participants_is_refused() -> None:
    """Both were measured, and one of them is somebody else."""
    with pytest.raises(SetupError, match="the image of line 2, for another participant"):
        group_images(
            [WATER, replace(WATER, participant="p0", where="line 9")],
            cohort="c",
            stations=Stations.STITCH,
        )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"participant": "p0", "path": "a/../w.nii.gz"}, "the image of line 2, for another part"),
        ({"instance": "2"}, "the image of line 2, for another visit"),
        ({"participant": "p0", "path": "o.nii.gz"}, "the labelmap of line 2, for another part"),
        ({"instance": "2", "path": "o.nii.gz"}, "the labelmap of line 2, for another visit"),
    ],
)
@pytest.mark.odd_input(
    "T-20",
    make="one image, by two spellings of its path, or one labelmap for two participants or visits",
    source="own",
    outcome="the listing stops and names both lines",
)
def test_nothing_is_that_of_two_visits(changes: dict[str, str], message: str) -> None:
    first = replace(WATER, labelmap="l.nii.gz")
    with pytest.raises(SetupError, match=message):
        group_images(
            [first, replace(first, where="line 9", **changes)],  # type: ignore[arg-type]
            cohort="c",
            stations=Stations.STITCH,
        )

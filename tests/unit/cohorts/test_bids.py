"""Images of BIDS-like cohorts."""

from pathlib import PurePath

import pytest

from organome.cohorts.bids import parse_path
from organome.domain.scans import Contrast

ROOT = PurePath("/bids")


@pytest.mark.parametrize(
    ("path", "contrast", "protocol"),
    [
        ("sub-01/ses-2/anat/sub-01_ses-2_T1w.nii.gz", Contrast.T1, "t1"),
        ("sub-01/ses-2/anat/sub-01_ses-2_acq-ax_T2w.nii.gz", Contrast.T2, "t2_ax"),
        ("sub-01/ses-2/anat/sub-01_ses-2_acq-fs_T1w.nii.gz", Contrast.T1FS, "t1fs"),
        ("sub-01/ses-2/ct/sub-01_ses-2_ct.nii.gz", Contrast.CT, "ct"),
        ("sub-01/ses-2/mr/sub-01_ses-2_acq-W_vibe.nii.gz", Contrast.WATER, "dixon"),
        ("sub-01/ses-2/anat/sub-01_ses-2_acq-dixon_part-fat_vibe.nii.gz", Contrast.FAT, "dixon"),
        (
            "sub-01/ses-2/anat/sub-01_ses-2_acq-ax_part-inphase_vibe.nrrd",
            Contrast.IN_PHASE,
            "dixon_ax",
        ),
        (
            "sub-01/ses-2/anat/sub-01_ses-2_part-outphase_vibe.mha",
            Contrast.OPPOSED_PHASE,
            "dixon",
        ),
    ],
)
def test_contrast_and_protocol(path: str, contrast: Contrast, protocol: str) -> None:
    image = parse_path(ROOT / path, root=ROOT)
    assert image is not None
    assert (image.contrast, image.protocol) == (contrast, protocol)
    assert (image.participant, image.instance, image.array) == ("01", "2", "1")


def test_run_and_chunk_and_no_session() -> None:
    image = parse_path(ROOT / "sub-a/anat/sub-a_run-02_chunk-3_part-water_vibe.nii.gz", root=ROOT)
    assert image is not None
    assert (image.instance, image.array, image.station) == ("1", "02", 3)


@pytest.mark.parametrize(
    "path",
    [
        "sub-01/anat/sub-01_T1w.json",
        "sub-01/anat/sub-01_part-phase_T1w.nii.gz",
        "sub-01/anat/sub-01_FLAIR.nii.gz",
        "sub-01/func/sub-01_T1w.nii.gz",
        "sub-01/anat/sub-02_T1w.nii.gz",
        "sub-01/ses-1/anat/sub-01_T1w.nii.gz",
        "sub-01/anat/sub-01_ses-1_T1w.nii.gz",
        "derivatives/sub-01/anat/sub-01_T1w.nii.gz",
        "sub-01_T1w.nii.gz",
    ],
)
def test_other_files_are_no_images_of_ours(path: str) -> None:
    assert parse_path(ROOT / path, root=ROOT) is None

"""The DICOM files that pydicom is tested with: the same values as pydicom's, or a reason.

Source: pydicom's own test files, as its package brings them; they are public, and of many makers.
"""

import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_files
from pydicom.pixels.processing import apply_modality_lut

from organome.domain.errors import ScanError
from organome.domain.outcomes import Reason
from organome.io.dicom.slices import parse_files
from organome.io.dicom.voxels import rescaled_voxels

READ = (
    *("693_J2KI.dcm", "CT_small.dcm", "J2K_pixelrep_mismatch.dcm", "MR_small.dcm"),
    *("MR_small_RLE.dcm", "MR_small_bigendian.dcm", "MR_small_expb.dcm", "MR_small_implicit.dcm"),
    *("MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm", "MR_small_padded.dcm"),
    "examples_overlay.dcm",
)
REFUSED = {
    # Images without a position: colour, nuclear medicine, captures, frames without groups.
    **dict.fromkeys(
        (
            *("ExplVR_BigEnd.dcm", "JPEG-lossy.dcm", "JPEG2000.dcm", "JPGExtended.dcm"),
            *("GDCMJ2K_TextGBR.dcm", "SC_rgb_rle.dcm", "SC_rgb_jpeg_dcmtk.dcm", "badVR.dcm"),
            *("examples_palette.dcm", "examples_rgb_color.dcm"),
            *("examples_jpeg2k.dcm", "image_dfl.dcm"),
        ),
        Reason.ARCHIVE_EMPTY,
    ),
    # Several frames in colour.
    **dict.fromkeys(
        ("SC_rgb_rle_16bit_2frame.dcm", "examples_ybr_color.dcm"), Reason.FORMAT_UNKNOWN
    ),
    # Other objects: dose, plans, structures, segmentations, reports, waveforms.
    **dict.fromkeys(
        (
            *("rtdose.dcm", "rtdose_1frame.dcm", "rtdose_rle.dcm", "rtplan.dcm", "rtstruct.dcm"),
            *("rtplan_truncated.dcm", "liver_1frame.dcm", "test-SR.dcm", "reportsi.dcm"),
            "waveform_ecg.dcm",
        ),
        Reason.ARCHIVE_EMPTY,
    ),
    # Cut short, or without the name of a series.
    **dict.fromkeys(
        (
            *("MR_truncated.dcm", "no_meta.dcm", "UN_sequence.dcm", "meta_missing_tsyntax.dcm"),
            *("JPEGLSNearLossless_08.dcm", "JPEGLSNearLossless_16.dcm", "priv_SQ.dcm"),
        ),
        Reason.FILE_BROKEN,
    ),
}


@cache
def _paths() -> dict[str, Path]:
    return {Path(one).name: Path(one) for one in get_testdata_files()}


@pytest.mark.parametrize("name", READ)
@pytest.mark.odd_input(
    "D-22",
    make="pydicom's own test files: CT, MR, JPEG 2000, JPEG-LS, RLE, big endian, overlays",
    source="pydicom's test suite",
    outcome="the values of pydicom's `pixel_array` and `apply_modality_lut`",
)
def test_a_slice_has_the_values_that_pydicom_reads(name: str) -> None:
    (one,) = parse_files([(name, _paths()[name].read_bytes())]).slices
    dataset = pydicom.dcmread(_paths()[name])
    with warnings.catch_warnings(action="ignore"):
        expected = apply_modality_lut(dataset.pixel_array, dataset)
    np.testing.assert_array_equal(rescaled_voxels([one])[0], expected)


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.odd_input(
    "D-23",
    make="pydicom's own test files: colour, captures, dose, plans, reports, waveforms, cut files",
    source="pydicom's test suite",
    outcome="`archive_empty` where there is no slice, `format_unknown` of frames without a place, "
    "`file_broken` where a slice was",
)
def test_what_is_not_a_slice_is_refused(name: str) -> None:
    with pytest.raises(ScanError) as caught:
        rescaled_voxels(parse_files([(name, _paths()[name].read_bytes())]).slices)
    assert caught.value.reason is REFUSED[name]

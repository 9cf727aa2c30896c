"""Contrasts of which one has the voxels of another."""

from collections.abc import Sequence

import numpy as np
import pytest
import SimpleITK as sitk
from isal import isal_zlib

from organome.domain.errors import ScanError
from organome.domain.flags import Flag
from organome.domain.outcomes import Reason
from organome.domain.scans import Contrast
from organome.steps.prepare.deliveries import Delivery, _without_copies

IN_PHASE, OPPOSED, FAT = Contrast.IN_PHASE, Contrast.OPPOSED_PHASE, Contrast.FAT


def delivery(values: Sequence[int], dtypes: Sequence[str] = ("i2", "i2", "i2")) -> Delivery:
    images = {
        contrast: sitk.GetImageFromArray(np.full((3, 4, 5), value, dtype))
        for contrast, value, dtype in zip((IN_PHASE, OPPOSED, FAT), values, dtypes, strict=True)
    }
    return Delivery(stations=(images,), header=None, flags=frozenset())


def test_copies_are_left_out_or_refused() -> None:
    left = _without_copies(delivery([7, 7, 9]))
    assert set(left.stations[0]) == {FAT}
    assert left.flags == {Flag.CONTRAST_LEFT_OUT}
    with pytest.raises(ScanError) as caught:
        _without_copies(delivery([7, 8, 7]))
    assert caught.value.reason is Reason.CONTENT_REPEATED


@pytest.mark.parametrize("dtypes", [("i2", "i2", "i2"), ("i2", "u2", "f4")])
def test_a_checksum_in_common_is_no_copy(
    dtypes: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isal_zlib, "crc32", lambda _: 0)
    whole = delivery([7, 8, 9], dtypes)
    assert _without_copies(whole) is whole


def test_another_type_is_no_copy() -> None:
    whole = delivery([7, 7, 7], ("i2", "u2", "f4"))
    assert _without_copies(whole) is whole

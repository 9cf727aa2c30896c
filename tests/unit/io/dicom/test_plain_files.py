"""Headers cut out of plain files: what pydicom reads, or left to pydicom."""

from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.uid import ImplicitVRLittleEndian

from organome.io.dicom.elements import tags_to_read, value_of
from organome.io.dicom.plain_files import read_plain

MakeDicom = Callable[..., dict[str, bytes]]
VOXELS = np.arange(12, dtype=np.uint16).reshape(1, 3, 4)


def file_with(make_dicom: MakeDicom, **elements: Any) -> bytes:
    (content,) = make_dicom(VOXELS, **elements).values()
    return content


@pytest.mark.parametrize(
    "elements",
    [
        {},
        {"SoftwareVersions": ["syngo MR D13D", "second"], "EchoTime": "2.39"},
        {"SpecificCharacterSet": "ISO_IR 100", "SeriesDescription": "Höhe"},
        {"SpecificCharacterSet": ["", "ISO 2022 IR 87"], "SeriesDescription": "plain"},
        {"SeriesDescription": "", "PatientSize": "", "EchoNumbers": None},
        {"PixelPaddingValue": 0, "ImageType": ["ORIGINAL", "PRIMARY", "M"]},
    ],
)
def test_a_plain_file_has_the_elements_that_pydicom_reads(
    make_dicom: MakeDicom, elements: dict[str, Any]
) -> None:
    content = file_with(make_dicom, **elements)
    plain = read_plain(content, tags_to_read())
    tags = [*tags_to_read().values()]
    whole = pydicom.dcmread(BytesIO(content), specific_tags=tags)
    assert plain is not None
    assert set(plain.keys()) == set(whole.keys())
    assert plain.original_encoding == whole.original_encoding
    assert plain.file_meta.TransferSyntaxUID == whole.file_meta.TransferSyntaxUID
    for tag in whole.keys():  # noqa: SIM118 a data set goes through elements
        if isinstance(expected := whole.get_item(tag), RawDataElement):
            raw = plain.get_item(tag)
            assert (raw.tag, raw.VR, raw.value) == (expected.tag, expected.VR, expected.value)
    for keyword in ("SeriesDescription", "ImageType", "Rows", "EchoTime", "SoftwareVersions"):
        assert value_of(plain, keyword) == whole.get(keyword)


def sequence() -> list[Dataset]:
    item = Dataset()
    item.ContrastBolusAgent = "agent"
    return [item]


@pytest.mark.parametrize(
    ("elements", "cut"),
    [
        ({"syntax": ImplicitVRLittleEndian}, slice(None)),
        ({"ContrastBolusAgentSequence": sequence()}, slice(None)),
        ({}, slice(0, -1)),
        ({}, slice(0, 300)),
        ({}, slice(0, 140)),
    ],
    ids=["implicit", "sequence", "a byte short", "cut in the header", "cut in the meta"],
)
def test_what_is_not_plain_or_whole_is_left_to_pydicom(
    make_dicom: MakeDicom, elements: dict[str, Any], cut: slice
) -> None:
    assert read_plain(file_with(make_dicom, **elements)[cut], tags_to_read()) is None


def test_a_value_is_converted_by_the_character_set_of_its_own_file(make_dicom: MakeDicom) -> None:
    written = {
        name: file_with(make_dicom, SpecificCharacterSet=name, SeriesDescription=text)
        for name, text in (("ISO_IR 100", "Höhe"), ("ISO_IR 144", "Ж"))
    }
    read = {name: read_plain(one, tags_to_read()) for name, one in written.items()}
    found = [value_of(one, "SeriesDescription") for one in read.values() if one is not None]
    assert found == ["Höhe", "Ж"]

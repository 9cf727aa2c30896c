"""Headers of plain files, of which a scan has a thousand: explicit VR, little endian, not nested.

pydicom takes most of a millisecond for a header. Here its raw elements are cut out of the bytes;
whatever is not plain, in order and whole is left to pydicom.

Source: DICOM PS3.10 7.1 (preamble and meta information), PS3.5 7.1.2 (explicit VR).
"""

from collections.abc import Mapping
from functools import lru_cache
from io import BytesIO
from struct import Struct
from typing import Any, Final

from pydicom.charset import convert_encodings, default_encoding
from pydicom.dataelem import (
    DataElement,
    RawDataElement,
    convert_raw_data_element,
    empty_value_for_VR,
)
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID, ExplicitVRLittleEndian

_META_AT: Final = 132
_META_GROUP: Final = 2
_SHORT: Final = Struct("<HH2sH")
_LONG: Final = Struct("<L")
# Value representations whose length takes two bytes, and four.
_SHORT_ONES: Final = (
    *("AE", "AS", "AT", "CS", "DA", "DS", "DT", "FL", "FD", "IS", "LO", "LT", "PN", "SH", "SL"),
    *("SS", "ST", "TM", "UI", "UL", "US"),
)
_LONG_ONES: Final = ("OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV")
_BY_CODE: Final = {
    vr.encode(): (vr, has_long)
    for has_long, ones in enumerate((_SHORT_ONES, _LONG_ONES))
    for vr in ones
}
_NOT_PLAIN: Final = frozenset({"SQ", "UN"})
_UNDEFINED: Final = 0xFFFFFFFF
_CHARACTER_SET: Final = Tag("SpecificCharacterSet")
_CLASS: Final = Tag("MediaStorageSOPClassUID")
_SYNTAX: Final = Tag("TransferSyntaxUID")
_OF_META: Final = {int(one): one for one in (_CLASS, _SYNTAX)}

# What differs between slices of a series that are alike in all else.
OF_A_SLICE: Final = frozenset(
    {
        *map(Tag, ("InstanceNumber", "ImagePositionPatient", "ContentDate", "ContentTime")),
        *map(Tag, ("AcquisitionTime", "AcquisitionDateTime", "PixelData")),
    }
)

_Raw = dict[BaseTag, DataElement | RawDataElement]


class PlainFile(FileDataset):
    """A file whose elements were cut out here.

    Attributes:
        alike: What the file says apart from ``OF_A_SLICE``; files of which it is equal say the
            same there.
    """

    alike: tuple[tuple[BaseTag, str | None, Any], ...]


def read_plain(content: bytes, wanted: Mapping[int, BaseTag]) -> PlainFile | None:
    """Read elements of a file.

    Args:
        content: A file with a preamble.
        wanted: Tags of the elements, by number.

    Returns:
        As pydicom reads it, of the meta information class and transfer syntax only; None if pydicom
        has to.
    """
    found = _elements(content, _META_AT, _OF_META, of_meta=True)
    if found is None or _SYNTAX not in found[0]:
        return None
    meta, start = found
    syntax, storage_class = (getattr(meta.get(one), "value", None) for one in (_SYNTAX, _CLASS))
    if syntax is None or syntax.rstrip(b"\0") != ExplicitVRLittleEndian.encode():
        return None
    found = _elements(content, start, {**wanted, int(_CHARACTER_SET): _CHARACTER_SET})
    if found is None or found[1] != len(content):
        return None
    raw = found[0]
    dataset = PlainFile(BytesIO(), raw, None, _meta(storage_class), False, True)
    dataset.alike = tuple(
        (tag, one.VR, one.value) for tag, one in raw.items() if tag not in OF_A_SLICE
    )
    named = raw.get(_CHARACTER_SET)
    encoding = (
        default_encoding
        if not isinstance(named, RawDataElement)
        else convert_encodings(convert_raw_data_element(named).value)
    )
    dataset.set_original_encoding(False, True, encoding)
    return dataset


def _elements(
    content: bytes, place: int, wanted: Mapping[int, BaseTag], *, of_meta: bool = False
) -> tuple[_Raw, int] | None:
    """Cut elements out of the meta information, or of what follows it.

    Returns:
        The elements, and where they end; None if something is not plain.
    """
    raw: _Raw = {}
    before, n_bytes = 0, len(content)
    while place + _SHORT.size <= n_bytes:
        group, element, code, length = _SHORT.unpack_from(content, place)
        if of_meta and group != _META_GROUP:
            break
        vr, has_long = _BY_CODE.get(code, (None, 0))
        number = group << 16 | element
        start = place + _SHORT.size
        if has_long and start + _LONG.size <= n_bytes:
            (length,) = _LONG.unpack_from(content, start)
            start += _LONG.size
        if vr is None or number <= before or length == _UNDEFINED or start + length > n_bytes:
            return None
        tag = wanted.get(number)
        if tag is not None:
            if vr in _NOT_PLAIN:
                return None
            value: Any = content[start : start + length]
            if not length:
                value = empty_value_for_VR(vr, raw=True)
            raw[tag] = RawDataElement(tag, vr, length, value, start, False, True)
        before, place = number, start + length
    return raw, place


@lru_cache(maxsize=16)
def _meta(storage_class: bytes | None) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    if storage_class:
        meta.MediaStorageSOPClassUID = UID(storage_class.rstrip(b"\0 ").decode("latin-1"))
    return meta

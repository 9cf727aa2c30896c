"""What can happen to the files of a participant: to their bytes, headers, names and tables.

A delivery is a mapping of paths to contents. A corruption changes it by chance, and returns what it
did in a few words. Every kind of corruption is drawn for every carrier, in turn.
"""

import gzip
import random
import re
import struct
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from io import BytesIO
from typing import Final, NamedTuple, TypeAlias
from zipfile import ZIP_DEFLATED, ZipFile

import pydicom

from campaigns import damage

Delivery: TypeAlias = dict[str, bytes]
Corruption: TypeAlias = Callable[[Delivery, random.Random], str]
_Change: TypeAlias = Callable[[bytes, random.Random], bytes]

NIFTI: Final = (".nii.gz", ".nii")
NRRD: Final = (".nrrd", ".mha")
DICOM: Final = (".dcm",)
ANY: Final = ("",)
KINDS: Final = ("truncate", "flip", "swap", "nan", "zero", "header", "other")
CARRIERS: Final = ("zip", "dicom", "nifti", "nrrd", "bids", "tsv")
_ZERO_ELEMENTS: Final = ("PixelSpacing", "SliceThickness", "SpacingBetweenSlices")
_NUMBER_ELEMENTS: Final = (
    *("RescaleSlope", "RescaleIntercept", "ImagePositionPatient", "ImageOrientationPatient"),
    *_ZERO_ELEMENTS,
)
# Offsets, formats and names of fields of a NIfTI-1 header.
_NIFTI_FIELDS: Final = (
    *((40 + 2 * place, "<h", f"dim[{place}]") for place in range(8)),
    (70, "<h", "datatype"),
    (72, "<h", "bitpix"),
    *((76 + 4 * place, "<f", f"pixdim[{place}]") for place in range(5)),
    (108, "<f", "vox_offset"),
    (112, "<f", "scl_slope"),
    (116, "<f", "scl_inter"),
    (123, "<b", "xyzt_units"),
    (252, "<h", "qform_code"),
    (254, "<h", "sform_code"),
    *((256 + 4 * place, "<f", f"quatern[{place}]") for place in range(6)),
    *((280 + 4 * place, "<f", f"srow[{place}]") for place in range(12)),
    (344, "<i", "magic"),
)
_NUMBERS: Final = (0, 1, -1, 2, 0.5, 1e-9, 1e9, 1e38, float("inf"), float("nan"))
_WORDS: Final = (
    "",
    "0",
    "-1",
    "nan",
    "inf",
    "1e38",
    "1,5",
    "x",
    "Ж",
    "0 0 0",
    "9" * 40,
    "../../etc",
)
_KEYWORDS: Final = (
    "SOPClassUID", "SOPInstanceUID", "ImageType", "SeriesDate", "SeriesTime", "Modality",
    "Manufacturer", "SeriesDescription", "PatientSize", "PatientWeight", "MagneticFieldStrength",
    "SeriesInstanceUID", "SeriesNumber", "AcquisitionNumber", "EchoTime", "ContentTime",
    "InstanceNumber", "ImagePositionPatient", "ImageOrientationPatient", "SamplesPerPixel",
    "PhotometricInterpretation", "NumberOfFrames", "Rows", "Columns", "PixelSpacing",
    "SliceThickness", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
    "PixelPaddingValue", "RescaleIntercept", "RescaleSlope", "SpecificCharacterSet", "PixelData",
)  # fmt: skip
_ENTITIES: Final = ("acq-", "ce-GD", "echo-1", "echo-x", "run-02", "rec-", "space-MNI", "desc-x")


def _flip(content: bytes, chance: random.Random) -> bytes:
    for _ in range(chance.choice((1, 1, 2, 20))):
        content = damage.DAMAGES["flip"](content, chance)
    return content


def _head_flip(content: bytes, chance: random.Random) -> bytes:
    n_head = min(len(content), 2000)
    return _flip(content[:n_head], chance) + content[n_head:]


def _grow(content: bytes, chance: random.Random) -> bytes:
    return content + chance.choice((b"\0", content, chance.randbytes(4096)))


def _other(content: bytes, chance: random.Random) -> bytes:
    return chance.choice(
        (
            b"",
            b"\0",
            chance.randbytes(2000),
            b"\xff\xd8\xff\xe0\0\x10JFIF" + bytes(200),
            b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
            gzip.compress(content, 1),
            b"PK\x05\x06" + bytes(18),
            b"participant\timage\n",
        )
    )


DAMAGES: Final[Mapping[str, _Change]] = {**damage.DAMAGES, "flip": _flip, "grow": _grow}
CHANGES: Final[Mapping[str, _Change]] = {**DAMAGES, "head": _head_flip, "other": _other}


def damage_file(
    delivery: Delivery,
    chance: random.Random,
    *,
    suffixes: Sequence[str] = ANY,
    how: Sequence[str] = ("blank", "grow", "head", "other"),
) -> str:
    """Damage the bytes of a file."""
    path = _one(delivery, chance, suffixes)
    name = chance.choice(how)
    if delivery[path]:
        delivery[path] = CHANGES[name](delivery[path], chance)
    return name


def in_archive(delivery: Delivery, chance: random.Random, *, do: Sequence[Corruption]) -> str:
    """Do to the members of an archive what is done to files."""
    path = _one(delivery, chance, (".zip",))
    with ZipFile(BytesIO(delivery[path])) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    what = chance.choice(do)(members, chance)
    content = BytesIO()
    with ZipFile(content, "w", ZIP_DEFLATED, compresslevel=1) as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    delivery[path] = content.getvalue()
    return f"member {what}"


def dicom_header(
    delivery: Delivery,
    chance: random.Random,
    *,
    keywords: Sequence[str] = _KEYWORDS,
    words: Sequence[str] = _WORDS,
) -> str:
    """Set elements of one slice, or of all slices, to what nobody expects there."""
    paths = [path for path in sorted(delivery) if path.endswith(DICOM)]
    keyword = chance.choice(keywords)
    words = [chance.choice(words) for _ in range(chance.choice((1, 2, 3, 6)))]
    for path in paths if chance.random() < 0.3 else [chance.choice(paths)]:
        dataset = pydicom.dcmread(BytesIO(delivery[path]))
        tag = pydicom.datadict.tag_for_keyword(keyword)
        assert tag is not None
        old = dataset.get(tag)
        if keyword in dataset:
            del dataset[tag]
        raw = "\\".join(words).encode("utf-8", "replace")
        vr = "OW" if keyword == "PixelData" else "UN" if old is None else old.VR
        if vr in ("US", "SS"):
            raw = struct.pack("<H", chance.choice((0, 1, 7, 8, 255, 65535)))
        content = BytesIO()
        dataset.save_as(content, enforce_file_format=True)
        delivery[path] = _with_element(content.getvalue(), int(tag), vr, raw)
    return f"element {keyword}"


def image_header(
    delivery: Delivery,
    chance: random.Random,
    *,
    suffixes: Sequence[str] = NIFTI,
    fields: str = "",
    numbers: Sequence[float] = _NUMBERS,
) -> str:
    """Set a field of an image's header to what nobody expects there."""
    path = _one(delivery, chance, suffixes)
    content = delivery[path]
    if path.endswith(NRRD):
        end = content.index(b"LOCAL\n") if path.endswith(".mha") else content.index(b"\n\n")
        lines = re.compile(rb"(?im)^[^:=\n]*(?:directions|spacing|matrix)[^:=\n]*[:=](.*)$")
        start, end = chance.choice(
            [one.span(1) for one in lines.finditer(content, 0, end)] if fields else [(0, end)]
        )
        token = chance.choice(list(re.compile(rb"[^\s:=,()]+").finditer(content, start, end)))
        word = f"{chance.choice(numbers):g}" if fields else chance.choice(_WORDS)
        delivery[path] = content[: token.start()] + word.encode() + content[token.end() :]
        return "header line"
    raw = bytearray(gzip.decompress(content) if path.endswith(".gz") else content)
    meant = [one for one in _NIFTI_FIELDS if re.match(fields, one[2])]
    offset, form, name = chance.choice(meant)
    value = chance.choice(numbers)
    if form == "<f":
        struct.pack_into(form, raw, offset, value)
    else:
        raw[offset : offset + struct.calcsize(form)] = chance.randbytes(struct.calcsize(form))
    delivery[path] = gzip.compress(bytes(raw), 1) if path.endswith(".gz") else bytes(raw)
    return f"field {name.partition('[')[0]}"


def bad_voxels(delivery: Delivery, chance: random.Random) -> str:
    """Set voxels of a NIfTI to NaN, infinity or one value."""
    path = _one(delivery, chance, (".nii.gz",))
    raw = bytearray(gzip.decompress(delivery[path]))
    n_bytes = len(raw) - 352
    if chance.random() < 0.5:  # says float, and its bytes are NaN or infinite
        struct.pack_into("<2h", raw, 70, 16, 32)
        raw[352:] = raw[352:] + bytes(n_bytes)  # twice as wide
        struct.pack_into(
            "<f", raw, 352 + 4 * chance.randrange(n_bytes // 4), chance.choice(_NUMBERS[-2:])
        )
    else:
        raw[352:] = bytes([chance.randrange(256)]) * n_bytes
    delivery[path] = gzip.compress(bytes(raw), 1)
    return "voxels"


def swap(delivery: Delivery, chance: random.Random, *, suffixes: Sequence[str] = ANY) -> str:
    """Swap the contents of two files."""
    one, other = _one(delivery, chance, suffixes), _one(delivery, chance, suffixes)
    delivery[one], delivery[other] = delivery[other], delivery[one]
    return "swap"


def lose(delivery: Delivery, chance: random.Random) -> str:
    """Lose a file, or every second."""
    paths = sorted(delivery)
    for path in paths[::2] if chance.random() < 0.2 else [chance.choice(paths)]:
        del delivery[path]
    return "lose"


def copy(delivery: Delivery, chance: random.Random) -> str:
    """Copy a file beside itself."""
    path = _one(delivery, chance)
    folder, slash, name = path.rpartition("/")
    delivery[folder + slash + chance.choice(("._", "Copy of ", "x")) + name] = delivery[path]
    return "copy"


def rename(delivery: Delivery, chance: random.Random) -> str:
    """Rename a file: another suffix, case, alphabet or place."""
    path = _one(delivery, chance)
    folder, slash, name = path.rpartition("/")
    new = chance.choice(
        (name.upper(), name + "~", f"größe {name}", name.replace(".", "_", 1), f"new/{name}")
    )
    delivery[folder + slash + new] = delivery.pop(path)
    return "rename"


def bids_name(delivery: Delivery, chance: random.Random) -> str:
    """Rename or copy an image with one entity more, fewer or twice, or another suffix."""
    path = _one(delivery, chance, (".nii.gz",))
    folder, slash, name = path.rpartition("/")
    parts = name.split("_")
    what = chance.choice(("add", "add", "drop", "twice", "suffix", "plain"))
    if what == "add":
        parts.insert(-1, chance.choice(_ENTITIES))
    elif what == "drop":
        parts.pop(chance.randrange(len(parts) - 1))
    elif what == "twice":
        parts.insert(1, parts[0])
    elif what == "suffix":
        parts[-1] = chance.choice(("bold.nii.gz", "T1w.nii", "vibe.json", "T1w.nii.gz", ".nii.gz"))
    content = delivery[path]
    if what == "plain":
        name, content = name.removesuffix(".gz"), gzip.decompress(content)
    else:
        name = "_".join(parts)
    if chance.random() < 0.5:
        del delivery[path]
    delivery[folder + slash + name] = content
    return f"name {what}"


def spoil_table(text: str, chance: random.Random, kind: str) -> bytes:
    """Spoil a TSV: its bytes, a cell, a column's name, or a line."""
    if kind in ("truncate", "flip"):
        return CHANGES[{"truncate": "cut"}.get(kind, kind)](text.encode(), chance)
    lines = [line.split("\t") for line in text.splitlines()]
    row, other_row = (chance.randrange(1, len(lines)) for _ in range(2))
    column, other = (chance.randrange(len(lines[0])) for _ in range(2))
    what = chance.choice(("cell", "cell", "line", "field", "ragged")) if kind == "other" else kind
    if what == "swap":
        one, two = lines[row][column], lines[other_row][other]
        lines[row][column], lines[other_row][other] = two, one
    elif what in ("nan", "zero"):
        lines[row][column] = {"nan": "nan", "zero": "0"}[what]
    elif what == "cell":
        lines[row][column] = chance.choice((*_WORDS, "1.0", "1E+06", '"', "a\rb", "liver", "../x"))
    elif what == "header":
        lines[0][column] = chance.choice(("", "Participant", "imgae", lines[0][0], "note"))
    elif what == "line":
        lines.insert(row, list(lines[chance.randrange(len(lines))]))
    elif what == "field":
        lines[row].append("more")
    else:
        lines[row] = lines[row][:column]
    return ("\n".join("\t".join(line) for line in lines) + "\n").encode()


def _one(delivery: Delivery, chance: random.Random, suffixes: Sequence[str] = ("",)) -> str:
    return chance.choice([path for path in sorted(delivery) if path.endswith(tuple(suffixes))])


def _with_element(content: bytes, tag: int, vr: str, raw: bytes) -> bytes:
    """Put an element, as it stands, in its place among those of an explicit little-endian file."""
    raw += b"\0" if len(raw) % 2 else b""
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr.encode()
    if vr in ("OB", "OW", "UN", "SQ", "UT"):
        element = head + b"\0\0" + struct.pack("<I", len(raw)) + raw
    else:
        element = head + struct.pack("<H", len(raw)) + raw
    place = 144 + struct.unpack_from("<I", content, 140)[0]
    while place + 8 <= len(content):
        group, number = struct.unpack_from("<HH", content, place)
        if group << 16 | number >= tag:
            break
        if content[place + 4 : place + 6] in (b"OB", b"OW", b"UN", b"SQ", b"UT"):
            place += 12 + struct.unpack_from("<I", content, place + 8)[0]
        else:
            place += 8 + struct.unpack_from("<H", content, place + 6)[0]
    return content[:place] + element + content[place:]


class Drawn(NamedTuple):
    """A corruption of one kind for one carrier.

    Attributes:
        carrier: One of CARRIERS.
        kind: One of KINDS.
        do: The corruption.
        suffixes: Of the files that it is done to, one of which must be there.
    """

    carrier: str
    kind: str
    do: Corruption
    suffixes: Sequence[str] = ANY


_NAN: Final = float("nan")
_GRID: Final = "pixdim|srow"


def _of_files(carrier: str, suffixes: Sequence[str]) -> tuple[Drawn, ...]:
    change = partial(damage_file, suffixes=suffixes)
    return (
        Drawn(carrier, "truncate", partial(change, how=("cut",)), suffixes),
        Drawn(carrier, "flip", partial(change, how=("flip",)), suffixes),
        Drawn(carrier, "swap", partial(swap, suffixes=suffixes), suffixes),
        Drawn(carrier, "other", change, suffixes),
    )


def _of_headers(carrier: str, suffixes: Sequence[str]) -> tuple[Drawn, ...]:
    change = partial(image_header, suffixes=suffixes)
    return (
        Drawn(carrier, "nan", partial(change, fields=_GRID, numbers=(_NAN,)), suffixes),
        Drawn(carrier, "zero", partial(change, fields=_GRID, numbers=(0,)), suffixes),
        Drawn(carrier, "header", change, suffixes),
    )


def _in_archive(kind: str, *do: Corruption) -> Drawn:
    return Drawn("zip", kind, partial(in_archive, do=do))


_DICOM_NAN: Final = partial(dicom_header, keywords=_NUMBER_ELEMENTS, words=("nan",))
_DICOM_ZERO: Final = partial(dicom_header, keywords=_ZERO_ELEMENTS, words=("0",))
CORRUPTIONS: Final[Mapping[str, Sequence[Drawn]]] = {
    "ukb": (
        *(one for one in _of_files("zip", ANY) if one.kind != "swap"),
        _in_archive("truncate", partial(damage_file, how=("cut",))),
        _in_archive("flip", partial(damage_file, how=("flip",))),
        _in_archive("swap", swap),
        _in_archive("nan", _DICOM_NAN),
        _in_archive("zero", _DICOM_ZERO),
        _in_archive("header", dicom_header),
        _in_archive("other", damage_file, lose, lose, copy, rename),
    ),
    "ct": (
        *_of_files("dicom", DICOM),
        Drawn("dicom", "nan", _DICOM_NAN),
        Drawn("dicom", "zero", _DICOM_ZERO),
        Drawn("dicom", "header", dicom_header),
        *(Drawn("dicom", "other", one) for one in (lose, copy, rename)),
    ),
    "nifti": (
        *_of_files("nifti", NIFTI),
        *_of_headers("nifti", NIFTI),
        Drawn("nifti", "nan", bad_voxels),
        *_of_files("nrrd", NRRD),
        *_of_headers("nrrd", NRRD),
        Drawn("nifti", "other", lose),
    ),
    "bids": (
        *_of_files("bids", ANY),
        *_of_headers("bids", NIFTI),
        *(Drawn("bids", "header", bids_name) for _ in range(2)),
        *(Drawn("bids", "other", one) for one in (lose, copy, rename)),
    ),
}

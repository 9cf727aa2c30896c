"""What can happen to the files of a participant: to their bytes, headers, names and tables.

A delivery is a mapping of paths to contents. A corruption changes it by chance, and returns what it
did in a few words.
"""

import gzip
import random
import re
import struct
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from typing import Final, TypeAlias
from zipfile import ZIP_DEFLATED, ZipFile

import pydicom

from campaigns import damage

Delivery: TypeAlias = dict[str, bytes]
Corruption: TypeAlias = Callable[[Delivery, random.Random], str]
_Change: TypeAlias = Callable[[bytes, random.Random], bytes]

IMAGES: Final = (".nii.gz", ".nii", ".nrrd", ".mha")
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
REPLACED: Final[Mapping[str, _Change]] = {"head": _head_flip, "other": _other}


def damage_file(delivery: Delivery, chance: random.Random) -> str:
    """Damage the bytes of a file."""
    path = _one(delivery, chance)
    name, change = chance.choice(sorted([*DAMAGES.items(), *REPLACED.items()]))
    if delivery[path]:
        delivery[path] = change(delivery[path], chance)
    return name


def damage_member(delivery: Delivery, chance: random.Random) -> str:
    """Do to a member of an archive, or to an element of its header, what is done to files."""
    path = _one(delivery, chance, (".zip",))
    with ZipFile(BytesIO(delivery[path])) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    changes: tuple[Corruption, ...] = (damage_file, dicom_header, swap, lose, lose, copy, rename)
    what = chance.choice(changes)(members, chance)
    content = BytesIO()
    with ZipFile(content, "w", ZIP_DEFLATED, compresslevel=1) as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    delivery[path] = content.getvalue()
    return f"member {what}"


def dicom_header(delivery: Delivery, chance: random.Random) -> str:
    """Set elements of one slice, or of all slices, to what nobody expects there."""
    paths = [path for path in sorted(delivery) if path.endswith(".dcm")]
    keyword = chance.choice(_KEYWORDS)
    words = [chance.choice(_WORDS) for _ in range(chance.choice((1, 2, 3, 6)))]
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


def image_header(delivery: Delivery, chance: random.Random) -> str:
    """Set a field of an image's header to what nobody expects there."""
    path = _one(delivery, chance, IMAGES)
    content = delivery[path]
    if path.endswith((".nrrd", ".mha")):
        end = content.index(b"LOCAL\n") if path.endswith(".mha") else content.index(b"\n\n")
        tokens = list(re.finditer(rb"[^\s:=,()]+", content[:end]))
        token = chance.choice(tokens)
        word = chance.choice(_WORDS).encode()
        delivery[path] = content[: token.start()] + word + content[token.end() :]
        return "header line"
    raw = bytearray(gzip.decompress(content) if path.endswith(".gz") else content)
    offset, form, name = chance.choice(_NIFTI_FIELDS)
    value = chance.choice(_NUMBERS)
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


def swap(delivery: Delivery, chance: random.Random) -> str:
    """Swap the contents of two files."""
    one, other = _one(delivery, chance), _one(delivery, chance)
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


def table_cells(text: str, chance: random.Random) -> str:
    """Spoil a TSV: a cell, a column's name, a line, or its bytes."""
    lines = [line.split("\t") for line in text.splitlines()]
    what = chance.choice(("cell", "cell", "cell", "column", "line", "field", "ragged"))
    row = chance.randrange(1, len(lines))
    column = chance.randrange(len(lines[0]))
    if what == "cell":
        lines[row][column] = chance.choice((*_WORDS, "1.0", "1E+06", '"', "a\rb", "liver", "../x"))
    elif what == "column":
        lines[0][column] = chance.choice(("", "Participant", "imgae", lines[0][0], "note"))
    elif what == "line":
        lines.insert(row, list(lines[chance.randrange(len(lines))]))
    elif what == "field":
        lines[row].append("more")
    else:
        lines[row] = lines[row][:column]
    return "\n".join("\t".join(line) for line in lines) + "\n"


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


CORRUPTIONS: Final[Mapping[str, Sequence[Corruption]]] = {
    "ukb": (damage_file, damage_member, damage_member, damage_member),
    "ct": (damage_file, dicom_header, dicom_header, dicom_header, swap, lose, copy, rename),
    "nifti": (
        damage_file,
        damage_file,
        image_header,
        image_header,
        image_header,
        bad_voxels,
        swap,
        lose,
    ),
    "bids": (damage_file, image_header, bids_name, bids_name, bids_name, lose, copy, rename),
}

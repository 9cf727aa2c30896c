"""NRRD and MetaImage: headers judged here, voxels read by ITK.

ITK never returns from some grids (an affine of 1e38, of NaN), opens whatever file a header names,
inflates whatever it is given, and reads compressed voxels with a flipped byte without an error. So
a header is judged first (finite numbers within bounds, voxels in the same file), and the checksum
of compressed voxels, which end at what the header declares. ITK passes over units, and takes any
space that it does not know for LPS.

Source: NRRD 5 and MetaImage file formats.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
import SimpleITK as sitk

from organome.domain.errors import ScanError
from organome.domain.flags import Flag
from organome.domain.geometry import direction_of, geometry_fault
from organome.domain.outcomes import Reason
from organome.io.files.delivered import refusing
from organome.io.files.itk import quiet_itk
from organome.io.images.reading import (
    GZIP_STREAM,
    MAX_AXES,
    MAX_OFFSET_BYTES,
    ZLIB_STREAM,
    Delivered,
    check_3d,
    check_coordinates,
    check_declared,
    damage,
    inflated,
    pieces_of,
)

MAX_HEADER_LINES: Final = 4096
MAX_LINE_BYTES: Final = 1 << 16
_SEGMENT_KEY: Final = re.compile(r"Segment(\d+)_(?:ID|Name|Layer|LabelValue)$")
_NUMBER: Final = re.compile(r"[^\s,()\[\]]+")
_NRRD_GEOMETRY: Final = frozenset(
    {"spacedirections", "spaceorigin", "spacings", "thicknesses", "axismins", "axismaxs"}
    | {"measurementframe"}
)
_NRRD_NO_NUMBERS: Final = frozenset({"none"})
_NRRD_BESIDE: Final = frozenset({"thicknesses", "axismins", "axismaxs"})  # NaN: not known
_NRRD_SPACES: Final = frozenset(
    {"left-posterior-superior", "right-anterior-superior", "left-anterior-superior"}
    | {"lps", "ras", "las", "lpst", "rast", "last"}
)
_MHA_GEOMETRY: Final = frozenset(
    {"transformmatrix", "rotation", "orientation", "offset", "position", "origin"}
    | {"elementspacing", "elementsize", "centerofrotation"}
)
# As MetaIO spells them: it passes over other spellings, and then takes 1 mm and no turn.
_MHA_SPACING: Final = frozenset({"ElementSpacing", "ElementSize"})
_MHA_DIRECTION: Final = frozenset({"TransformMatrix", "Rotation", "Orientation"})
_MHA_UNSCALED: Final = {
    "elementtointensityfunctionslope": 1.0,
    "elementtointensityfunctionoffset": 0.0,
}
_MM_PER_UNIT: Final = {
    "mm": 1.0,
    "millimeter": 1.0,
    "millimeters": 1.0,
    "cm": 10.0,
    "m": 1000.0,
    "um": 0.001,
    "\xb5m": 0.001,
    "micron": 0.001,
    "microns": 0.001,
    "?": 1.0,
    "": 1.0,
}


@dataclass(slots=True)
class _Header:
    """What stands in a header and matters.

    Attributes:
        frame: How the voxels, which follow, are compressed: zlib's wbits, None if not.
        n_packed_bytes: How many bytes they take so; None where the format does not say it.
        is_oriented: Whether the header says how its axes lie in the body.
        has_spacing: Whether it says how far voxels are apart.
        unit: Of lengths.
        pairs: NRRD's keys and values of anybody's own.
    """

    frame: int | None = None
    n_packed_bytes: int | None = None
    is_oriented: bool = False
    has_spacing: bool = False
    unit: str = ""
    pairs: dict[str, str] = field(default_factory=dict)


def read_with_itk(path: Path, *, max_voxel_bytes: int, orientation: str = "") -> Delivered:
    """Read a NRRD or MetaImage.

    Args:
        path: ``.nrrd`` or ``.mha``.
        max_voxel_bytes: A header that declares more is not believed.
        orientation: How the axes lie where the header does not say it: ``RAS``, say.

    Raises:
        ScanError: FILE_BROKEN, FORMAT_UNKNOWN, NOT_3D, GEOMETRY_IMPLAUSIBLE, GEOMETRY_MISSING or
            ORIENTATION_UNKNOWN.
    """
    parse, image_io = _FORMATS[path.suffix.lower()]
    with damage(), path.open("rb") as file:
        header = parse(file)
        if not header.has_spacing:
            raise ScanError(Reason.GEOMETRY_MISSING, "the header states no spacing")
        scale = _mm_per_unit(header.unit)
        segments = _segments(header.pairs)
        voxel_bytes = _declared_voxel_bytes(path, image_io, scale, has_layers=bool(segments))
        check_declared(voxel_bytes, max_voxel_bytes)
        if not (header.is_oriented or orientation):
            fact = "the header does not say how its axes lie in the body"
            raise ScanError(Reason.ORIENTATION_UNKNOWN, fact)
        if header.frame is not None:
            _check_packed(file, header.frame, header.n_packed_bytes, voxel_bytes)
    image, names = _labels(_read(path, image_io), segments)
    image = _as_3d(image)
    flags = set()
    if not header.is_oriented:
        image.SetDirection(direction_of(orientation))
        flags.add(Flag.ORIENTATION_STATED)
    if scale != 1:
        image.SetSpacing([scale * one for one in image.GetSpacing()])
        image.SetOrigin([scale * one for one in image.GetOrigin()])
        flags.add(Flag.UNITS_CONVERTED)
    return Delivered(image, frozenset(flags), names=names, is_part=bool(segments))


def _check_packed(file: BinaryIO, frame: int, n_packed_bytes: int | None, voxel_bytes: int) -> None:
    """Check compressed voxels: ITK leaves as they were in memory those that do not come out.

    Raises:
        ScanError: FILE_BROKEN.
        EOFError: They end early.
        zlib.error: Their checksum does not hold.
    """
    pieces = pieces_of(file) if n_packed_bytes is None else iter([file.read(n_packed_bytes)])
    limit = voxel_bytes + (MAX_OFFSET_BYTES if n_packed_bytes is None else 0)
    n_bytes = sum(map(len, inflated(pieces, frame, limit=limit)))
    if n_bytes < voxel_bytes:
        fact = f"{n_bytes} bytes of voxels, its header declares {voxel_bytes}"
        raise ScanError(Reason.FILE_BROKEN, fact)


def _mm_per_unit(unit: str) -> float:
    if unit not in _MM_PER_UNIT:
        raise ScanError(Reason.GEOMETRY_IMPLAUSIBLE, "lengths in a unit that is not known")
    return _MM_PER_UNIT[unit]


def _parse_nrrd(file: BinaryIO) -> _Header:
    header = _Header()
    fields: dict[str, str] = {}
    for line in _header_lines(file):
        if not line:
            break
        name, colon, value = line.partition(":")
        if not colon or line.startswith("#"):
            continue
        if value.startswith("="):
            header.pairs[name.strip()] = value[1:]
            continue
        key = name.replace(" ", "").lower()
        fields[key] = value.strip()
        if key == "datafile":
            raise ScanError(Reason.FORMAT_UNKNOWN, "NRRD with its voxels in another file")
        if key in _NRRD_GEOMETRY:
            ignored = _NRRD_NO_NUMBERS | ({"nan"} if key in _NRRD_BESIDE else set())
            words = (word for word in _NUMBER.findall(value) if word.lower() not in ignored)
            check_coordinates(map(float, words))
    if fields.get("encoding", "").lower() in ("gzip", "gz"):
        header.frame = GZIP_STREAM
    space = fields.get("space", "").lower().removesuffix("-time")
    header.is_oriented = space in _NRRD_SPACES and "spacedirections" in fields
    header.has_spacing = "spacedirections" in fields or "spacings" in fields
    header.unit = _single_unit(fields.get("spaceunits", "").lower())
    return header


def _single_unit(stated: str) -> str:
    """Return the unit of all axes in space, by NRRD's list of quoted words."""
    units = set(re.findall(r'"([^"]*)"', stated)) - {"", "?"}
    return units.pop() if len(units) == 1 else ("several" if units else "")


@dataclass(frozen=True, slots=True)
class _Segment:
    """A segment of 3D Slicer: the voxels of one value in one layer."""

    name: str
    layer: int
    value: int


def _segments(pairs: Mapping[str, str]) -> list[_Segment]:
    """Read the segments of a ``.seg.nrrd``; MONAI Label writes neither layers nor values."""
    segments: list[_Segment] = []
    while (name := pairs.get(f"Segment{(n := len(segments))}_Name")) is not None:
        has_layers = f"Segment{n}_Layer" in pairs
        layer = int(pairs.get(f"Segment{n}_Layer", n))
        value = int(pairs.get(f"Segment{n}_LabelValue", 1 if not has_layers else n + 1))
        segments.append(_Segment(name.strip(), layer, value))
    numbered = {match[1] for key in pairs if (match := _SEGMENT_KEY.match(key))}
    if numbered != set(map(str, range(len(segments)))):
        fact = f"{len(numbered)} segments, of which {len(segments)} have a name"
        raise ScanError(Reason.LABEL_UNKNOWN, fact)
    return segments


def _labels(image: sitk.Image, segments: list[_Segment]) -> tuple[sitk.Image, dict[int, str]]:
    """Make one labelmap of the layers of segments, and say what its values mean."""
    n_layers = image.GetNumberOfComponentsPerPixel()
    if n_layers == 1:
        names = {one.value: one.name for one in segments}
        if len(names) < len(segments):
            raise ScanError(Reason.LABEL_UNKNOWN, "one value has the names of several segments")
        return image, names
    layers_zyxn = sitk.GetArrayViewFromImage(image)
    labels_zyx = np.zeros(layers_zyxn.shape[:3], np.uint16)
    for number, one in enumerate(segments, start=1):
        if not 0 <= one.layer < n_layers:
            raise ScanError(Reason.FILE_BROKEN, "a segment in a layer that is not there")
        mask_zyx = layers_zyxn[..., one.layer] == one.value
        if labels_zyx[mask_zyx].any():
            raise ScanError(Reason.NOT_3D, "segments overlap, so that voxels have two labels")
        labels_zyx[mask_zyx] = number
    for layer in range(n_layers):
        values = [0, *(one.value for one in segments if one.layer == layer)]
        if not np.isin(layers_zyxn[..., layer], values).all():
            raise ScanError(Reason.LABEL_UNKNOWN, "a layer holds a value that no segment has")
    labels = sitk.GetImageFromArray(labels_zyx)
    labels.CopyInformation(image)
    return labels, {number: one.name for number, one in enumerate(segments, start=1)}


def _parse_mha(file: BinaryIO) -> _Header:
    header = _Header()
    stated: set[str] = set()
    for line in _header_lines(file):
        name, _, value = (part.strip() for part in re.split("([=:])", f"{line}=", maxsplit=1))
        value = value.removesuffix("=").strip()
        stated.add(name)
        match name.lower():
            case "compresseddata" if value[:1].lower() in ("t", "1"):
                header.frame = ZLIB_STREAM
            case "compresseddatasize":
                header.n_packed_bytes = int(value)
            case "headersize" if int(value) != 0:
                raise ScanError(Reason.FORMAT_UNKNOWN, "MetaImage with a HeaderSize")
            case "distanceunits":
                header.unit = value.lower()
            case "ndims" if not 1 <= int(value) <= MAX_AXES:
                raise ValueError("axes that no image has")
            case "elementdatafile":
                if value.upper() != "LOCAL":
                    fact = "MetaImage with its voxels in another file"
                    raise ScanError(Reason.FORMAT_UNKNOWN, fact)
                break
            case key if key in _MHA_GEOMETRY:
                check_coordinates(map(float, _NUMBER.findall(value)))
            case key if key in _MHA_UNSCALED and float(value) != _MHA_UNSCALED[key]:
                raise ScanError(Reason.FORMAT_UNKNOWN, "MetaImage whose voxels are to be scaled")
    header.is_oriented = not stated.isdisjoint(_MHA_DIRECTION)
    header.has_spacing = not stated.isdisjoint(_MHA_SPACING)
    if header.frame is not None and not header.n_packed_bytes:
        raise ScanError(Reason.FILE_BROKEN, "compressed voxels without CompressedDataSize")
    return header


def _header_lines(file: BinaryIO) -> Iterator[str]:
    for _ in range(MAX_HEADER_LINES):
        line = file.readline(MAX_LINE_BYTES)
        if not line:
            raise EOFError
        yield line.decode("latin-1").rstrip("\r\n")
    raise ValueError("no end of the header")


def _declared_voxel_bytes(path: Path, image_io: str, scale: float, *, has_layers: bool) -> int:
    """Judge what ITK makes of the header, and return what the voxels will take.

    Raises:
        ScanError: NOT_3D, GEOMETRY_IMPLAUSIBLE or FILE_BROKEN.
    """
    reader = sitk.ImageFileReader()
    reader.SetImageIO(image_io)
    reader.SetFileName(str(path))
    with _itk_reading():
        reader.ReadImageInformation()
    size, n_components = reader.GetSize(), reader.GetNumberOfComponents()
    check_3d(size, 1 if has_layers else n_components)
    fault = geometry_fault(size[:3], [scale * one for one in reader.GetSpacing()[:3]])
    if fault is not None:
        raise ScanError(Reason.GEOMETRY_IMPLAUSIBLE, fault)
    bytes_per_voxel: int = sitk.Image([1, 1], reader.GetPixelID()).GetSizeOfPixelComponent()
    n_values: int = prod(size) * n_components
    return n_values * bytes_per_voxel


def _read(path: Path, image_io: str) -> sitk.Image:
    with _itk_reading():
        image = sitk.ReadImage(str(path), imageIO=image_io)
    try:
        for key in image.GetMetaDataKeys():
            image.EraseMetaData(key)
    except (
        TypeError,
        UnicodeDecodeError,
    ):  # a comment in another alphabet is not a fault of the image
        copy = sitk.GetImageFromArray(sitk.GetArrayViewFromImage(image))
        copy.CopyInformation(image)
        return copy
    return image


@contextmanager
def _itk_reading() -> Iterator[None]:
    """Turn what ITK raises into a ScanError; its message names the path, and so the participant."""
    with refusing(Reason.FILE_BROKEN, "SimpleITK cannot read it"), quiet_itk():
        yield


def _as_3d(image: sitk.Image) -> sitk.Image:
    size = image.GetSize()
    check_3d(size, image.GetNumberOfComponentsPerPixel())
    return sitk.Extract(image, (*size[:3], *[0] * (len(size) - 3))) if len(size) > 3 else image


_FORMATS: Final = {
    ".nrrd": (_parse_nrrd, "NrrdImageIO"),
    ".mha": (_parse_mha, "MetaImageIO"),
}

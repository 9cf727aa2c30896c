"""NIfTI-1 and NIfTI-2 in one file, compressed or not: read in one pass, and written.

The header is judged before a voxel is inflated, and what is inflated ends at what it declares.
Length and checksum vouch for the voxels. A header states its grid up to three times (sform, qform,
pixdim); programs take one or another, so where these contradict each other the image is refused,
and where none of them is valid, too.

Source: nifti1.h and nifti2.h of the NIfTI Data Format Working Group; nibabel for structure and
types of the header, and for which of the two transforms comes first (sform); as in ITK, one that is
damaged gives way to the other.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from itertools import chain
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol
from xml.etree import ElementTree

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from organome.domain.errors import ScanError
from organome.domain.flags import Flag
from organome.domain.geometry import direction_fault, direction_of, geometry_fault
from organome.domain.outcomes import Reason
from organome.io.images.reading import (
    MAX_AXES,
    MAX_COORDINATE_MM,
    MAX_OFFSET_BYTES,
    Delivered,
    check_3d,
    check_declared,
    damage,
    pieces_of,
    unwrapped,
)

if TYPE_CHECKING:
    import nibabel as nib

CARET: Final = 30  # header extension with the names of labels
_LABEL_TABLES: Final = frozenset({0, CARET})  # TotalSegmentator's has no code of its own
_CARET_ROOT: Final = b"<CaretExtension"
_START_BYTES: Final = {348: 352, 540: 544}  # where voxels begin if the header says 0
_HEAD_BYTES: Final = 544
_MM_PER_UNIT: Final = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}  # by spatial code of xyzt_units
_SPATIAL_UNITS: Final = 0b111
_SLACK_BYTES: Final = 1 << 20  # after the voxels
_MAX_XML_BYTES: Final = 1 << 20
_SPACING_TOLERANCE: Final = 0.01
_ROUNDING: Final = 1e-5  # of one number, stated as pixdim and as length of a column
_MAX_TURN_DEG: Final = 10.0  # between sform and qform; more may exchange faces of the body
_MAX_APART_VOXELS: Final = 0.5
_EXACT_FLOAT32: Final = 2  # bytes of an integer that single precision holds
_FLAT: Final = 0.01  # sine of the angle that three axes make, at least
_UNIT_TOLERANCE: Final = 1e-5  # of the square of a quaternion
_WRITE_BYTES: Final = 1 << 24
_NIFTI_FROM_LPS: Final = np.diag([-1.0, -1.0, 1.0, 1.0])
_SCANNER_SPACE: Final = 1  # NIFTI_XFORM_SCANNER_ANAT

_Affine = NDArray[np.float64]


class Encoder(Protocol):
    """What compresses: an object of ``zlib.compressobj``, or of one that is called alike."""

    def compress(self, data: Any, /) -> bytes:
        """Take in some bytes; return what is finished."""

    def flush(self) -> bytes:
        """Return the rest."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the voxels lie in the file, and what they are.

    Attributes:
        size_xyz: Of the one volume.
        dtype: As stored, byte order included.
        first_byte: Where they begin.
        n_bytes: How many there are.
    """

    size_xyz: tuple[int, ...]
    dtype: np.dtype[Any]
    first_byte: int
    n_bytes: int


def read_nifti(path: Path, *, max_voxel_bytes: int, orientation: str = "") -> Delivered:
    """Read a NIfTI, judged by its content and not by its suffix.

    Args:
        path: The file.
        max_voxel_bytes: A header that declares more is not believed.
        orientation: How the axes lie where neither sform nor qform is valid: ``RAS``, say.

    Raises:
        ScanError: FILE_BROKEN, FORMAT_UNKNOWN, NOT_3D, GEOMETRY_IMPLAUSIBLE, ORIENTATION_UNKNOWN or
            SPACING_DISPUTED.
    """
    with damage(), path.open("rb") as file:
        pieces = unwrapped(pieces_of(file))
        head = _head(pieces)
        header = _header(head)
        layout = _layout(header)
        affine_lps, spacing_mm, flags = _grid(header, orientation)
        fault = geometry_fault(layout.size_xyz, spacing_mm)
        if fault is not None:
            raise ScanError(Reason.GEOMETRY_IMPLAUSIBLE, fault)
        check_declared(layout.n_bytes, max_voxel_bytes)
        before, stored = _content(chain([head], pieces), layout)
        voxels_zyx = stored.view(layout.dtype).reshape(layout.size_xyz[::-1])
        slope, intercept = _scaling(header)
    image = sitk.GetImageFromArray(_scaled(voxels_zyx, slope, intercept))
    image.SetSpacing(spacing_mm)
    steps = affine_lps[:3, :3]
    image.SetDirection((steps / np.linalg.norm(steps, axis=0)).ravel().tolist())
    image.SetOrigin(affine_lps[:3, 3].tolist())
    return Delivered(
        image=image,
        flags=flags,
        value_step=abs(slope) if slope != 1 else 0.0,
        names=_label_names(before[header.sizeof_hdr :], header.endianness),
        place_error_mm=_place_error_mm(
            header, affine_lps, np.multiply(layout.size_xyz, spacing_mm)
        ),
    )


def _head(pieces: Iterator[bytes]) -> bytes:
    head = b""
    for piece in pieces:
        head += piece
        if len(head) >= _HEAD_BYTES:
            break
    return head


def _header(head: bytes) -> Any:
    """Take the header as it is: nibabel's repairs would hide what it says."""
    import nibabel as nib  # here: it takes long, and a job that only starts workers needs none

    kinds: dict[int, Any] = {348: nib.Nifti1Header, 540: nib.Nifti2Header}
    for order in "<>":
        n_bytes = int(np.frombuffer(head[:4], f"{order}i4", count=1)[0]) if len(head) > 4 else 0
        if n_bytes not in kinds:
            continue
        if len(head) < n_bytes:
            raise EOFError
        header: Any = kinds[n_bytes](head[:n_bytes], endianness=order, check=False)
        magic = bytes(header["magic"])[:3]
        if magic in (b"ni1", b"ni2"):
            raise ScanError(Reason.FORMAT_UNKNOWN, "NIfTI with its voxels in another file")
        if magic not in (b"n+1", b"n+2"):
            raise ValueError("no NIfTI magic")
        return header
    if not head:
        raise EOFError
    raise ValueError("no NIfTI header")


def _layout(header: Any) -> _Layout:
    from nibabel.spatialimages import HeaderDataError

    n_axes, *sizes = map(int, header["dim"])
    if not (1 <= n_axes <= MAX_AXES and min(sizes[:n_axes]) > 0):
        raise ValueError("sizes that no image has")
    sizes = sizes[:n_axes]
    check_3d(sizes)
    code = int(header["datatype"])
    try:
        dtype = np.dtype(header.get_data_dtype())
    except HeaderDataError as error:
        raise ValueError(f"voxels of the unknown type {code}") from error
    if dtype.kind == "c":
        raise ScanError(Reason.NOT_3D, "voxels are complex numbers")
    if dtype.kind == "V" and dtype.itemsize > 1:
        raise ScanError(Reason.NOT_3D, "voxels are colours")
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise ScanError(Reason.FORMAT_UNKNOWN, f"voxels of NIfTI type {code}")
    if int(header["bitpix"]) != 8 * dtype.itemsize:
        raise ValueError("bits of a voxel do not fit its type")
    offset = float(header["vox_offset"])
    if not 0 <= offset <= MAX_OFFSET_BYTES:  # NaN is not, either
        raise ValueError("voxels begin where no file has them")
    first_byte = int(offset) or _START_BYTES[header.sizeof_hdr]
    if first_byte < header.sizeof_hdr:
        raise ValueError("voxels begin within the header")
    return _Layout(tuple(sizes[:3]), dtype, first_byte, prod(sizes) * dtype.itemsize)


def _content(pieces: Iterator[bytes], layout: _Layout) -> tuple[bytes, NDArray[np.uint8]]:
    """Return what stands before the voxels, and the voxels; read on to the checksum at the end."""
    before = bytearray()
    voxels = np.empty(layout.n_bytes, np.uint8)
    place, n_read = 0, 0
    for piece in pieces:
        skipped = min(max(0, layout.first_byte - place), len(piece))
        before += piece[:skipped]
        part = np.frombuffer(piece, np.uint8)[skipped : skipped + layout.n_bytes - n_read]
        voxels[n_read : n_read + len(part)] = part
        n_read += len(part)
        place += len(piece)
        if place > layout.first_byte + layout.n_bytes + _SLACK_BYTES:
            raise ScanError(Reason.FILE_BROKEN, "more voxels than its header declares")
    if n_read < layout.n_bytes:
        raise EOFError
    return bytes(before), voxels


def _scaling(header: Any) -> tuple[float, float]:
    """Return slope and intercept; a slope of 0 means that nothing is scaled (nifti1.h)."""
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if slope == 0 or not np.isfinite(slope):
        return 1.0, 0.0
    if not np.isfinite(intercept):
        raise ValueError("voxels are scaled by a number that is not finite")
    return slope, intercept


def _scaled(stored: NDArray[Any], slope: float, intercept: float) -> NDArray[Any]:
    """Return values in the machine's byte order: the stored type, or a float where scaled."""
    if (slope, intercept) == (1, 0):
        return stored.astype(stored.dtype.newbyteorder("="), copy=False)
    is_small = stored.dtype.kind == "f" or stored.dtype.itemsize <= _EXACT_FLOAT32
    kind = np.float32 if is_small and stored.dtype.itemsize <= 4 else np.float64
    scaled = np.empty(stored.shape, kind)
    for plane, scaled_plane in zip(stored, scaled, strict=True):  # bounds what is in double
        scaled_plane[...] = plane.astype(np.float64) * slope + intercept
    return scaled


def _grid(header: Any, orientation: str) -> tuple[_Affine, tuple[float, ...], frozenset[Flag]]:
    """Return affine in LPS, spacing in mm, and flags.

    Raises:
        ScanError: GEOMETRY_IMPLAUSIBLE, ORIENTATION_UNKNOWN or SPACING_DISPUTED.
    """
    stated_mm = np.asarray(header["pixdim"][1:4], np.float64)
    stated_mm, is_stated = np.abs(stated_mm), bool((stated_mm > 0).all())
    transforms, damages = _transforms(header, stated_mm)
    flags = {Flag.TRANSFORM_LEFT_OUT} if damages else set()
    if "sform" in transforms:
        affine = transforms["sform"]
        spacing_mm = _sform_spacing_mm(affine[:3, :3], stated_mm)
        if "qform" in transforms:
            flags |= _compare(affine, transforms["qform"], header["dim"][1:4])
    elif damages and not transforms:
        raise ScanError(Reason.GEOMETRY_IMPLAUSIBLE, damages[0])
    elif not (transforms or orientation):
        raise ScanError(Reason.ORIENTATION_UNKNOWN, "neither sform nor qform is valid")
    elif not is_stated:
        fact = f"spacing of {header['pixdim'][1:4].min():g} mm, and no sform"
        raise ScanError(Reason.GEOMETRY_IMPLAUSIBLE, fact)
    else:
        spacing_mm = stated_mm
        if transforms:
            affine = transforms["qform"]
        else:
            affine = _centred(orientation, stated_mm, header["dim"][1:4])
            flags.add(Flag.ORIENTATION_STATED)
    unit = int(header["xyzt_units"]) & _SPATIAL_UNITS
    if unit not in _MM_PER_UNIT:
        raise ValueError(f"the unknown unit {unit}")
    scale = _MM_PER_UNIT[unit]
    if scale != 1:
        flags.add(Flag.UNITS_CONVERTED)
    affine[:3] *= scale
    return _NIFTI_FROM_LPS @ affine, tuple((spacing_mm * scale).tolist()), frozenset(flags)


def _transforms(header: Any, stated_mm: _Affine) -> tuple[dict[str, _Affine], list[str]]:
    """Return the transforms that count by their codes, and what is damaged about the others."""
    transforms, damages = {}, []
    for name, parse in (("sform", _sform), ("qform", _qform)):
        if int(header[f"{name}_code"]) > 0:
            transform = parse(header, stated_mm)
            fault = _damage_of(transform)
            if fault is None:
                transforms[name] = transform
            else:
                damages.append(f"the {name} {fault}")
    return transforms, damages


def _damage_of(transform: _Affine) -> str | None:
    """Return why a transform is not a grid, if it is none; axes may be sheared."""
    odd = transform[~(np.abs(transform) <= MAX_COORDINATE_MM)]  # NaN included
    if odd.size:
        return f"holds the number {odd[0]:g}"
    lengths_mm = np.linalg.norm(transform[:3, :3], axis=0)
    if not (lengths_mm > 0).all():
        return "has an axis of no length"
    is_flat = abs(np.linalg.det(transform[:3, :3] / lengths_mm)) < _FLAT
    return "has axes that lie in a plane" if is_flat else None


def _sform(header: Any, _: _Affine) -> _Affine:
    affine = np.eye(4)
    affine[:3] = [header[f"srow_{axis}"] for axis in "xyz"]
    return affine


def _sform_spacing_mm(columns: _Affine, stated_mm: _Affine) -> _Affine:
    """Return the spacing of an sform, as pixdim states it if both round the same number.

    Raises:
        ScanError: SPACING_DISPUTED if pixdim states another; GEOMETRY_IMPLAUSIBLE.
    """
    spacing_mm = np.linalg.norm(columns, axis=0)
    fault = direction_fault((columns / spacing_mm).ravel().tolist())
    if fault is not None:
        raise ScanError(Reason.GEOMETRY_IMPLAUSIBLE, fault)
    apart = np.where(stated_mm > 0, np.abs(stated_mm / spacing_mm - 1), 0)
    if apart.max() > _SPACING_TOLERANCE:
        both = (" x ".join(f"{one:.4g}" for one in each) for each in (spacing_mm, stated_mm))
        by_sform, by_pixdim = both
        fact = f"{by_sform} mm by the sform, {by_pixdim} mm by pixdim"
        raise ScanError(Reason.SPACING_DISPUTED, fact)
    is_same = (stated_mm > 0) & (apart <= _ROUNDING)
    return np.where(is_same, stated_mm, spacing_mm)


def _qform(header: Any, spacing_mm: _Affine) -> _Affine:
    """Return the qform, NaN where its quaternion is not a rotation."""
    from nibabel.quaternions import quat2mat

    quaternion = [float(header[f"quatern_{one}"]) for one in "bcd"]
    qfac = float(header["pixdim"][0])
    real_squared = 1 - float(np.square(quaternion).sum())
    affine = np.full((4, 4), np.nan)
    if real_squared >= -_UNIT_TOLERANCE and np.isfinite(qfac):
        if real_squared < _rounding_of_squares(header):
            real_squared = 0
        rotation = quat2mat([real_squared**0.5, *quaternion])
        affine = np.eye(4)
        with np.errstate(invalid="ignore"):  # no number times an infinite spacing
            affine[:3, :3] = rotation * spacing_mm * (1, 1, -1 if qfac < 0 else 1)
        affine[:3, 3] = [float(header[f"qoffset_{axis}"]) for axis in "xyz"]
    return affine


def _place_error_mm(header: Any, affine_lps: _Affine, extent_mm: NDArray[Any]) -> float:
    """Return how far rounding of a header in single precision moves a corner.

    The real part of a quaternion is what the three others leave of 1: near half a turn, their
    rounding turns a body by a few hundredths of a degree.
    """
    length_mm = float(np.linalg.norm(extent_mm))
    squares_error = _rounding_of_squares(header)
    error_mm = squares_error * (length_mm + float(np.abs(affine_lps[:3, 3]).max()))
    if int(header["sform_code"]) <= 0 < int(header["qform_code"]):
        real_squared = 1 - sum(float(header[f"quatern_{one}"]) ** 2 for one in "bcd")
        error_mm += 2 * length_mm * squares_error / max(real_squared, squares_error) ** 0.5
    return error_mm


def _rounding_of_squares(header: Any) -> float:
    """Return what rounding leaves of the square of a quaternion's real part where that is 0."""
    threshold: float = abs(float(header.quaternion_threshold))
    return threshold


def _centred(orientation: str, spacing_mm: _Affine, size_xyz: NDArray[Any]) -> _Affine:
    """Return the affine of stated axes; the middle of the image lies at 0, as in nibabel."""
    affine_lps = np.eye(4)
    affine_lps[:3, :3] = np.reshape(direction_of(orientation), (3, 3)) * spacing_mm
    affine_lps[:3, 3] = affine_lps[:3, :3] @ ((size_xyz - 1) / -2)
    affine: _Affine = _NIFTI_FROM_LPS @ affine_lps
    return affine


def _compare(sform: _Affine, qform: _Affine, size_xyz: NDArray[Any]) -> set[Flag]:
    """Compare two transforms; a turn that might exchange sides of the body is refused.

    Raises:
        ScanError: ORIENTATION_UNKNOWN.
    """
    ends = np.stack(np.meshgrid(*[(0, size - 1) for size in size_xyz]), axis=-1).reshape(-1, 3)
    shift = ends @ (sform - qform)[:3, :3].T + (sform - qform)[:3, 3]
    spacing_mm = np.linalg.norm(qform[:3, :3], axis=0)
    if np.linalg.norm(shift, axis=1).max() <= _MAX_APART_VOXELS * spacing_mm.min():
        return set()
    turn = np.linalg.solve(qform[:3, :3] / spacing_mm, sform[:3, :3] / spacing_mm)
    if np.linalg.det(turn) < 0:
        raise ScanError(Reason.ORIENTATION_UNKNOWN, "sform and qform are mirror images")
    turn_deg = float(np.degrees(np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1))))
    if turn_deg > _MAX_TURN_DEG:
        fact = f"sform and qform are turned by {turn_deg:.0f} degrees against each other"
        raise ScanError(Reason.ORIENTATION_UNKNOWN, fact)
    return {Flag.QFORM_DIFFERS}


def _label_names(extensions: bytes, order: str) -> dict[int, str]:
    """Read the label table of a Caret extension; nothing where there is none.

    Raises:
        ScanError: LABEL_UNKNOWN if it cannot be read whole, or gives one value two names.
    """
    place = 4
    while len(extensions) >= place + 8 and extensions[0]:
        n_bytes, code = np.frombuffer(extensions, f"{order}i4", count=2, offset=place).tolist()
        if n_bytes < 8:
            break
        text = extensions[place + 8 : place + n_bytes].rstrip(b"\0 \n")
        if code in _LABEL_TABLES and _CARET_ROOT in text and n_bytes <= _MAX_XML_BYTES:
            try:
                table = list(ElementTree.fromstring(text).iter("Label"))
                names = {(int(one.attrib["Key"]), (one.text or "").strip()) for one in table}
            except (ElementTree.ParseError, LookupError, ValueError) as error:
                fact = "its table of the names of labels cannot be read"
                raise ScanError(Reason.LABEL_UNKNOWN, fact) from error
            if len(dict(names)) < len(names):
                raise ScanError(Reason.LABEL_UNKNOWN, "one value has several names")
            return dict(sorted(names))
        place += n_bytes
    return {}


def nifti_header(image: sitk.Image) -> "nib.Nifti1Header":
    """Return type and grid of an image as NIfTI does."""
    import nibabel as nib

    affine_lps = np.eye(4)
    affine_lps[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine_lps[:3, 3] = image.GetOrigin()
    affine = _NIFTI_FROM_LPS @ affine_lps
    voxels_xyz = sitk.GetArrayViewFromImage(image).T
    nifti = nib.Nifti1Image(voxels_xyz, affine, dtype=voxels_xyz.dtype)
    nifti.set_sform(affine, _SCANNER_SPACE)
    nifti.set_qform(affine, _SCANNER_SPACE)
    nifti.header.set_xyzt_units("mm")
    nifti.header.set_slope_inter(1, 0)
    return nifti.header


def write_nifti(
    path: Path, header: "nib.Nifti1Header", image: sitk.Image, *, encoder: "Encoder"
) -> None:
    """Write header and voxels as a gzip file without time or name.

    Equal ones give equal bytes. The voxels are compressed piece by piece and never copied whole.

    Args:
        path: Where.
        header: As ``nifti_header`` made it; extensions may have been added.
        image: The voxels.
        encoder: What compresses.
    """
    head = BytesIO()
    header.write_to(head)
    voxels = sitk.GetArrayViewFromImage(image).reshape(-1).data.cast("B")
    with path.open("wb") as file:
        file.write(encoder.compress(head.getvalue()))
        for start in range(0, len(voxels), _WRITE_BYTES):
            file.write(encoder.compress(voxels[start : start + _WRITE_BYTES]))
        file.write(encoder.flush())

"""Voxels of DICOM slices: decoded, rescaled, stacked to one image.

Source: DICOM PS3.3 C.7.6.3 (pixel data), C.7.5.1.1.2 (pixel padding), C.11.1 (modality lookup
table, rescale slope and intercept). Decoders are pydicom's, for every transfer syntax.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import scipy
import SimpleITK as sitk
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.pixels.decoders.base import Decoder, get_decoder
from pydicom.pixels.processing import apply_modality_lut
from pydicom.uid import UID

from organome.domain.errors import ScanError
from organome.domain.flags import Flag
from organome.domain.headers import Header
from organome.domain.outcomes import Reason
from organome.domain.scans import MissingRescale
from organome.io.dicom.codestreams import declared_size_xy
from organome.io.dicom.gdcm import add_to_pydicom
from organome.io.dicom.slices import DicomSlice
from organome.io.files.delivered import refusing

Voxels: TypeAlias = npt.NDArray[Any]

CT: Final = "CT"
AIR_HU: Final = -1024.0
# No tissue and no air is below, even where a kernel undershoots: what is, stands for nothing.
LOWEST_HU: Final = -1500.0
PADDING_ABOVE_HU: Final = 4095.0  # and padding may lie above what a tube and a tissue can give
PADDING_BELOW_HU: Final = -1000.0
PADDING_MARGIN: Final = 0.1  # of the range of the other voxels, in MRI
MIN_PADDING_SHARE: Final = 0.001  # of a slice, in one piece at its edge: noise has no such piece
# How CT headers call Hounsfield units; the last is "unspecified", which scanners write as well.
_HOUNSFIELD: Final = frozenset({"", "HU", "HU_MOD", "US"})

add_to_pydicom()


@dataclass(frozen=True, slots=True)
class Stack:
    """Slices as one image.

    Attributes:
        image: z along the normal, LPS.
        flags: What was odd about the voxels and got handled.
        scalings: How stored values became intensities: ``stored``, ``linear``, ``table``.
        replaced_zyx: Where padding was replaced; None: nowhere.
    """

    image: sitk.Image
    flags: frozenset[Flag]
    scalings: frozenset[str]
    replaced_zyx: npt.NDArray[np.bool_] | None = None


def stack_slices(
    slices: Sequence[DicomSlice],
    *,
    hounsfield: bool = False,
    missing_rescale: MissingRescale = MissingRescale.REFUSE,
) -> Stack:
    """Decode slices into one image, in the units that the headers rescale to (HU in CT).

    Integers stay integers: as stored where nothing is rescaled, else int16 where that holds all
    values, int32 where not. A slope or an intercept that is not an integer makes float32.

    Voxels outside the field of view that are filled with a value of their own become -1024 HU, in
    MRI the lowest value of the others.

    Args:
        slices: Slices of one series at regular positions, in order along their normal.
        hounsfield: Whether they are known to be a CT; else the header says so.
        missing_rescale: Whether stored values of a CT are Hounsfield units where no header says how
            they become some.

    Raises:
        ScanError: FILE_BROKEN, FORMAT_UNKNOWN or RESCALE_MISSING, with the place of the file.
    """
    lacking: list[DicomSlice] = []
    is_ct = hounsfield or slices[0].header.modality == CT
    if is_ct:
        lacking = [one for one in slices if not one.is_rescaled and one.table is None]
        if lacking and (missing_rescale is MissingRescale.REFUSE or len(lacking) < len(slices)):
            fact = f"{lacking[0].which} is CT without slope and intercept"
            raise ScanError(Reason.RESCALE_MISSING, fact)
        for one in slices:
            _check_unit(one)
    stored = _decoded(slices)
    voxels_zyx = _rescaled(stored, slices)
    padded_zyx, padding = _padded(stored, slices, voxels_zyx, is_ct=is_ct)
    flags = {Flag.PRIVATE_SCALING} if any(one.has_private_scaling for one in slices) else set()
    if is_ct and lacking:
        flags.add(Flag.HOUNSFIELD_STATED)
    replaced_zyx = None
    if padded_zyx is not None and padded_zyx.any():
        fill = AIR_HU if is_ct else voxels_zyx[~padded_zyx].min()
        differs_zyx = padded_zyx & (voxels_zyx != fill)
        if differs_zyx.any():
            replaced_zyx = differs_zyx
            voxels_zyx = _filled(voxels_zyx, replaced_zyx, fill)
            flags.add(Flag.PADDING_REPLACED)
    if padding is Flag.PADDING_DOUBTFUL:
        flags.add(padding)
    image = sitk.GetImageFromArray(voxels_zyx)
    set_grid(image, [one.header for one in slices])
    return Stack(image, frozenset(flags), frozenset(map(_scaling, slices)), replaced_zyx)


def rescaled_voxels(slices: Sequence[DicomSlice]) -> Voxels:
    """Decode slices of one size, and bring them to the units of their headers; nothing else.

    Raises:
        ScanError: FILE_BROKEN or FORMAT_UNKNOWN, with the place of the file.
    """
    return _rescaled(_decoded(slices), slices)


def set_grid(image: sitk.Image, headers: Sequence[Header]) -> None:
    """Put an image where slices lie.

    Args:
        image: 3D, of as many planes as there are slices.
        headers: Slices of one series at regular positions, in order along their normal. A single
            one is as thick as its header says, 1 mm where it does not.
    """
    first, last = headers[0], headers[-1]
    if len(headers) == 1:
        step_mm = max(first.slice_thickness_mm or 0.0, 0.0) or 1.0
    else:
        step_mm = (last.offset_mm - first.offset_mm) / (len(headers) - 1)
    image.SetOrigin(first.position_xyz_mm)
    image.SetSpacing((*first.spacing_xy_mm, step_mm))
    row, column = np.reshape(first.orientation, (2, 3))
    row = row / np.linalg.norm(row)
    column = column - (column @ row) * row  # cosines are rounded; ITK wants right angles
    column = column / np.linalg.norm(column)
    image.SetDirection(np.stack([row, column, np.cross(row, column)], axis=1).ravel().tolist())


def _check_unit(one: DicomSlice) -> None:
    """Refuse a slice of a CT that becomes something else than Hounsfield units.

    Raises:
        ScanError: RESCALE_MISSING.
    """
    if one.rescale_type.upper() not in _HOUNSFIELD:
        raise ScanError(Reason.RESCALE_MISSING, f"{one.which} is CT rescaled to another unit")


def _scaling(one: DicomSlice) -> str:
    if one.table is not None:
        return "table"
    return "stored" if one.rescale == (1.0, 0.0) else "linear"


def _decoded(slices: Sequence[DicomSlice]) -> list[Voxels]:
    with warnings.catch_warnings(action="ignore"):  # pydicom's, on values that break the standard
        return [_stored_voxels(one) for one in slices]


def _stored_voxels(one: DicomSlice) -> Voxels:
    """Decode the voxels of a slice, not rescaled."""
    options = dict(one.pixels)
    if options["photometric_interpretation"] != "MONOCHROME2":
        raise ScanError(Reason.FORMAT_UNKNOWN, f"{one.which} is not MONOCHROME2")
    if options.pop("high_bit") != options["bits_stored"] - 1:
        fact = f"{one.which} stores voxels in the upper bits, as the retired standard did"
        raise ScanError(Reason.FORMAT_UNKNOWN, fact)
    decoder = _decoder(one.syntax, one.which)
    rows, columns = options["rows"], options["columns"]
    n_bytes = rows * columns * options["bits_allocated"] // 8
    if decoder.is_native and len(one.encoded) < n_bytes * options["number_of_frames"]:
        raise ScanError(Reason.FILE_BROKEN, f"{one.which} has too few voxels")
    with refusing(Reason.FILE_BROKEN, f"{one.which} cannot be decoded"):
        if decoder.is_encapsulated:
            _check_stream(one, (columns, rows))
        voxels_yx, _ = decoder.as_array(one.encoded, index=one.header.frame, raw=True, **options)
    if voxels_yx.shape != (rows, columns):
        raise ScanError(Reason.FILE_BROKEN, f"{one.which} decodes to another size")
    return _without_unused_bits(voxels_yx, options["bits_stored"])


def _check_stream(one: DicomSlice, size_xy: tuple[int, int]) -> None:
    """Refuse a compressed stream of another size than the header has, before it is decoded.

    Raises:
        ScanError: FILE_BROKEN.
    """
    n_frames = one.pixels["number_of_frames"]
    stream = get_frame(one.encoded, one.header.frame, number_of_frames=n_frames)
    declared = declared_size_xy(stream)
    if declared is not None and declared != size_xy:
        fact = f"{one.which} is compressed as {declared[0]} x {declared[1]} pixels, "
        raise ScanError(Reason.FILE_BROKEN, f"{fact}{size_xy[0]} x {size_xy[1]} in its header")


def _without_unused_bits(voxels_yx: Voxels, bits_stored: int) -> Voxels:
    """Take the sign from the highest stored bit: pydicom leaves that to some encoders of JPEG."""
    n_unused = 8 * voxels_yx.dtype.itemsize - bits_stored
    return voxels_yx if n_unused <= 0 else (voxels_yx << n_unused) >> n_unused


def _decoder(syntax: UID, which: str) -> Decoder:
    """Return pydicom's decoder.

    Raises:
        ScanError: FORMAT_UNKNOWN with the name of the transfer syntax if there is none.
    """
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        decoder = None
    if decoder is None or not decoder.is_available:
        name = syntax.name if syntax.name != syntax else "a private transfer syntax"
        raise ScanError(Reason.FORMAT_UNKNOWN, f"{which} is encoded by {name}, no decoder for it")
    return decoder


def _rescaled(stored: Sequence[Voxels], slices: Sequence[DicomSlice]) -> Voxels:
    """Apply the table, or slope and intercept, of each slice."""
    if any(one.table is not None for one in slices):
        return np.stack(
            [
                _rescaled([voxels_yx], [one])[0]
                if one.table is None
                else _looked_up(voxels_yx, one.table, one.which)
                for voxels_yx, one in zip(stored, slices, strict=True)
            ]
        )
    factors = [one.rescale for one in slices]
    voxels_zyx = np.stack(stored)
    if set(factors) == {(1.0, 0.0)}:
        return voxels_zyx
    slopes, intercepts = np.array(factors).T[:, :, None, None]
    if not (
        all(value.is_integer() for pair in factors for value in pair)
        and _fit_into_int32(voxels_zyx, slopes, intercepts)
    ):
        rescaled: Voxels = (voxels_zyx * slopes + intercepts).astype(np.float32)
        return rescaled
    integers = voxels_zyx.astype(np.int32) * slopes.astype(np.int32) + intercepts.astype(np.int32)
    return _narrowed(integers)


def _looked_up(voxels_yx: Voxels, table: Dataset, which: str) -> Voxels:
    with refusing(Reason.FILE_BROKEN, f"{which} has a broken lookup table"):
        values: Voxels = np.asarray(apply_modality_lut(voxels_yx, table))
    return values


def _narrowed(integers: Voxels) -> Voxels:
    low, high = integers.min(), integers.max()
    for kind in (np.int16, np.int32):
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return integers.astype(kind, copy=False)
    return integers.astype(np.float32)


def _fit_into_int32(voxels_zyx: Voxels, slopes: Voxels, intercepts: Voxels) -> bool:
    largest = max(abs(int(voxels_zyx.min())), abs(int(voxels_zyx.max())))
    reach = largest * float(np.abs(slopes).max()) + float(np.abs(intercepts).max())
    return reach <= np.iinfo(np.int32).max


def _padded(
    stored: Sequence[Voxels], slices: Sequence[DicomSlice], voxels_zyx: Voxels, *, is_ct: bool
) -> tuple[npt.NDArray[np.bool_] | None, Flag | None]:
    """Find voxels that stand for nothing.

    Returns:
        Where they are, None where none can be; and a flag if the header's value is doubtful.
    """
    found = voxels_zyx < LOWEST_HU if is_ct else None
    if all(one.padding is None for one in slices):
        return found, None
    declared = np.stack(
        [
            np.zeros(voxels_yx.shape, bool)
            if one.padding is None
            else (voxels_yx >= one.padding[0]) & (voxels_yx <= one.padding[1])
            for voxels_yx, one in zip(stored, slices, strict=True)
        ]
    )
    values, others = voxels_zyx[declared], voxels_zyx[~declared]
    if not len(values) or not len(others):
        return found, None
    low, high = float(values.min()), float(values.max())
    lowest, highest = float(others.min()), float(others.max())
    if is_ct:
        is_apart = high <= PADDING_BELOW_HU or low > PADDING_ABOVE_HU
    else:
        margin = PADDING_MARGIN * (highest - lowest)
        is_apart = high < lowest - margin or low > highest + margin
        if high <= lowest and not is_apart:  # background, as dark as padding
            return found, None
    if not is_apart:  # a value that tissue has, too
        declared = np.stack([_at_edge(one) for one in declared])
        if not declared.any():
            return found, Flag.PADDING_DOUBTFUL
    return declared if found is None else declared | found, None


def _at_edge(padded_yx: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Keep of voxels with the value of padding what reaches the edge of the slice in one piece."""
    pieces_yx, _ = scipy.ndimage.label(padded_yx)
    sizes = np.bincount(pieces_yx.ravel())
    edges = (pieces_yx[0], pieces_yx[-1], pieces_yx[:, 0], pieces_yx[:, -1])
    large = [
        piece
        for piece in np.unique(np.concatenate(edges))
        if piece and sizes[piece] >= MIN_PADDING_SHARE * padded_yx.size
    ]
    at_edge: npt.NDArray[np.bool_] = np.isin(pieces_yx, large)
    return at_edge


def _filled(voxels_zyx: Voxels, padded_zyx: npt.NDArray[np.bool_], fill: float) -> Voxels:
    kind = voxels_zyx.dtype
    if kind.kind != "f" and not np.iinfo(kind).min <= fill <= np.iinfo(kind).max:
        voxels_zyx, kind = voxels_zyx.astype(np.int64), np.dtype(np.int64)
    filled: Voxels = np.where(padded_zyx, kind.type(fill), voxels_zyx)
    return _narrowed(filled) if kind.kind == "i" else filled

"""Files as nobody should deliver them: damaged, lying about their size, or no files at all."""

import gzip
import os
import socket
import struct
import zlib
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile

import numpy as np
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
)

from doubles.dicom_files import encode_slice

N_SLICES = 3
SIZE_YX = (36, 40)
GIB = 1 << 30


def ct_slices(*, syntax: str = ExplicitVRLittleEndian, **elements: Any) -> dict[str, bytes]:
    """A CT of three slices of noise, 36 x 40; ``elements`` are DICOM keywords."""
    voxels = np.random.default_rng(0).integers(0, 4000, (N_SLICES, *SIZE_YX)).astype(np.uint16)
    standard = {
        "SeriesInstanceUID": "1.2",
        "SeriesNumber": 1,
        "SeriesDescription": "abdomen",
        "SeriesDate": "20200101",
        "SeriesTime": "1200",
        "Manufacturer": "Maker",
        "ImageType": ["ORIGINAL", "PRIMARY"],
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "PixelSpacing": [2.0, 2.0],
        "Modality": "CT",
        "RescaleSlope": 1,
        "RescaleIntercept": -1024,
        "PatientWeight": "70",
        "PatientSize": "1.8",
    }
    return {
        f"{index}.dcm": encode_slice(
            plane,
            syntax=syntax,
            SOPInstanceUID=f"1.2.{index}",
            InstanceNumber=index + 1,
            ImagePositionPatient=[0.0, 0.0, 5.0 * index],
            **(standard | elements),
        )
        for index, plane in enumerate(voxels)
    }


def header_bytes(content: bytes) -> int:
    """Bytes of a slice before its voxels."""
    return len(content) - 2 * SIZE_YX[0] * SIZE_YX[1]


def nifti(
    size: Sequence[int],
    *,
    code: int = 4,
    bits: int = 16,
    offset: float = 352.0,
    srow: Sequence[float] = (2, 0, 0, 0, 0, 2, 0, 0, 0, 0, 3, 0),
    voxels: bytes | None = None,
) -> bytes:
    """A NIfTI-1 with noise of int16 as voxels, or any other header and voxels."""
    head = bytearray(352)
    struct.pack_into("<i", head, 0, 348)
    struct.pack_into("<8h", head, 40, len(size), *size, *[1] * (7 - len(size)))
    struct.pack_into("<2h", head, 70, code, bits)
    struct.pack_into("<4f", head, 76, 1, 2, 2, 3)
    struct.pack_into("<f", head, 108, offset)
    struct.pack_into("<2h", head, 252, 0, 1)
    struct.pack_into("<12f", head, 280, *srow)
    head[344:348] = b"n+1\0"
    if voxels is None:
        n_voxels = int(np.prod(size))
        voxels = np.random.default_rng(0).integers(-9, 9, n_voxels).astype("<i2").tobytes()
    return bytes(head) + voxels


def deflated_zeros(n_bytes: int, head: bytes = b"", *, wbits: int = -15) -> bytes:
    """A deflate stream of a head and zeros, made in no time and without its checksum's proof."""
    encoder = zlib.compressobj(9, zlib.DEFLATED, wbits)
    stream = encoder.compress(head) + encoder.flush(zlib.Z_FULL_FLUSH)
    block = encoder.compress(bytes(1 << 20)) + encoder.flush(zlib.Z_FULL_FLUSH)
    return stream + block * (n_bytes >> 20) + encoder.flush()


def zip_of_zeros(n_bytes: int, *, declared: int) -> bytes:
    """An archive with one deflated member out of which ``n_bytes`` come, whatever it declares."""
    content = BytesIO()
    with ZipFile(content, "w", ZIP_STORED) as archive:
        archive.writestr("1.dcm", deflated_zeros(n_bytes))
        (entry,) = archive.infolist()
        entry.compress_type, entry.file_size = ZIP_DEFLATED, declared
    whole = bytearray(content.getvalue())
    struct.pack_into("<H", whole, 8, ZIP_DEFLATED)  # in the member's own header
    return bytes(whole)


def _mha(size: int, *, packed: bool, voxels: bytes) -> bytes:
    header = (
        "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\n"
        f"CompressedData = {packed}\nCompressedDataSize = {len(voxels)}\n"
        "TransformMatrix = 1 0 0 0 1 0 0 0 1\n"
        f"Offset = 0 0 0\nElementSpacing = 2 2 2\nDimSize = {size} {size} {size}\n"
        "ElementType = MET_SHORT\nElementDataFile = LOCAL\n"
    )
    return header.encode() + voxels


def _nrrd(size: int, voxels: bytes) -> bytes:
    header = (
        "NRRD0004\ntype: short\ndimension: 3\nspace: left-posterior-superior\n"
        f"sizes: {size} {size} {size}\nspace directions: (2,0,0) (0,2,0) (0,0,2)\n"
        "kinds: domain domain domain\nendian: little\nencoding: gzip\nspace origin: (0,0,0)\n\n"
    )
    return header.encode() + voxels


def _series(change: Callable[[bytes], bytes], *, syntax: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        folder.mkdir()
        for name, content in ct_slices(syntax=syntax).items():
            (folder / name).write_bytes(change(content))

    return write


def _huge_matrix(content: bytes) -> bytes:
    for element, size in ((b"\x28\0\x10\0US\2\0", SIZE_YX[0]), (b"\x28\0\x11\0US\2\0", SIZE_YX[1])):
        content = content.replace(element + struct.pack("<H", size), element + b"\xff\xff")
    return content


def _deflated_bomb(content: bytes) -> bytes:
    end = 144 + struct.unpack_from("<I", content, 140)[0]
    return content[:end] + deflated_zeros(3 * GIB)


def _bytes(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def _in_folder(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        _series(lambda content: content, syntax=ExplicitVRLittleEndian)(folder)
        make(folder / "odd.dcm")

    return write


def bind_socket(path: Path) -> None:
    """Leave a socket there; bound by a short relative name, long ones are refused."""
    before = Path.cwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(path.name)
    finally:
        os.chdir(before)


SMALL = (10, 10, 10)
NAN, INF = float("nan"), float("inf")

# Name of the file or folder, how to make it, and the reason of the row.
BOMBS: dict[str, tuple[Callable[[Path], object], str]] = {
    "zeros.zip": (
        lambda path: path.write_bytes(zip_of_zeros(6 * GIB, declared=6 * GIB)),
        "archive_broken",
    ),
    "lies.zip": (
        lambda path: path.write_bytes(zip_of_zeros(6 * GIB, declared=1000)),
        "archive_broken",
    ),
    "long.nii.gz": (
        lambda path: path.write_bytes(deflated_zeros(4 * GIB, nifti(SMALL), wbits=31)),
        "file_broken",
    ),
    "large.nii.gz": (
        lambda path: path.write_bytes(
            deflated_zeros(5 * GIB, nifti((1280, 1280, 900), voxels=b""), wbits=31)
        ),
        "file_broken",
    ),
    "huge.nii.gz": (
        lambda path: path.write_bytes(
            deflated_zeros(5 * GIB, nifti((1400, 1400, 1400), code=2, bits=8, voxels=b""), wbits=31)
        ),
        "geometry_implausible",
    ),
    "frames.nii.gz": (
        lambda path: path.write_bytes(
            deflated_zeros(2 * GIB, nifti((100, 100, 100, 500), voxels=b""), wbits=31)
        ),
        "not_3d",
    ),
    **{
        f"affine{place}.nii.gz": (
            _bytes(gzip.compress(nifti(SMALL, srow=(value, 0, 0, 0, 0, 2, 0, 0, 0, 0, 3, 0)))),
            "geometry_implausible",
        )
        for place, value in enumerate((1e38, -1e38, INF, NAN))
    },
    "offset.nii": (_bytes(nifti(SMALL, offset=INF)), "file_broken"),
    "packed.mha": (
        lambda path: path.write_bytes(
            _mha(1280, packed=True, voxels=deflated_zeros(5 * GIB, wbits=15))
        ),
        "file_broken",
    ),
    "raw.mha": (_bytes(_mha(1280, packed=False, voxels=bytes(9))), "file_broken"),
    "wide.mha": (_bytes(_mha(10**9, packed=False, voxels=bytes(9))), "geometry_implausible"),
    "packed.nrrd": (
        lambda path: path.write_bytes(_nrrd(1280, deflated_zeros(5 * GIB, wbits=31))),
        "file_broken",
    ),
    "matrix": (_series(_huge_matrix, syntax=ExplicitVRLittleEndian), "file_broken"),
    "deflated": (_series(_deflated_bomb, syntax=DeflatedExplicitVRLittleEndian), "file_broken"),
    "fifo.nii.gz": (os.mkfifo, "format_unknown"),
    "fifo.zip": (os.mkfifo, "format_unknown"),
    "fifo.mha": (os.mkfifo, "format_unknown"),
    "socket.nii": (bind_socket, "format_unknown"),
    "device.nrrd": (lambda path: path.symlink_to("/dev/zero"), "format_unknown"),
    "fifo_within": (_in_folder(os.mkfifo), "format_unknown"),
    "socket_within": (_in_folder(bind_socket), "format_unknown"),
    "link_to_nowhere_within": (_in_folder(lambda path: path.symlink_to("gone")), "file_missing"),
}

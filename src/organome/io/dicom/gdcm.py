"""ITK's GDCM as a decoder of pydicom, for lossless and 12-bit JPEG, of which pydicom has none.

Both are common in CT archives. GDCM gets a file with nothing but the encoded frame in it, so that
it neither rescales nor interprets a sign: that is pydicom's part, the same for all encodings.
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import SimpleITK as sitk
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import DecodeRunner, get_decoder
from pydicom.uid import (
    UID,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    SecondaryCaptureImageStorage,
)

from organome.io.files.itk import quiet_itk

# pydicom asks a module of decoders for this name and for ``is_available``.
DECODER_DEPENDENCIES: Final = dict.fromkeys(
    (JPEGLossless, JPEGLosslessSV1, JPEGExtended12Bit), ("SimpleITK",)
)


def is_available(uid: str) -> bool:
    """Return whether frames of this transfer syntax are decoded here."""
    return uid in DECODER_DEPENDENCIES


def decode_frame(source: bytes, runner: DecodeRunner) -> bytes:
    """Decode a frame of one sample per pixel to unsigned integers, little endian."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(runner.transfer_syntax)
    dataset.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = UID("1.2.3")
    dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.SOPInstanceUID = UID("1.2.3")
    dataset.Rows, dataset.Columns = runner.rows, runner.columns
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored = runner.bits_allocated, runner.bits_stored
    dataset.HighBit = runner.bits_stored - 1
    dataset.PixelRepresentation = 0
    dataset.PixelData = encapsulate([source])
    with TemporaryDirectory(prefix="organome-") as folder:
        path = Path(folder, "frame.dcm")
        dataset.save_as(path, enforce_file_format=True)
        with quiet_itk():
            voxels: Any = sitk.GetArrayFromImage(sitk.ReadImage(str(path), imageIO="GDCMImageIO"))
    return bytes(voxels.astype(f"<u{runner.bits_allocated // 8}").tobytes())


def add_to_pydicom() -> None:
    """Make pydicom use it where it has no decoder of its own; once is enough."""
    for syntax in DECODER_DEPENDENCIES:
        decoder = get_decoder(syntax)
        if "organome" not in decoder.available_plugins:
            decoder.add_plugin("organome", (__name__, decode_frame.__name__))

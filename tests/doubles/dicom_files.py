"""Tiny DICOM files, made with pydicom alone."""

from io import BytesIO
from typing import Any

import numpy.typing as npt
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, MRImageStorage


def encode_slice(voxels_yx: npt.NDArray[Any], *, syntax: str, **elements: Any) -> bytes:
    """Encode one slice; ``elements`` are DICOM keywords, None leaves one out."""
    dataset = Dataset()
    dataset.SOPClassUID = MRImageStorage
    dataset.Modality = "MR"
    dataset.Rows, dataset.Columns = voxels_yx.shape
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 8 * voxels_yx.itemsize
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(voxels_yx.dtype.kind == "i")
    dataset.add_new("PixelData", "OW", voxels_yx.tobytes())
    for keyword, value in elements.items():
        if value is None:
            if keyword in dataset:
                delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    dataset.file_meta.MediaStorageSOPClassUID = MRImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    content = BytesIO()
    dataset.save_as(content, enforce_file_format=True)
    return content.getvalue()

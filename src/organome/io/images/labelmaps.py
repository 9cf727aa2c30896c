"""Labelmaps as segment_organs publishes them: a file each, or all of a shard in one pack.

A labelmap is a NIfTI of uint8 on the grid of its image, to the last bit of the header. A header
extension names its labels, in the XML of a Caret label table, which is plain text, and which
Connectome Workbench and TotalSegmentator read; others pass over it.

Whoever asks for a labelmap names the file that it would be. Where there is no such file, the pack
beside it is looked into.

Source: NIfTI-1.1 (extensions; code 30 is NIFTI_ECODE_CARET, intent 1002 NIFTI_INTENT_LABEL); the
label table of GIfTI 1.0, as the Caret volume extension holds it.
"""

import zlib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree

import numpy as np
import SimpleITK as sitk

from organome.domain.errors import ScanError
from organome.domain.organ_codes import colour_of
from organome.domain.outcomes import JsonValue
from organome.domain.schemes import LabelScheme
from organome.io.files.atomic import atomic_path
from organome.io.files.identity import input_identity
from organome.io.files.packs import packed_gzip_identity
from organome.io.files.published import ask_again, is_whole_gzip, read_member
from organome.io.images.image_files import read_image, read_published
from organome.io.images.nifti import CARET, nifti_header, write_nifti
from organome.io.images.reading import GZIP_STREAM

if TYPE_CHECKING:
    import nibabel as nib

LABELS_FILE: Final = "labels.nii.gz"
PACK: Final = "labelmaps.zip"
# Against level 1: 0.03 s more for a stitched scan and 0.2 s for a CT of 512 x 512 x 300, and files
# of a half to a third of the size.
DEFLATE_LEVEL: Final = 6
LABEL_INTENT: Final = 1002
# Everything in the header that says where the voxels lie.
_GRID_FIELDS: Final = (
    *("pixdim", "xyzt_units", "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d"),
    *("qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z"),
)


def labelmap_path(folder: Path, scan: str) -> Path:
    """Return where the labelmap of a scan lies in the folder of its shard, unless it is packed."""
    return folder / f"{scan}_{LABELS_FILE}"


def write_labelmap(
    path: Path, labelmap: sitk.Image, scheme: LabelScheme, *, grid_of: Path | None = None
) -> None:
    """Write a labelmap; equal ones give equal bytes.

    Args:
        path: Where, ``.nii.gz``.
        labelmap: Labels of type uint8, 3D.
        scheme: What they mean.
        grid_of: NIfTI file on whose grid the labels lie. Its header is copied as far as it tells
            the grid: computed again, directions of oblique grids differ in the last bit.

    Raises:
        ValueError: If the labels are of another type, or not of the size of ``grid_of``.
    """
    if labelmap.GetPixelID() != sitk.sitkUInt8:
        raise ValueError(f"labels of type {labelmap.GetPixelIDTypeAsString()}, uint8 needed")
    import nibabel as nib  # here: see nifti.py

    header = nifti_header(labelmap)
    if grid_of is not None:
        _copy_grid(nib.Nifti1Image.from_filename(grid_of).header, header)
    header["intent_code"] = LABEL_INTENT
    header.extensions.append(nib.nifti1.Nifti1Extension(CARET, _caret_xml(scheme)))
    with atomic_path(path) as temporary:
        # zlib, whose bytes are the same everywhere: a labelmap is known by its bytes.
        encoder = zlib.compressobj(DEFLATE_LEVEL, zlib.DEFLATED, GZIP_STREAM)
        write_nifti(temporary, header, labelmap, encoder=encoder)


def read_labelmap(path: Path) -> sitk.Image:
    """Read a published labelmap, be it a file or packed.

    Args:
        path: Where it lies, unless it is packed.

    Raises:
        MachineFault: If it is gone or damaged: then its step is asked for it again.
    """
    if path.is_file():
        return read_published(path)
    content = labelmap_content(path)
    with TemporaryDirectory(prefix="organome-") as folder:
        unpacked = Path(folder, LABELS_FILE)
        unpacked.write_bytes(content)
        try:
            return read_image(unpacked, constant=True)
        except ScanError as error:
            if is_whole_gzip(unpacked):
                raise
            # The checksum of the pack holds: it was damaged before it was packed.
            raise ask_again(path.with_name(PACK), member=path.name) from error


def labelmap_content(path: Path) -> bytes:
    """Read the file of a published labelmap as it is, be it a file or packed.

    Raises:
        MachineFault: If it is gone, or the pack is damaged: then its step is asked for it again.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return read_member(path.with_name(PACK), path.name)


def labelmap_identity(path: Path) -> JsonValue:
    """Return the identity of a published labelmap, the same whether or not it is packed."""
    if path.is_file():
        return input_identity(path)
    return packed_gzip_identity(path.with_name(PACK), path.name)


def _copy_grid(source: "nib.Nifti1Header", target: "nib.Nifti1Header") -> None:
    if not np.array_equal(source["dim"][1:4], target["dim"][1:4]):
        raise ValueError(f"labels of {target['dim'][1:4]} voxels, image of {source['dim'][1:4]}")
    for field in _GRID_FIELDS:
        target[field] = source[field]


def _caret_xml(scheme: LabelScheme) -> bytes:
    root = ElementTree.Element("CaretExtension")
    date = ElementTree.SubElement(root, "Date")
    date.text = ""  # equal labelmaps shall be equal bytes
    volume = ElementTree.SubElement(root, "VolumeInformation", Index="0")
    labels = ElementTree.SubElement(volume, "LabelTable")
    named = ((one.label, one.name, colour_of(one), "1") for one in scheme.structures)
    for label, name, colour, alpha in ((0, "background", (0, 0, 0), "0"), *named):
        red, green, blue = (f"{value / 255:.4f}" for value in colour)
        entry = ElementTree.SubElement(
            labels, "Label", Key=str(label), Red=red, Green=green, Blue=blue, Alpha=alpha
        )
        entry.text = name
    known = ElementTree.SubElement(ElementTree.SubElement(volume, "MetaData"), "MD")
    for tag, text in (("Name", "LabelScheme"), ("Value", scheme.name)):
        ElementTree.SubElement(known, tag).text = text
    ElementTree.SubElement(volume, "VolumeType").text = "Label"
    ElementTree.indent(root, space="")
    content: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return content

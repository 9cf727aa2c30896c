"""Files of ITK-SNAP: label descriptions, which name and colour labels, and workspaces.

Source: the heading that ITK-SNAP 4 writes into label descriptions itself; workspaces by the names
of folders and entries that its reader looks up (``Layers``, ``IRIS.LabelTable``).
"""

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from organome.domain.organ_codes import colour_of
from organome.domain.organs import Organ
from organome.io.files.atomic import write_text_atomic

_HEADING: Final = """\
################################################
# ITK-SnAP Label Description File
# File format:
# IDX   -R-  -G-  -B-  -A--  VIS MSH  LABEL
# Fields:
#    IDX:   Zero-based index
#    -R-:   Red color component (0..255)
#    -G-:   Green color component (0..255)
#    -B-:   Blue color component (0..255)
#    -A-:   Label transparency (0.00 .. 1.00)
#    VIS:   Label visibility (0 or 1)
#    MSH:   Label mesh visibility (0 or 1)
#  LABEL:   Label description
################################################
"""


def write_label_descriptions(path: Path, structures: Sequence[Organ]) -> None:
    """Write the description of labels; load it with Segmentation > Import label descriptions."""
    clear = _line(0, (0, 0, 0), shown=0, name="Clear Label")
    lines = [
        clear,
        *(_line(one.label, colour_of(one), shown=1, name=one.name) for one in structures),
    ]
    write_text_atomic(path, _HEADING + "".join(lines))


def write_workspace(
    path: Path, *, image: Path, labelmap: Path, structures: Sequence[Organ]
) -> None:
    """Write a workspace that opens an image with its labels, named and coloured."""
    registry = ET.Element("registry")
    _entry(registry, "SaveLocation", str(path.absolute().parent))
    _entry(registry, "Version", "20190612")
    layers = _folder(registry, "Layers")
    for number, (file, role) in enumerate(((image, "MainRole"), (labelmap, "SegmentationRole"))):
        layer = _folder(layers, f"Layer[{number:03d}]")
        _entry(layer, "AbsolutePath", str(file.absolute()))
        _entry(layer, "Role", role)
        _entry(layer, "Tags", "")
    table = _folder(_folder(registry, "IRIS"), "LabelTable")
    _entry(table, "NumberOfElements", str(len(structures)))
    for number, structure in enumerate(structures):
        element = _folder(table, f"Element[{number}]")
        _entry(element, "Alpha", "255")
        _entry(element, "Color", " ".join(map(str, colour_of(structure))))
        _entry(element, "Flags", "1 1")
        _entry(element, "Index", str(structure.label))
        _entry(element, "Label", structure.name)
    ET.indent(registry)
    text = ET.tostring(registry, encoding="unicode")
    write_text_atomic(path, f'<?xml version="1.0" encoding="UTF-8" ?>\n{text}\n')


def _folder(parent: ET.Element, key: str) -> ET.Element:
    return ET.SubElement(parent, "folder", key=key)


def _entry(parent: ET.Element, key: str, value: str) -> None:
    ET.SubElement(parent, "entry", key=key, value=value)


def _line(label: int, colour: tuple[int, int, int], *, shown: int, name: str) -> str:
    red, green, blue = colour
    return f'{label:5} {red:5} {green:4} {blue:4} {shown:8} {shown:2} {shown:2}    "{name}"\n'

"""Label descriptions of ITK-SNAP: a text file that names and colours the labels of any labelmap.

Source: the heading that ITK-SNAP 4 writes into these files itself.
"""

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


def _line(label: int, colour: tuple[int, int, int], *, shown: int, name: str) -> str:
    red, green, blue = colour
    return f'{label:5} {red:5} {green:4} {blue:4} {shown:8} {shown:2} {shown:2}    "{name}"\n'

"""What is written beside labels: names and colours of the structures of a scheme."""

from organome.domain.organ_codes import colour_of
from organome.domain.schemes import LabelScheme
from organome.io.labelmaps import LabelTable, NamedLabel


def label_table(scheme: LabelScheme) -> LabelTable:
    """Name the structures of a scheme."""
    return LabelTable(
        scheme=scheme.name,
        labels=tuple(NamedLabel(one.label, one.name, colour_of(one)) for one in scheme.structures),
    )

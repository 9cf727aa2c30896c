"""What a label scheme merges."""

from organome.domain.schemes import LabelScheme


def merged(scheme: LabelScheme) -> dict[str, list[str]]:
    """Find the classes of each organ that is made of several."""
    sources = {
        organ.name: [
            scheme.classes[source]
            for source, label in scheme.organ_labels.items()
            if label == organ.label
        ]
        for organ in scheme.structures
    }
    return {organ: classes for organ, classes in sources.items() if len(classes) > 1}

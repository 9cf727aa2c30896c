"""What the labels of a published shard mean."""

from collections.abc import Mapping
from pathlib import Path

from organome.domain.outcomes import Outcome, Status
from organome.domain.schemes import MRSEGMENTATOR, LabelScheme, scheme_by_name
from organome.io.schemes import read_published_scheme


def scheme_of_labelmaps(labelmaps: Path, labelled: Mapping[str, Outcome]) -> LabelScheme:
    """Find the scheme of a shard that segment_organs published.

    Args:
        labelmaps: Folder of the shard.
        labelled: Its ledger, for folders of earlier releases, which do not tell the scheme.

    Raises:
        SetupError: The scheme that the folder tells is none.
    """
    published = read_published_scheme(labelmaps)
    if published is not None:
        return published
    names = (one.facts["scheme"] for one in labelled.values() if one.status is Status.DONE)
    return scheme_by_name(next(names, MRSEGMENTATOR.name))

"""Published models that can be installed by name.

Source: release pages of MRSegmentator (github.com/hhaentze/MRSegmentator), and the addresses and
checksums in the configuration of its release 2.0.0. Releases 1.0 and 1.1 published no checksum.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

_RELEASES: Final = "https://github.com/hhaentze/MRSegmentator/releases/download"
_CITE_MRSEGMENTATOR: Final = "doi:10.1148/ryai.240777"


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A published model.

    Attributes:
        name: Name to install it by, and of its folder.
        url: Archive as published.
        sha256: SHA-256 of the archive, None where the authors published none.
        version: Version of the weights, as ``version.json`` in the archive gives it.
        scheme: Label scheme of its classes.
        licence: Licence of the weights.
        citation: What to cite.
        n_folds: Networks whose outputs are averaged, None where nobody says.
    """

    name: str
    url: str
    sha256: str | None
    version: str | None
    scheme: str
    licence: str | None
    citation: str
    n_folds: int | None = None


@dataclass(frozen=True, slots=True)
class ModelOrigin:
    """Where a model that is being installed is from.

    Attributes:
        name: Name it gets.
        source: URL, or name of the local file or folder.
        archive_sha256: Digest of what it is made from.
        verified: Whether that was known before.
        known: What is known of it, None for a model of one's own.
    """

    name: str
    source: str
    archive_sha256: str
    verified: bool
    known: KnownModel | None


def _release(version: str, sha256: str | None) -> KnownModel:
    return KnownModel(
        name=f"mrsegmentator-{version}",
        url=f"{_RELEASES}/v{version}.0/weights.zip",
        sha256=sha256,
        version=version,
        scheme="mrsegmentator",
        licence="Apache-2.0",
        citation=_CITE_MRSEGMENTATOR,
        n_folds=5,
    )


KNOWN_MODELS: Final[Mapping[str, KnownModel]] = MappingProxyType(
    {
        model.name: model
        for model in (
            _release("1.0", None),
            _release("1.1", None),
            _release("1.2", "dd26c1b511908a1f2a752b7fe8f5ca9c5603fc3e69fa52f57bf3ccdd52ceb286"),
            KnownModel(
                name="mrsegmentator-body-comp",
                url="https://zenodo.org/records/21211879/files/body_comp_weights.zip",
                sha256="3ec490f641dd1aebdd4d2f497e69f8c9f2e4060a45c7d0d69c3ea0e74daf1550",
                version=None,
                scheme="body_composition",
                licence=None,
                citation=f"doi:10.1101/2025.06.03.25328867, {_CITE_MRSEGMENTATOR}",
            ),
        )
    }
)

"""What install_model was asked for: a published model, a URL, a local archive or folder."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from organome.domain.errors import SetupError
from organome.domain.known_models import KNOWN_MODELS, KnownModel
from organome.domain.schemes import LabelScheme
from organome.io.tables.schemes import find_scheme

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SHA256: Final = re.compile(r"[0-9a-fA-F]{64}")
_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """What is to be installed.

    Attributes:
        name: Name of its folder.
        source: URL, or path of a local archive or folder.
        inside: Folder within the source, where that holds several models.
        known: The published model that it is, None for any other.
        expected_sha256: What the source must have, None where nobody knows.
        scheme: Label scheme that its classes must be those of, None for any.
    """

    name: str
    source: str
    inside: str | None
    known: KnownModel | None
    expected_sha256: str | None
    scheme: LabelScheme | None

    @property
    def is_url(self) -> bool:
        """Whether it has to be downloaded."""
        return _URL.match(self.source) is not None


def model_request(
    source: str, *, name: str | None, sha256: str | None, scheme: str | None, inside: str | None
) -> ModelRequest:
    """Make sense of what was asked for; the flags of install-model say what each is.

    Raises:
        SetupError: If that cannot be.
    """
    known = KNOWN_MODELS.get(name or source)
    if known is None and _URL.match(source) is None and not Path(source).exists():
        raise SetupError(
            f"{source!r} is no URL, no file and no published model ({', '.join(KNOWN_MODELS)})"
        )
    called = name or (known.name if known else _stem(source))
    if not _NAME.fullmatch(called):
        raise SetupError(f"name {called!r}: letters, digits, '.', '_' and '-' only")
    if sha256 is not None and not _SHA256.fullmatch(sha256):
        raise SetupError(f"sha256 {sha256!r} is no SHA-256: 64 hexadecimal digits")
    if known and known.sha256 and sha256 and sha256.lower() != known.sha256:
        raise SetupError(f"{called}: SHA-256 as published is {known.sha256}, not {sha256}")
    word = scheme or (known.scheme if known else None)
    return ModelRequest(
        name=called,
        source=known.url if known and source == known.name else source,
        inside=inside,
        known=known,
        expected_sha256=sha256 or (known.sha256 if known else None),
        scheme=None if word is None else find_scheme(word),
    )


def _stem(source: str) -> str:
    path = urlsplit(source).path.rstrip("/") if _URL.match(source) else Path(source).resolve()
    return Path(path).name.removesuffix(".zip")

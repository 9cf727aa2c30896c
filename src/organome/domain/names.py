"""Names of participants, visits and files, as tables can hold them."""

import unicodedata
from typing import Final

# Of Unicode: control and format characters, separators of lines and paragraphs, halves of pairs.
_UNSEEN: Final = frozenset({"Cc", "Cf", "Zl", "Zp", "Cs"})


def is_readable(text: str) -> bool:
    """Return whether a text holds nothing that cannot be seen: two such names look like one."""
    return text.isprintable() or not any(unicodedata.category(one) in _UNSEEN for one in text)


def one_spelling(text: str) -> str:
    """Return a text with its letters composed: file systems differ in how they write an umlaut."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)

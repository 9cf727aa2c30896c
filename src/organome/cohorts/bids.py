"""BIDS-like cohorts: ``sub-<id>/[ses-<id>/]<anat|ct|mr|vibe>/sub-<id>_..._<suffix>.<nii.gz|...>``.

Contrast and protocol come from the entities and the suffix:

- ``part-`` (``water``, ``fat``, ``inphase``, ``outphase``), or ``acq-`` with such a word or a
  suffix of UK Biobank's (``in``, ``opp``, ``F``, ``W``): a Dixon contrast, protocol ``dixon``;
- suffix ``T1w``, ``T2w``, ``ct``: contrasts ``t1``, ``t2``, ``ct``, protocol of the same name;
  ``acq-fs`` beside ``T1w``: ``t1fs``; suffix ``T2haste``: contrast ``t2``, protocol ``haste``;
- ``ses-`` is the instance, ``run-`` the array (``1`` where absent), a ``chunk-`` that is a number
  the station, ``sequ-`` (number of the DICOM series, TPTBox) tells repeats apart;
- every other entity (``ce-``, ``echo-``, ``inv-``, ``rec-``, ``space-``, ...) becomes part of the
  protocol (``t1_ax_ce-GD``; of ``acq-`` the value only, and ``acq-dixon`` adds nothing to
  ``dixon``), so that two images of a visit stay two scans and none passes for another.

A word that is meant for one of ours and is not read as it (``run2``, ``Ses-1``, a second ``run-``,
a number alone, an entity in the place of the suffix) would hide a visit, a repeat or a person in
the protocol: such an image is not listed.

NAKO, as TPTBox writes it, has such names, too, but not always such folders: the last one may also
be called as the suffix (``T2haste``).

All else (other suffixes, ``part-phase``, sidecars, ``derivatives``) is not listed.

Source: BIDS specification 1.10, entities; ``part-``, ``chunk-``, ``sequ-`` and the folder ``vibe``
as TPTBox writes them for NAKO. The folders ``ct`` and ``mr`` and the suffix ``ct`` are not in BIDS.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import PurePath
from typing import Final

from organome.cohorts.listing import FoundImage, image_suffix
from organome.domain.contrast_kinds import CONTRAST_KINDS
from organome.domain.names import is_readable, one_spelling
from organome.domain.scans import Contrast

FOLDERS: Final = ("anat", "ct", "mr", "vibe")
DIXON_WORDS: Final = {word: one.contrast for one in CONTRAST_KINDS for word in one.name_words}
SUFFIXES: Final = {word: one.contrast for one in CONTRAST_KINDS for word in one.name_suffixes}
PROTOCOLS: Final = {"t2haste": "haste"}  # else a protocol is called as its contrast
DIXON_SUFFIXES: Final = ("vibe", "dixon", "t1w")  # any other, mevibe say, is another protocol
PLAIN_PARTS: Final = ("", "mag")  # part-phase, part-real and part-imag show no anatomy
OTHER_PARTS: Final = ("phase", "real", "imag")
OTHER_SUFFIXES: Final = (  # of BIDS 1.10 that are not listed, named when they are counted
    *("FLAIR", "PDw", "PDT2", "T2starw", "T2star", "T1rho", "inplaneT1", "inplaneT2", "angio"),
    *("T1map", "T2map", "R1map", "R2map", "R2starmap", "PDmap", "MTRmap", "UNIT1", "MP2RAGE"),
    *("MEGRE", "MESE", "VFA", "IRT1", "defacemask", "dwi", "bold", "sbref", "epi"),
)
FAT_SUPPRESSED: Final = "fs"
DIXON: Final = "dixon"
# Entities of derivatives: an image in a template's space has volumes that nobody has.
DERIVED: Final = ("space", "desc", "res", "den", "label", "seg")
DERIVATIVES: Final = "derivatives"  # TPTBox has several folders that begin so
MAX_STATION: Final = 99
_ONCE: Final = re.compile(r"(sub|ses|run|part|chunk|sequ)-.+")
_ANY: Final = re.compile(r"acq-.+")
_MISSPELT: Final = re.compile(
    r"(?:sub|subject|ses|session|run|part|chunk|sequ|acq)(?:\d*|-.*)|\d+", re.IGNORECASE
)


def parse_path(path: PurePath, *, root: PurePath, by_name: bool = False) -> FoundImage | None:
    """Return what a file shows, by its place and name.

    Args:
        path: The file, below ``root``.
        root: The folder of the cohort.
        by_name: Whether the name alone says whose it is, wherever its folder (``vibe``, ...) lies.

    Returns:
        The image, None if the file is not one that is listed.
    """
    relative = path.relative_to(root)
    extension = image_suffix(path.name)
    if extension is None or not is_readable(path.name):
        return None
    *words, suffix = one_spelling(path.name).removesuffix(extension).split("_")
    if path.parent.name not in FOLDERS and not (by_name and path.parent.name == suffix):
        return None
    if _is_misspelt(words, suffix):
        return None
    entities = _Entities(words)
    participant = entities.take("sub")
    session = entities.take("ses")
    between = (f"ses-{session}",) if session else ()
    if not participant:
        return None
    if by_name and any(part.startswith(DERIVATIVES) for part in relative.parts):
        return None
    folders = tuple(map(one_spelling, relative.parts[:-2]))
    if not by_name and folders != (f"sub-{participant}", *between):
        return None
    run = entities.take("run") or "1"
    chunk = entities.take("chunk", is_valid=_is_station)
    series = entities.take("sequ", is_valid=str.isdecimal)
    shown = _contrast_and_protocol(entities, suffix.lower())
    if shown is None:
        return None
    contrast, protocol = shown
    return FoundImage(
        participant=participant,
        instance=session or "1",
        array=run,
        protocol=protocol,
        path=str(path),
        where=str(relative).replace(f"sub-{participant}", "sub-*"),
        contrast=contrast,
        station=int(chunk) if chunk else None,
        repeat=int(series) if series else 0,
    )


def is_derived(protocol: str) -> bool:
    """Return whether a protocol is that of images made from others, as BIDS names them."""
    return any(word.startswith(tuple(f"{one}-" for one in DERIVED)) for word in protocol.split("_"))


def kind_left_out(path: PurePath) -> str:
    """Return of which kind a file is that is not listed, in words that name nobody."""
    extension = image_suffix(path.name)
    if extension is None:
        return "files that are not images"
    if not is_readable(path.name):
        return "images whose names hold characters that cannot be seen"
    if path.parent.name not in FOLDERS:
        return f"images outside {', '.join(FOLDERS)}"
    *pairs, suffix = path.name.removesuffix(extension).split("_")
    parts = [pair.lower() for pair in pairs if pair.startswith("part-")]
    if parts and parts[0].removeprefix("part-") in OTHER_PARTS:
        return f"images of {parts[0]}"
    known = {one.lower(): one for one in OTHER_SUFFIXES}
    if suffix.lower() in known:
        return f"images of {known[suffix.lower()]}"
    if _is_misspelt(pairs, suffix):
        return "images with a misspelt entity (run2, Ses-1), a second one, or a number without one"
    return "images whose names are not understood"


def _is_misspelt(words: Sequence[str], suffix: str) -> bool:
    """Return whether a word is meant for an entity that is read, and is not read as it."""
    once = [match[1] for match in map(_ONCE.fullmatch, words) if match]
    others = [word for word in words if not (_ONCE.fullmatch(word) or _ANY.fullmatch(word))]
    is_odd = any(map(_MISSPELT.fullmatch, (*others, suffix)))
    return is_odd or "-" in suffix or len(set(once)) < len(once)


class _Entities:
    """Entities of a file name that nothing has been made of yet, in their order."""

    def __init__(self, words: Sequence[str]) -> None:
        self._words = list(words)

    def take(self, name: str, *, is_valid: Callable[[str], bool] = bool) -> str:
        """Take the value of an entity out; empty if it is not there, or not valid."""
        for word in self._words:
            value = word.removeprefix(f"{name}-")
            if value != word and is_valid(value):
                self._words.remove(word)
                return value
        return ""

    def named(self, base: str) -> str:
        """Return a protocol that says all that is left."""
        left = [word.removeprefix("acq-") for word in self._words]
        return "_".join([base, *(word for word in left if word.lower() != base)])


def _is_station(value: str) -> bool:
    return value.isdecimal() and int(value) <= MAX_STATION


def _is_dixon_word(value: str) -> bool:
    return value.lower() in DIXON_WORDS


def _contrast_and_protocol(entities: _Entities, suffix: str) -> tuple[Contrast, str] | None:
    part = entities.take("part").lower()
    if part not in DIXON_WORDS and part not in PLAIN_PARTS:
        return None
    word = part if part in DIXON_WORDS else entities.take("acq", is_valid=_is_dixon_word).lower()
    if word:
        protocol = entities.named(DIXON)
        plain = suffix in DIXON_SUFFIXES
        return DIXON_WORDS[word], protocol if plain else f"{protocol}_{suffix}"
    if suffix not in SUFFIXES:
        return None
    contrast = SUFFIXES[suffix]
    if contrast is Contrast.T1 and entities.take("acq", is_valid=_is_fat_suppressed):
        contrast = Contrast.T1FS
    return contrast, entities.named(PROTOCOLS.get(suffix, contrast.value))


def _is_fat_suppressed(value: str) -> bool:
    return value.lower() == FAT_SUPPRESSED

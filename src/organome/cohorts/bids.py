"""BIDS-like cohorts: ``sub-<id>/[ses-<id>/]<anat|ct|mr>/sub-<id>_..._<suffix>.<nii.gz|nrrd|...>``.

Contrast and protocol come from the entities and the suffix:

- ``part-`` (``water``, ``fat``, ``inphase``, ``outphase``), or ``acq-`` with such a word or a
  suffix of UK Biobank's (``in``, ``opp``, ``F``, ``W``): a Dixon contrast, protocol ``dixon``;
- suffix ``T1w``, ``T2w``, ``ct``: contrasts ``t1``, ``t2``, ``ct``, protocol of the same name;
  ``acq-fs`` beside ``T1w``: ``t1fs``;
- any other ``acq-`` becomes part of the protocol (``t1_ax``; ``acq-dixon`` adds nothing to
  ``dixon``), so that two acquisitions of a visit stay two scans;
- ``ses-`` is the instance, ``run-`` the array (``1`` where absent), ``chunk-`` the station.

All else (other suffixes, ``part-phase``, sidecars, ``derivatives``) is not listed.

Source: BIDS specification 1.10, entities; ``part-`` and ``chunk-`` for Dixon stations as TPTBox
writes them for NAKO. The folders ``ct`` and ``mr`` and the suffix ``ct`` are not in BIDS.
"""

from pathlib import PurePath
from typing import Final

from organome.cohorts.listing import IMAGE_SUFFIXES, FoundImage
from organome.domain.scans import Contrast

FOLDERS: Final = ("anat", "ct", "mr")
DIXON_WORDS: Final = {
    "water": Contrast.WATER,
    "w": Contrast.WATER,
    "fat": Contrast.FAT,
    "f": Contrast.FAT,
    "inphase": Contrast.IN_PHASE,
    "in": Contrast.IN_PHASE,
    "outphase": Contrast.OPPOSED_PHASE,
    "opposedphase": Contrast.OPPOSED_PHASE,
    "opp": Contrast.OPPOSED_PHASE,
}
SUFFIXES: Final = {"t1w": Contrast.T1, "t2w": Contrast.T2, "ct": Contrast.CT}
PLAIN_PARTS: Final = ("", "mag")  # part-phase, part-real and part-imag show no anatomy
OTHER_PARTS: Final = ("phase", "real", "imag")
OTHER_SUFFIXES: Final = (  # of BIDS 1.10 that are not listed, named when they are counted
    *("FLAIR", "PDw", "PDT2", "T2starw", "T2star", "T1rho", "inplaneT1", "inplaneT2", "angio"),
    *("T1map", "T2map", "R1map", "R2map", "R2starmap", "PDmap", "MTRmap", "UNIT1", "MP2RAGE"),
    *("MEGRE", "MESE", "VFA", "IRT1", "defacemask", "dwi", "bold", "sbref", "epi"),
)
FAT_SUPPRESSED: Final = "fs"
DIXON: Final = "dixon"


def parse_path(path: PurePath, *, root: PurePath) -> FoundImage | None:
    """Return what a file shows, by its place and name.

    Args:
        path: The file, below ``root``.
        root: The folder of the cohort.

    Returns:
        The image, None if the file is not one that is listed.
    """
    relative = path.relative_to(root)
    extension = next((one for one in IMAGE_SUFFIXES if path.name.endswith(one)), None)
    if extension is None or len(relative.parts) < 3 or relative.parts[-2] not in FOLDERS:
        return None
    *pairs, suffix = path.name.removesuffix(extension).split("_")
    entities = dict(pair.split("-", 1) for pair in pairs if "-" in pair)
    if relative.parts[0] != f"sub-{entities.get('sub')}" or not _session_fits(relative, entities):
        return None
    shown = _contrast_and_protocol(entities, suffix.lower())
    if shown is None:
        return None
    contrast, protocol = shown
    chunk = entities.get("chunk", "")
    return FoundImage(
        participant=entities["sub"],
        instance=entities.get("ses", "1"),
        array=entities.get("run", "1"),
        protocol=protocol,
        path=str(path),
        where=str(relative).replace(f"sub-{entities['sub']}", "sub-*"),
        contrast=contrast,
        station=int(chunk) if chunk.isdecimal() else None,
    )


def kind_left_out(path: PurePath) -> str:
    """Return of which kind a file is that is not listed, in words that name nobody."""
    extension = next((one for one in IMAGE_SUFFIXES if path.name.endswith(one)), None)
    if extension is None:
        return "files that are not images"
    if path.parent.name not in FOLDERS:
        return f"images outside {', '.join(FOLDERS)}"
    *pairs, suffix = path.name.removesuffix(extension).split("_")
    parts = [pair.lower() for pair in pairs if pair.startswith("part-")]
    if parts and parts[0].removeprefix("part-") in OTHER_PARTS:
        return f"images of {parts[0]}"
    known = {one.lower(): one for one in OTHER_SUFFIXES}
    if suffix.lower() in known:
        return f"images of {known[suffix.lower()]}"
    return "images whose names are not understood"


def _session_fits(relative: PurePath, entities: dict[str, str]) -> bool:
    between = relative.parts[1:-2]
    return between == ((f"ses-{entities['ses']}",) if "ses" in entities else ())


def _contrast_and_protocol(entities: dict[str, str], suffix: str) -> tuple[Contrast, str] | None:
    acquisition, part = entities.get("acq", ""), entities.get("part", "")
    for word, rest in ((part, acquisition), (acquisition, "")):
        if word.lower() in DIXON_WORDS:
            return DIXON_WORDS[word.lower()], _named(DIXON, rest)
    if part.lower() not in PLAIN_PARTS or suffix not in SUFFIXES:
        return None
    contrast = SUFFIXES[suffix]
    if contrast is Contrast.T1 and acquisition.lower() == FAT_SUPPRESSED:
        return Contrast.T1FS, Contrast.T1FS.value
    return contrast, _named(contrast.value, acquisition)


def _named(base: str, acquisition: str) -> str:
    return base if acquisition.lower() in ("", base) else f"{base}_{acquisition}"

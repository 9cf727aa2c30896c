"""A folder or archive that shall hold one DICOM series: which one, and what it shows."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from organome.cohorts.dixon import disputed, series_contrast
from organome.cohorts.series import Series, group_series, share_direction
from organome.domain.contrast_kinds import modality_of
from organome.domain.errors import ScanError
from organome.domain.flags import Flag
from organome.domain.headers import Header
from organome.domain.outcomes import Reason
from organome.domain.scans import DIXON_CONTRASTS, Contrast, Modality

LOCALIZER: Final = "LOCALIZER"  # a value of ImageType, PS3.3 C.8.16.1.3
CT_MODALITY: Final = "CT"
# By what a contrast may be called in headers; some say nothing, or "other".
_MODALITIES: Final = {Modality.CT: ("CT", ""), Modality.MRI: ("MR", "OT", "")}


@dataclass(frozen=True, slots=True)
class ChosenSeries:
    """The series that is meant.

    Attributes:
        series: A regular stack of slices.
        contrast: What it shows.
        flags: What was odd and got handled.
    """

    series: Series
    contrast: Contrast
    flags: frozenset[Flag]


def choose_single_series(headers: Iterable[Header], contrast: Contrast | None) -> ChosenSeries:
    """Choose the series that a source names.

    Localizers and single slices do not count (flag ``extra_series``). If more than one series is
    left, those without a direction that most of their slices share are localizers, too, and the
    one Dixon series of the wanted contrast is taken; anything else is refused, because size or time
    do not tell which of two reconstructions somebody meant. Put the series that is meant into a
    folder of its own.

    Args:
        headers: All slices, in any order.
        contrast: What the list says it shows; None leaves it to the header, which knows CT and the
            Dixon contrasts.

    Raises:
        ScanError: NOT_3D, SEVERAL_SERIES, CONTRAST_MISSING, CONTRAST_DISPUTED, or what is wrong
            with the series.
    """
    headers = list(headers)
    series = group_series(headers)
    stacks = [
        one for one in series if len(one.slices) > 1 and LOCALIZER not in one.first.image_type
    ]
    if not stacks:
        raise ScanError(Reason.NOT_3D, f"{len(series)} series, none with more than one slice")
    if len(stacks) > 1:
        stacks = [one for one in stacks if not _is_localizer(one, headers)] or stacks
    if len(stacks) > 1:
        stacks = [one for one in stacks if contrast and series_contrast(one) is contrast] or stacks
    if len(stacks) > 1:
        raise ScanError(Reason.SEVERAL_SERIES, f"{len(stacks)} series where one is expected")
    (chosen,) = stacks
    chosen = disputed(chosen) if contrast in (None, *DIXON_CONTRASTS) else chosen
    chosen.check()
    shown = contrast or _shown(chosen)
    if shown is None:
        raise ScanError(
            Reason.CONTRAST_MISSING, f"neither list nor header of {chosen.name} tells it"
        )
    check_modality(chosen, shown)
    if shown in DIXON_CONTRASTS and series_contrast(chosen) not in (None, shown):
        fact = f"{chosen.name} shows {series_contrast(chosen)}, the list says {shown}"
        raise ScanError(Reason.CONTRAST_DISPUTED, fact)
    extra = {Flag.EXTRA_SERIES} if len(series) > 1 else set()
    return ChosenSeries(series=chosen, contrast=shown, flags=chosen.flags | extra)


def check_modality(series: Series, contrast: Contrast) -> None:
    """Refuse a series of another kind of scanner than its contrast needs.

    Raises:
        ScanError: CONTRAST_DISPUTED.
    """
    if series.first.modality not in _MODALITIES[modality_of(contrast)]:
        is_ct = series.first.modality == CT_MODALITY
        made_by = "a CT" if is_ct else "another kind of scanner"
        made_by = "MRI" if series.first.modality == "MR" else made_by
        fact = f"{series.name} is of {made_by} and shall show {contrast}"
        raise ScanError(Reason.CONTRAST_DISPUTED, fact)


def _is_localizer(series: Series, headers: Iterable[Header]) -> bool:
    """Return whether no more than half of a series' slices, left out or not, share a direction."""
    normals = Counter(one.normal for one in headers if one.series_uid == series.first.series_uid)
    n_alike = max(
        sum(n for other, n in normals.items() if share_direction(one, other)) for one in normals
    )
    return 2 * n_alike <= normals.total()


def _shown(series: Series) -> Contrast | None:
    return Contrast.CT if series.first.modality == CT_MODALITY else series_contrast(series)

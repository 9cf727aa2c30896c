"""Which images of a scan are labelled: the first that is wanted and sound, or all for a vote."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from organome.domain.contrasts import SWAPPABLE, ChoiceReason, Combine, LeftOut, acquired_together
from organome.domain.errors import ScanError
from organome.domain.outcomes import Reason
from organome.domain.scans import Contrast
from organome.domain.schemes import LabelScheme


@dataclass(frozen=True, slots=True)
class ContrastChoice:
    """The images of a scan that are labelled.

    Attributes:
        contrasts: In order of preference, at least one; the first is the one that is measured.
        reason: Why the first is the first.
        left_out: Contrasts that were wanted for a vote and take no part; empty without a vote.
    """

    contrasts: tuple[Contrast, ...]
    reason: ChoiceReason
    left_out: Mapping[Contrast, LeftOut] = field(default_factory=dict)


def choose_contrasts(
    available: Sequence[str],
    wanted: Sequence[Contrast],
    *,
    combine: Combine = Combine.FIRST,
    is_swapped: bool = False,
) -> ContrastChoice:
    """Choose the images of a scan that are labelled.

    Fat and water that look exchanged come after all other contrasts that are wanted.

    Args:
        available: Contrasts of the scan.
        wanted: Contrasts in order of preference.
        combine: Whether one is labelled or all that are wanted.
        is_swapped: Whether fat and water look exchanged.

    Raises:
        ScanError: The scan has none of the wanted contrasts, and more than one other.
    """
    present = [contrast for contrast in wanted if contrast.value in available]
    swapped = SWAPPABLE if is_swapped else frozenset()
    sound = [contrast for contrast in present if contrast not in swapped]
    if sound:
        voters = tuple(sound) if combine is Combine.CONSENSUS else (sound[0],)
        return ContrastChoice(
            voters,
            _why_first(sound[0], wanted, present),
            _left_out(wanted, present, voters) if combine is Combine.CONSENSUS else {},
        )
    if present:
        return ContrastChoice((present[0],), ChoiceReason.SWAPPED_NO_ALTERNATIVE)
    if len(available) == 1:
        return ContrastChoice((Contrast(available[0]),), ChoiceReason.ONLY_IMAGE)
    raise ScanError(
        Reason.CONTRAST_MISSING,
        f"has {', '.join(sorted(available)) or 'no image'}, wanted {', '.join(wanted)}",
    )


def suitable_contrasts(available: Sequence[str], scheme: LabelScheme) -> list[str]:
    """Leave out the images that a label scheme is not for.

    Raises:
        ScanError: The scan has no other images.
    """
    suitable = [name for name in available if scheme.suits(Contrast(name))]
    if available and not suitable:
        raise ScanError(
            Reason.CONTRAST_MISSING,
            f"has {', '.join(sorted(available))}; label scheme {scheme.name} is for"
            f" {scheme.modality} only",
        )
    return suitable


def _why_first(
    first: Contrast, wanted: Sequence[Contrast], present: Sequence[Contrast]
) -> ChoiceReason:
    """Return what was in the way of those that are preferred to it."""
    if first is not present[0]:
        return ChoiceReason.PREFERRED_SWAPPED
    better = wanted[: wanted.index(first)]
    if any(acquired_together(one, first) for one in better):
        return ChoiceReason.PREFERRED_MISSING
    return ChoiceReason.PREFERRED


def _left_out(
    wanted: Sequence[Contrast], present: Sequence[Contrast], voters: Sequence[Contrast]
) -> dict[Contrast, LeftOut]:
    return {
        contrast: LeftOut.SWAPPED if contrast in present else LeftOut.MISSING
        for contrast in wanted
        if contrast not in voters and acquired_together(contrast, voters[0])
    }

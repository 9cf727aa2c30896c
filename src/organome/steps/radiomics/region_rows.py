"""What was measured of a region -> the part of a row that is of it, each null with a reason."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from math import isfinite

from organome.compute.radiomics.extraction import RegionFeatures
from organome.domain.features import FIRST_ORDER_OF_LEVELS, FeatureClass, name_parts
from organome.domain.ibsi_features import FAMILIES_OF_LEVELS
from organome.domain.outcomes import FeatureReason
from organome.domain.rows import Row


def region_values(region: RegionFeatures, asked_for: Sequence[str], columns: Iterable[str]) -> Row:
    """Make the part of a row that is of one region.

    Args:
        region: What was measured.
        asked_for: Features that the settings of the image ask for.
        columns: Features of the table.
    """
    values = {
        name: value if isfinite(value) else None
        for name, value in region.values.items()
        if not (_is_of_levels(name) and _has_one_level(region, name))
    }
    row: Row = {"n_voxels": region.n_voxels, **_intensities(region)}
    if not values and region.reason is not None:
        return {**row, "na_reason": region.reason.value}
    missing = {name: _reason(name, region) for name in asked_for if values.get(name) is None}
    others = {name: FeatureReason.NOT_IN_SETTINGS for name in columns if name not in {*asked_for}}
    reason = next(iter(missing.values()), None)
    said = ";".join(_by_beginning({**missing, **others}))
    return {**row, "na_reason": reason and reason.value, "na_features": said or None, **values}


def without_intensities(region: RegionFeatures, reason: FeatureReason) -> RegionFeatures:
    """Leave only the shape, for a reason."""
    shape = {
        name: value
        for name, value in region.values.items()
        if name_parts(name)[1] is FeatureClass.SHAPE
    }
    return replace(region, values=shape, reason=reason, intensities={})


def _intensities(region: RegionFeatures) -> Row:
    of_first = next(iter(region.intensities.values()), None)
    if of_first is None:
        return {}
    return {
        "n_grey_levels": of_first.n_levels,
        "intensity_min": of_first.lowest,
        "intensity_p999": of_first.p999,
        "intensity_max": of_first.highest,
    }


def _reason(name: str, region: RegionFeatures) -> FeatureReason:
    """Return why a feature that was asked for is missing."""
    image_type, _, _ = name_parts(name)
    of_image = region.intensities.get(image_type)
    if of_image is not None and of_image.too_many_levels:
        return FeatureReason.TOO_MANY_LEVELS
    if _has_one_level(region, name) and _is_of_levels(name):
        return FeatureReason.ONE_GREY_LEVEL
    if name in region.values:
        return FeatureReason.UNDEFINED
    if region.reason not in (None, FeatureReason.UNDEFINED, FeatureReason.TOO_MANY_LEVELS):
        return region.reason
    return FeatureReason.IMAGE_TOO_SMALL


def _has_one_level(region: RegionFeatures, name: str) -> bool:
    of_image = region.intensities.get(name_parts(name)[0])
    return of_image is not None and of_image.n_levels == 1


def _is_of_levels(name: str) -> bool:
    _, of_class, feature = name_parts(name)
    if of_class is FeatureClass.FIRSTORDER:
        return feature in FIRST_ORDER_OF_LEVELS
    if of_class is FeatureClass.IBSI:
        return feature.split("_")[0] in FAMILIES_OF_LEVELS
    return of_class is not FeatureClass.SHAPE


def _by_beginning(missing: Mapping[str, FeatureReason], n_parts: int = 1) -> Iterator[str]:
    """Say it of whole image types; of classes, of features only where reasons differ within."""

    def beginning(name: str) -> str:
        return "_".join(name.split("_")[:n_parts])

    for begin, group in groupby(sorted(missing, key=beginning), beginning):
        names = list(group)
        reasons = {missing[name] for name in names}
        if len(reasons) == 1:
            yield f"{begin}={reasons.pop().value}"
        else:
            yield from _by_beginning({name: missing[name] for name in names}, n_parts + 1)

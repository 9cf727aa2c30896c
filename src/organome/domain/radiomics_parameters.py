"""Parameter files of pyradiomics: what may stand in them, and what the native engine makes of it.

Nothing is passed over: a setting is honoured as pyradiomics honours it, or refused by its name, or
stands in docs/radiomics.md among those without effect.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import partial
from reprlib import repr as short_repr
from typing import Any, Final, NoReturn

from organome.domain.errors import SetupError
from organome.domain.features import FEATURES, ORIGINAL, FeatureClass
from organome.domain.ibsi_features import Extent
from organome.domain.radiomics_settings import (
    DEFAULT_PAD_VOXELS,
    LOG,
    MAX_LEVELS,
    WAVELET,
    BinsFrom,
    Filters,
    IbsiSettings,
    NormalizeOver,
    Preparation,
    Processing,
    RadiomicsSettings,
    ResegmentMode,
    TextureSettings,
)

# Names of SimpleITK's interpolators. Not their numbers, which pyradiomics takes, too: they
# differ between versions of SimpleITK.
_INTERPOLATORS: Final = tuple(
    f"sitk{name}"
    for name in (
        *("NearestNeighbor", "Linear", "BSpline", "Gaussian", "LabelGaussian"),
        *(f"{window}WindowedSinc" for window in ("Hamming", "Cosine", "Welch")),
        *(f"{window}WindowedSinc" for window in ("Lanczos", "Blackman")),
    )
)


def check_parameters(parameters: Mapping[str, Any], *, source: str) -> "_Content":
    """Check what holds for both engines, most of which pyradiomics' own schema lets through.

    Args:
        parameters: Content of a parameter file.
        source: Where it is from, for errors.

    Raises:
        SetupError: If a setting is unknown, is not what it must be, or would do nothing where it
            stands.
    """
    reading = _Reading(source)
    if "voxelSetting" in parameters:
        reading.fail("voxelSetting", "is for maps of features by voxel, which are not made here")
    for name in parameters:
        reading.known(name, (*_SECTIONS, "organome"), "")
    setting, types, classes, own = (
        reading.mapping(parameters.get(name), name) for name in (*_SECTIONS, "organome")
    )
    content = _Content(setting, types or {"Original": None}, classes, own)
    for name, value in setting.items():
        reading.known(name, (*_KINDS, *_FILTER_KEYS), "setting.")
        reading.check(name, value, "setting.")
        owners = [of_type for of_type, names in _OF_FILTER.items() if name in names]
        if owners and not set(owners) & set(content.types):
            reading.fail(f"setting.{name}", f"does nothing without imageType {' or '.join(owners)}")
    for of_type, custom in content.types.items():
        reading.known(of_type, (*_NATIVE_TYPES, *_OTHER_TYPES), "imageType.")
        _check_image_type(of_type, reading.mapping(custom, f"imageType.{of_type}"), reading)
    if "LoG" in content.types and not content.of_type("LoG").get("sigma"):
        reading.fail("imageType.LoG", "needs sigma, a list of widths in mm")
    for name, features in classes.items():
        if name == "shape2D":
            reading.fail("featureClass.shape2D", "does not exist for images of three dimensions")
        if features is not None and not _is_list(features, lambda each: isinstance(each, str)):
            reading.fail(f"featureClass.{name}", "must be a list of features, or empty for all")
    _check_own(content, reading)
    return content


def read_parameters(parameters: Mapping[str, Any], *, source: str) -> RadiomicsSettings:
    """Read settings.

    Args:
        parameters: Content of a parameter file of pyradiomics: ``setting``, ``imageType``,
            ``featureClass``. What pyradiomics does not have stands under ``organome``.
        source: Where it is from, for errors.

    Raises:
        SetupError: If something is wrong with a setting, or it asks for what the native engine does
            not do.
    """
    reading = _Reading(source)
    content = check_parameters(parameters, source=source)
    setting = content.setting
    for of_type in content.types:
        if of_type not in _NATIVE_TYPES:
            reading.refuse(f"imageType.{of_type}")
    in_plane = bool(content.own.get("inPlane"))
    filters = _read_filters(content)
    preparation = _read_preparation(content)
    _refuse_margins(content, filters, preparation, reading)
    read_texture = partial(_read_texture, reading=reading, content=content)
    texture = read_texture(setting, "setting.")
    textures = {
        _NATIVE_TYPES[of_type]: read_texture(content.of_type(of_type), f"imageType.{of_type}.")
        for of_type in content.types
    }
    return RadiomicsSettings(
        texture=texture,
        own_textures={kind: own for kind, own in textures.items() if own != texture},
        preparation=preparation,
        filters=filters,
        classes=_read_classes(content.classes, reading),
        ibsi=IbsiSettings(
            extents=tuple(Extent(each) for each in content.own.get("ibsiFeatures", ())),
            autocorrelation=content.own.get("ibsiAutocorrelation", False),
            ivh_bin_width=content.own.get("ivhBinWidth"),
            ivh_bin_count=content.own.get("ivhBinCount"),
        ),
        in_plane=in_plane,
        parameters=parameters,
    )


@dataclass(frozen=True, slots=True)
class _Content:
    """The sections of a file."""

    setting: Mapping[str, Any]
    types: Mapping[str, Any]
    classes: Mapping[str, Any]
    own: Mapping[str, Any]

    def of_type(self, name: str) -> Mapping[str, Any]:
        """Return the settings of an image type: its own before those of all."""
        return {**self.setting, **(self.types[name] or {})}


@dataclass(frozen=True, slots=True)
class _Kind:
    """What a setting must be."""

    what: str
    fits: Callable[[Any], bool]
    may_be_null: bool = False


def _is_number(value: Any) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and abs(value) <= sys.float_info.max
    )


def _is_whole(value: Any) -> bool:
    return _is_number(value) and isinstance(value, int)


def _is_list(value: Any, fits: Callable[[Any], bool]) -> bool:
    return isinstance(value, list | tuple) and all(fits(each) for each in value)


def _whole(least: int, *, may_be_null: bool = False) -> _Kind:
    what = f"a whole number of at least {least}"
    return _Kind(what, lambda value: _is_whole(value) and value >= least, may_be_null)


def _one_of(names: Sequence[str]) -> _Kind:
    return _Kind(f"one of {', '.join(names)}", lambda value: value in names)


def _positive(value: Any) -> bool:
    return _is_number(value) and value > 0


_FLAG: Final = _Kind("true or false", lambda value: isinstance(value, bool))
_POSITIVE: Final = _Kind("a number above 0", _positive)
_LIST_OF_POSITIVE: Final = "a list of numbers above 0, each once"
_KINDS: Final[Mapping[str, _Kind]] = {
    "binWidth": _POSITIVE,
    "binCount": _whole(1, may_be_null=True),
    "voxelArrayShift": _Kind("a whole number", _is_whole),
    "gldm_a": _whole(0),
    "force2D": _FLAG,
    "force2Ddimension": _Kind("0, 1 or 2", lambda value: _is_whole(value) and 0 <= value <= 2),
    "distances": _Kind(
        "a list of whole numbers of at least 1, each once",
        lambda value: (
            _is_list(value, lambda each: _is_whole(each) and each >= 1)
            and 0 < len(set(value)) == len(value)
        ),
    ),
    "symmetricalGLCM": _FLAG,
    "weightingNorm": replace(
        _one_of(("euclidean", "manhattan", "infinity", "no_weighting")), may_be_null=True
    ),
    "minimumROIDimensions": _Kind("1, 2 or 3", lambda value: _is_whole(value) and 1 <= value <= 3),
    "minimumROISize": _whole(1, may_be_null=True),
    "normalize": _FLAG,
    "normalizeScale": _POSITIVE,
    "removeOutliers": replace(_POSITIVE, may_be_null=True),
    "resampledPixelSpacing": _Kind(
        "a list of three numbers of at least 0",
        lambda value: (
            _is_list(value, lambda each: _is_number(each) and each >= 0) and len(value) == 3
        ),
        may_be_null=True,
    ),
    "interpolator": _Kind(
        f"one of {', '.join(_INTERPOLATORS)}",
        lambda value: value in _INTERPOLATORS,
    ),
    "padDistance": _whole(0),
    "resegmentRange": _Kind(
        "a list of one or two numbers",
        lambda value: _is_list(value, _is_number) and len(value) in (1, 2),
        may_be_null=True,
    ),
    "resegmentMode": _one_of([mode.value for mode in ResegmentMode]),
    "resegmentShape": _FLAG,
    "preCrop": _FLAG,
    # These decide on nothing here: labels are all those of the labelmap, on the grid of the image.
    "label": _whole(1),
    "label_channel": _whole(0),
    "additionalInfo": _FLAG,
    "correctMask": _FLAG,
    "geometryTolerance": replace(_POSITIVE, may_be_null=True),
    # Of filters.
    "sigma": _Kind(
        _LIST_OF_POSITIVE,
        lambda value: _is_list(value, _positive) and 0 < len(set(value)) == len(value),
    ),
    "wavelet": _Kind("the name of a wavelet", lambda value: isinstance(value, str)),
    "level": _whole(1),
    "start_level": _whole(0),
}
_OWN_KINDS: Final[Mapping[str, _Kind]] = {
    "normalizeOver": _one_of([over.value for over in NormalizeOver]),
    "inPlane": _FLAG,
    "clipPercentiles": _Kind(
        "two rising numbers from 0 to 100",
        lambda value: (
            _is_list(value, _is_number) and len(value) == 2 and 0 <= value[0] < value[1] <= 100
        ),
    ),
    "processing": _one_of([each.value for each in Processing]),
    "outlierSigma": _POSITIVE,
    "ibsiFeatures": _Kind(
        f"a list of {', '.join(Extent)}, each once",
        lambda value: (
            _is_list(value, lambda each: each in tuple(Extent))
            and 0 < len(set(value)) == len(value)
        ),
    ),
    "ibsiAutocorrelation": _FLAG,
    "ivhBinWidth": _POSITIVE,
    "ivhBinCount": _whole(2),
}
_SECTIONS: Final = ("setting", "imageType", "featureClass")
# What pyradiomics reads for each image of its own; all else it reads once.
_OF_EVERY_IMAGE: Final = (
    *("binWidth", "binCount", "voxelArrayShift", "gldm_a", "force2D", "force2Ddimension"),
    *("distances", "symmetricalGLCM", "weightingNorm"),
)
_OF_FILTER: Final[Mapping[str, tuple[str, ...]]] = {
    "LoG": ("sigma",),
    "Wavelet": ("wavelet", "level", "start_level"),
    "Gradient": ("gradientUseSpacing",),
    "LBP2D": ("lbp2DRadius", "lbp2DSamples", "lbp2DMethod"),
    "LBP3D": ("lbp3DLevels", "lbp3DIcosphereRadius", "lbp3DIcosphereSubdivision"),
}
_FILTER_KEYS: Final = tuple(name for names in _OF_FILTER.values() for name in names)
_NATIVE_TYPES: Final = {"Original": ORIGINAL, "LoG": LOG, "Wavelet": WAVELET}
_OTHER_TYPES: Final = (
    *("Square", "SquareRoot", "Logarithm", "Exponential", "Gradient", "LBP2D", "LBP3D"),
)

# Names of pyradiomics, and of the same setting here.
_TEXTURE: Final = {
    "binWidth": "bin_width",
    "binCount": "bin_count",
    "voxelArrayShift": "voxel_array_shift",
    "gldm_a": "gldm_a",
    "force2D": "force_2d",
    "force2Ddimension": "force_2d_dimension",
    "minimumROIDimensions": "minimum_roi_dimensions",
    "minimumROISize": "minimum_roi_size",
}
_PREPARATION: Final = {
    "normalize": "normalize",
    "normalizeScale": "normalize_scale",
    "removeOutliers": "remove_outliers",
    "padDistance": "pad_voxels",
    "resegmentShape": "resegment_shape",
}


@dataclass(frozen=True, slots=True)
class _Reading:
    source: str

    def fail(self, key: str, what: str) -> NoReturn:
        raise SetupError(f"{self.source}: {key} {what}")

    def refuse(self, key: str) -> NoReturn:
        self.fail(key, "is not done natively; choose the engine pyradiomics")

    def mapping(self, content: Any, where: str) -> Mapping[str, Any]:
        if content is None:
            return {}
        if not isinstance(content, Mapping):
            self.fail(where, f"must have keys under it, not {short_repr(content)}")
        return content

    def known(self, name: Any, names: Sequence[str], where: str) -> None:
        if name not in names:
            close = get_close_matches(str(name), names, n=1, cutoff=0.6)
            hint = f"; did you mean {close[0]}?" if close else ""
            self.fail(f"{where}{name}", f"is not known to pyradiomics{hint}")

    def check(self, name: str, value: Any, where: str, kinds: Mapping[str, _Kind] = _KINDS) -> None:
        kind = kinds.get(name)
        if kind is None:  # of a filter that only pyradiomics does; its schema has all but these
            kind = _Kind(
                "a number or a word", lambda each: _is_number(each) or type(each) in _WORDS
            )
        if not (kind.may_be_null if value is None else kind.fits(value)):
            self.fail(f"{where}{name}", f"is {short_repr(value)}, must be {kind.what}")


_WORDS: Final = (str, bool)


def _check_image_type(of_type: str, custom: Mapping[str, Any], reading: _Reading) -> None:
    where = f"imageType.{of_type}."
    for name, value in custom.items():
        reading.known(name, (*_KINDS, *_FILTER_KEYS), where)
        if name not in (*_OF_EVERY_IMAGE, *_OF_FILTER.get(of_type, ())):
            place = "" if name in _FILTER_KEYS else "; put it under setting"
            reading.fail(f"{where}{name}", f"does nothing there{place}")
        reading.check(name, value, where)


def _check_own(content: _Content, reading: _Reading) -> None:
    for name, value in content.own.items():
        reading.known(name, tuple(_OWN_KINDS), "organome.")
        reading.check(name, value, "organome.", _OWN_KINDS)
    if content.own.get("normalizeOver") and not content.setting.get("normalize"):
        reading.fail("organome.normalizeOver", "does nothing without normalize: true")
    _check_ibsi(content, reading)
    if not content.own.get("inPlane"):
        return
    places = {"setting": content.setting, **content.types}
    for place, settings in places.items():
        where = place if place == "setting" else f"imageType.{place}"
        if "force2Ddimension" in (settings or {}):
            reading.fail(f"{where}.force2Ddimension", "contradicts organome.inPlane")
        if (settings or {}).get("force2D") is False:
            reading.fail(f"{where}.force2D", "is false, which contradicts organome.inPlane")


def _check_ibsi(content: _Content, reading: _Reading) -> None:
    """Check what belongs to the IBSI's processing, or to its features."""
    own, setting = content.own, content.setting
    if "ibsiFeatures" in own and "Original" not in content.types:
        reading.fail("organome.ibsiFeatures", "needs imageType Original, of which they are made")
    for name in ("ibsiAutocorrelation", "ivhBinWidth", "ivhBinCount"):
        if name in own and "ibsiFeatures" not in own:
            reading.fail(f"organome.{name}", "does nothing without ibsiFeatures")
    if "ivhBinWidth" in own and "ivhBinCount" in own:
        reading.fail("organome.ivhBinWidth", "contradicts ivhBinCount")
    if own.get("processing") != Processing.IBSI:
        if "outlierSigma" in own:
            reading.fail("organome.outlierSigma", "needs processing: ibsi")
        return
    if setting.get("resegmentMode", ResegmentMode.ABSOLUTE) != ResegmentMode.ABSOLUTE:
        reading.fail("setting.resegmentMode", "must be absolute with processing: ibsi")
    if setting.get("resegmentShape"):
        reading.fail("setting.resegmentShape", "contradicts processing: ibsi")
    if "padDistance" in setting:
        reading.fail("setting.padDistance", "does nothing with processing: ibsi")


def _bins_from(content: _Content) -> BinsFrom | float:
    if content.own.get("processing") != Processing.IBSI:
        return BinsFrom.MULTIPLE
    limits = content.setting.get("resegmentRange")
    return min(limits) if limits else BinsFrom.LEAST


def _read_texture(
    setting: Mapping[str, Any], where: str, *, reading: _Reading, content: _Content
) -> TextureSettings:
    if list(setting.get("distances", [1])) != [1]:
        reading.refuse(f"{where}distances: {short_repr(setting['distances'])}")
    if setting.get("weightingNorm") is not None:
        reading.refuse(f"{where}weightingNorm: {setting['weightingNorm']}")
    if not setting.get("symmetricalGLCM", True):
        reading.refuse(f"{where}symmetricalGLCM: false")
    if (setting.get("binCount") or 0) > MAX_LEVELS:
        reading.fail(
            f"{where}binCount", f"is {setting['binCount']}, at most {MAX_LEVELS} are possible"
        )
    texture = TextureSettings(**_renamed(setting, _TEXTURE))
    clip = content.own.get("clipPercentiles")
    return replace(
        texture,
        bins_from=_bins_from(content),
        force_2d=texture.force_2d or bool(content.own.get("inPlane")),
        clip_percentiles=None if clip is None else (float(clip[0]), float(clip[1])),
    )


def _read_preparation(content: _Content) -> Preparation:
    setting = content.setting
    sequences: dict[str, Any] = {
        ours: None if setting.get(theirs) is None else tuple(setting[theirs])
        for theirs, ours in (
            ("resampledPixelSpacing", "resampled_spacing_xyz_mm"),
            ("resegmentRange", "resegment_range"),
        )
    }
    return Preparation(
        **_renamed(setting, _PREPARATION),
        **sequences,
        interpolator=setting.get("interpolator", Preparation().interpolator),
        normalize_over=NormalizeOver(content.own.get("normalizeOver", NormalizeOver.IMAGE)),
        resegment_mode=ResegmentMode(setting.get("resegmentMode", ResegmentMode.ABSOLUTE)),
        processing=Processing(content.own.get("processing", Processing.PYRADIOMICS)),
        outlier_sigma=content.own.get("outlierSigma"),
    )


def _refuse_margins(
    content: _Content, filters: Filters, preparation: Preparation, reading: _Reading
) -> None:
    """Refuse to filter pieces of an image."""
    if not filters.log_sigmas_mm and filters.wavelet is None:
        return
    resampled = preparation.resampled_spacing_xyz_mm is not None
    if content.setting.get("preCrop") and not resampled:
        reading.refuse("setting.preCrop: true with a filter")
    if resampled and preparation.pad_voxels != DEFAULT_PAD_VOXELS:
        reading.refuse("setting.padDistance with a filter")


def _renamed(setting: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {ours: setting[theirs] for theirs, ours in names.items() if theirs in setting}


def _read_filters(content: _Content) -> Filters:
    log, wavelet = (
        content.of_type(name) if name in content.types else None for name in ("LoG", "Wavelet")
    )
    return Filters(
        original="Original" in content.types,
        log_sigmas_mm=() if log is None else tuple(log["sigma"]),
        wavelet=None if wavelet is None else wavelet.get("wavelet", "coif1"),
        wavelet_level=(wavelet or {}).get("level", 1),
        wavelet_start_level=(wavelet or {}).get("start_level", 0),
    )


def _read_classes(classes: Mapping[str, Any], reading: _Reading) -> tuple[FeatureClass, ...]:
    names = [name.value for name in FEATURES]
    for name, features in classes.items():
        reading.known(name, names, "featureClass.")
        if features:
            reading.refuse(f"featureClass.{name}: a choice of single features")
    return tuple(name for name in FEATURES if not classes or name.value in classes)

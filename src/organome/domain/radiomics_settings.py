"""Settings of a radiomics extraction, read from pyradiomics' own parameter format."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

from organome.domain.errors import SetupError
from organome.domain.features import ORIGINAL, FeatureClass, feature_names


class Engine(StrEnum):
    """What computes the features."""

    NATIVE = "native"
    PYRADIOMICS = "pyradiomics"


class NormalizeOver(StrEnum):
    """The voxels whose mean and standard deviation an image is normalised by."""

    IMAGE = "image"  # all, as pyradiomics does: the share of air around the body then matters
    BODY = "body"  # those with signal


class ResegmentMode(StrEnum):
    """What the limits of a resegmentation are."""

    ABSOLUTE = "absolute"
    RELATIVE = "relative"
    SIGMA = "sigma"


@dataclass(frozen=True, slots=True)
class TextureSettings:
    """Grey levels and neighbours; names and defaults are those of pyradiomics 3.0.1.

    Attributes:
        bin_width: Width of a grey level; used where ``bin_count`` is None.
        bin_count: Number of grey levels between the least and the greatest intensity of a region.
        voxel_array_shift: Added to intensities in Energy, TotalEnergy and RootMeanSquared.
        gldm_a: Grey levels that differ by no more depend on each other.
        force_2d: Whether neighbours are looked for in the plane only.
        force_2d_dimension: Axis left out then, by array order: 0 is z.
        minimum_roi_dimensions: Directions in which a region must extend over more than one voxel.
        minimum_roi_size: A region must have more voxels than this, None: any number.
    """

    bin_width: float = 25
    bin_count: int | None = None
    voxel_array_shift: float = 0
    gldm_a: int = 0
    force_2d: bool = False
    force_2d_dimension: int = 0
    minimum_roi_dimensions: int = 2
    minimum_roi_size: int | None = None


@dataclass(frozen=True, slots=True)
class Preparation:
    """What is done to image and labelmap before features are computed.

    Attributes:
        normalize: Whether intensities are normalised to mean 0, standard deviation 1.
        normalize_over: Over which voxels.
        normalize_scale: What they are multiplied with then.
        remove_outliers: Normalised intensities beyond it, before scaling, are set to it.
        resampled_spacing_xyz_mm: Spacing of the grid that all labels are resampled to, 0 keeps that
            of an axis; None: no resampling.
        interpolator: SimpleITK's name of the interpolator of the image.
        resegment_range: Voxels of a label with intensities beyond it are left out; None: none is.
        resegment_mode: What its numbers mean.
        resegment_shape: Whether they are left out of the shape, too.
    """

    normalize: bool = False
    normalize_over: NormalizeOver = NormalizeOver.IMAGE
    normalize_scale: float = 1
    remove_outliers: float | None = None
    resampled_spacing_xyz_mm: tuple[float, float, float] | None = None
    interpolator: str = "sitkBSpline"
    resegment_range: tuple[float, ...] | None = None
    resegment_mode: ResegmentMode = ResegmentMode.ABSOLUTE
    resegment_shape: bool = False


@dataclass(frozen=True, slots=True)
class Filters:
    """The images that features are computed of.

    Attributes:
        original: Whether the image itself is one.
        log_sigmas_mm: Widths of the Laplacian of Gaussian, as written: they stand in names.
        wavelet: Name of the wavelet, None: no wavelet images.
        wavelet_level: How many decompositions follow each other.
        wavelet_start_level: How many come before the first that is used.
    """

    original: bool = True
    log_sigmas_mm: tuple[float, ...] = ()
    wavelet: str | None = None
    wavelet_level: int = 1
    wavelet_start_level: int = 0

    def image_types(self, *, force_2d: bool) -> tuple[str, ...]:
        """Name the images, as pyradiomics does, in the order of the tables."""
        axes = 2 if force_2d else 3
        bands = [
            format(band, f"0{axes}b").replace("0", "L").replace("1", "H") for band in range(2**axes)
        ]
        names = [ORIGINAL] if self.original else []
        names += [log_image_type(sigma) for sigma in self.log_sigmas_mm]
        if self.wavelet is not None:
            for level in range(1, self.wavelet_level + 1):
                names += [wavelet_image_type(level, band) for band in bands[1:]]
            names.append(wavelet_image_type(self.wavelet_level, bands[0]))
        return tuple(names)


@dataclass(frozen=True, slots=True)
class RadiomicsSettings:
    """All that decides on the features of an image.

    Attributes:
        texture: Grey levels and neighbours.
        preparation: What is done before.
        filters: Which images.
        classes: Which feature classes.
        in_plane: Whether the axis that ``force_2d`` leaves out is that of the thickest slices,
            whichever it is in the image at hand.
        parameters: What all of it was read from, for the engine ``pyradiomics`` and the digest.
    """

    texture: TextureSettings = TextureSettings()
    preparation: Preparation = Preparation()
    filters: Filters = Filters()
    classes: tuple[FeatureClass, ...] = tuple(FeatureClass)
    in_plane: bool = False
    parameters: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def on_grid(self, spacing_xyz_mm: Sequence[float]) -> "RadiomicsSettings":
        """Choose the axis that is left out for an image of this spacing; the last where equal."""
        if not self.in_plane:
            return self
        spacing_zyx_mm = list(reversed(spacing_xyz_mm))
        thickest = spacing_zyx_mm.index(max(spacing_zyx_mm))
        return replace(self, texture=replace(self.texture, force_2d_dimension=thickest))

    def feature_names(self) -> tuple[str, ...]:
        """Name all features, in the order of the tables."""
        types = self.filters.image_types(force_2d=self.texture.force_2d)
        # Shape is measured once, under the name of the original image, whatever the filters are.
        types = (ORIGINAL, *(name for name in types if name != ORIGINAL))
        return tuple(
            name
            for image_type in types
            for name in feature_names(image_type)
            if (of_class := FeatureClass(name.split("_")[1])) in self.classes
            and (image_type != ORIGINAL or self.filters.original or of_class is FeatureClass.SHAPE)
        )


def log_image_type(sigma_mm: float) -> str:
    """Name the Laplacian of Gaussian as pyradiomics does."""
    return f"log-sigma-{str(sigma_mm).replace('.', '-')}-mm-3D"


def wavelet_image_type(level: int, band: str) -> str:
    """Name a wavelet image as pyradiomics does."""
    return f"wavelet-{band}" if level == 1 else f"wavelet{level}-{band}"


def read_parameters(parameters: Mapping[str, Any], *, source: str) -> RadiomicsSettings:
    """Read settings.

    Args:
        parameters: Content of a parameter file of pyradiomics: ``setting``, ``imageType``,
            ``featureClass``. What pyradiomics does not have stands under ``organome``.
        source: Where it is from, for errors.

    Raises:
        SetupError: If something is asked for that the native engine does not do.
    """
    reading = _Reading(source)
    reading.known(parameters, ("setting", "imageType", "featureClass", "organome"), "top")
    setting = parameters.get("setting") or {}
    reading.known(setting, (*_TEXTURE, *_PREPARATION, *_ONLY_AS_HERE, *_IGNORED), "setting")
    own = parameters.get("organome") or {}
    reading.known(own, ("normalizeOver", "inPlane"), "organome")
    in_plane = bool(own.get("inPlane", False))
    if list(setting.get("distances", [1])) != [1]:
        reading.refuse("distances other than [1]")
    if setting.get("weightingNorm") not in (None, "no_weighting_norm"):
        reading.refuse("weightingNorm")
    if not setting.get("symmetricalGLCM", True):
        reading.refuse("symmetricalGLCM: false")
    texture = TextureSettings(**_renamed(setting, _TEXTURE))
    preparation = _renamed(setting, _PREPARATION)
    for name in ("resampled_spacing_xyz_mm", "resegment_range"):
        if preparation.get(name) is not None:
            preparation[name] = tuple(preparation[name])
    spacing = preparation.get("resampled_spacing_xyz_mm")
    if spacing is not None and len(spacing) != 3:
        raise SetupError(f"{source}: resampledPixelSpacing needs three numbers")
    return RadiomicsSettings(
        texture=replace(texture, force_2d=texture.force_2d or in_plane),
        preparation=replace(
            Preparation(**preparation),
            normalize_over=NormalizeOver(own.get("normalizeOver", NormalizeOver.IMAGE)),
            resegment_mode=ResegmentMode(setting.get("resegmentMode", ResegmentMode.ABSOLUTE)),
        ),
        filters=_read_filters(parameters.get("imageType") or {"Original": {}}, reading),
        classes=_read_classes(parameters.get("featureClass"), reading),
        in_plane=in_plane,
        parameters=parameters,
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
    "resampledPixelSpacing": "resampled_spacing_xyz_mm",
    "interpolator": "interpolator",
    "resegmentRange": "resegment_range",
    "resegmentMode": "resegment_mode",
    "resegmentShape": "resegment_shape",
}
_ONLY_AS_HERE: Final = ("distances", "weightingNorm", "symmetricalGLCM")
# They decide on what pyradiomics writes beside features, or on how much it crops.
_IGNORED: Final = (
    "label",
    "additionalInfo",
    "preCrop",
    "padDistance",
    "geometryTolerance",
    "correctMask",
)


@dataclass(frozen=True, slots=True)
class _Reading:
    source: str

    def refuse(self, what: str) -> None:
        raise SetupError(
            f"{self.source}: {what} is not done natively; choose the engine pyradiomics"
        )

    def known(self, content: Mapping[str, Any], names: Sequence[str], where: str) -> None:
        unknown = sorted(set(content) - set(names))
        if unknown:
            self.refuse(f"{', '.join(unknown)} ({where})")


def _renamed(setting: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {ours: setting[theirs] for theirs, ours in names.items() if theirs in setting}


def _read_filters(types: Mapping[str, Any], reading: _Reading) -> Filters:
    reading.known(types, ("Original", "LoG", "Wavelet"), "imageType")
    wavelet = None if "Wavelet" not in types else (types["Wavelet"] or {})
    log = types.get("LoG") or {}
    reading.known(log, ("sigma",), "LoG")
    reading.known(wavelet or {}, ("wavelet", "level", "start_level"), "Wavelet")
    return Filters(
        original="Original" in types,
        log_sigmas_mm=tuple(log.get("sigma", ())),
        wavelet=None if wavelet is None else wavelet.get("wavelet", "coif1"),
        wavelet_level=(wavelet or {}).get("level", 1),
        wavelet_start_level=(wavelet or {}).get("start_level", 0),
    )


def _read_classes(classes: Mapping[str, Any] | None, reading: _Reading) -> tuple[FeatureClass, ...]:
    if not classes:
        return tuple(FeatureClass)
    reading.known(classes, [name.value for name in FeatureClass], "featureClass")
    if any(classes.values()):
        reading.refuse("a choice of single features")
    return tuple(name for name in FeatureClass if name.value in classes)

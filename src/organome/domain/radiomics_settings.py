"""Settings of a radiomics extraction; ``radiomics_parameters`` reads them from files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

from organome.domain.features import FEATURES, ORIGINAL, FeatureClass, feature_names
from organome.domain.ibsi_features import Extent, ibsi_tags

DEFAULT_PAD_VOXELS: Final = 5
MAX_LEVELS: Final = 1000  # above, matrices grow beyond use: 52 MB for a GLCM of 13 directions
FEW_LEVELS: Final = 8  # below, textures say little
LOG: Final = "log"  # the names of all Laplacians of Gaussians begin so
WAVELET: Final = "wavelet"


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


class Processing(StrEnum):
    """Whose way of resampling, resegmenting and making grey levels is followed."""

    PYRADIOMICS = "pyradiomics"
    IBSI = "ibsi"


class BinsFrom(StrEnum):
    """Where the first grey level of a fixed width begins, if not at a given intensity."""

    MULTIPLE = "multiple"  # of the width
    LEAST = "least"  # intensity of the region


@dataclass(frozen=True, slots=True)
class TextureSettings:
    """Grey levels and neighbours; names and defaults are those of pyradiomics 3.0.1.

    Attributes:
        bin_width: Width of a grey level; used where ``bin_count`` is None.
        bins_from: Where the first grey level of that width begins.
        bin_count: Number of grey levels between the least and the greatest intensity of a region.
        voxel_array_shift: Added to intensities in Energy, TotalEnergy and RootMeanSquared.
        gldm_a: Grey levels that differ by no more depend on each other.
        force_2d: Whether neighbours are looked for in the plane only.
        force_2d_dimension: Axis left out then, by array order: 0 is z.
        minimum_roi_dimensions: Directions in which a region must extend over more than one voxel.
        minimum_roi_size: A region must have more voxels than this, None: any number.
        clip_percentiles: Of the intensities of a region: for grey levels, what lies beyond counts
            as these; None: levels reach to the least and the greatest, as pyradiomics has it.
    """

    bin_width: float = 25
    bins_from: BinsFrom | float = BinsFrom.MULTIPLE
    bin_count: int | None = None
    voxel_array_shift: float = 0
    gldm_a: int = 0
    force_2d: bool = False
    force_2d_dimension: int = 0
    minimum_roi_dimensions: int = 2
    minimum_roi_size: int | None = None
    clip_percentiles: tuple[float, float] | None = None


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
        pad_voxels: Margin around a label on the new grid, of which rounding depends.
        resegment_range: Voxels of a label with intensities beyond it are left out; None: none is.
        resegment_mode: What its numbers mean.
        resegment_shape: Whether they are left out of the shape, too.
        processing: How grids are laid, what becomes of labels and of whole numbers there.
        outlier_sigma: Voxels of a label further from its mean, in standard deviations, are left
            out as well as those beyond the range; None: none is.
    """

    normalize: bool = False
    normalize_over: NormalizeOver = NormalizeOver.IMAGE
    normalize_scale: float = 1
    remove_outliers: float | None = None
    resampled_spacing_xyz_mm: tuple[float, float, float] | None = None
    interpolator: str = "sitkBSpline"
    pad_voxels: int = DEFAULT_PAD_VOXELS
    resegment_range: tuple[float, ...] | None = None
    resegment_mode: ResegmentMode = ResegmentMode.ABSOLUTE
    resegment_shape: bool = False
    processing: Processing = Processing.PYRADIOMICS
    outlier_sigma: float | None = None

    @property
    def leaves_out(self) -> bool:
        """Whether voxels may be left out for their intensity."""
        return self.resegment_range is not None or self.outlier_sigma is not None


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
class IbsiSettings:
    """Features by the IBSI's own definitions, beside those of pyradiomics.

    Attributes:
        extents: Where textures look for neighbours; none: no such features.
        autocorrelation: Whether Moran's I and Geary's C are among them, which cost more than all
            others.
        ivh_bin_width: Width of the levels of the intensity-volume curve.
        ivh_bin_count: Their number. With neither, whole numbers are levels, or there are 1,000.
    """

    extents: tuple[Extent, ...] = ()
    autocorrelation: bool = False
    ivh_bin_width: float | None = None
    ivh_bin_count: int | None = None


@dataclass(frozen=True, slots=True)
class RadiomicsSettings:
    """All that decides on the features of an image.

    Attributes:
        texture: Grey levels and neighbours, and which regions are measured.
        own_textures: Grey levels and neighbours of images that have their own, by the first part
            of their names: ``original``, ``log``, ``wavelet``.
        preparation: What is done before.
        filters: Which images.
        classes: Which feature classes.
        ibsi: Which features by the IBSI's definitions, of the original image.
        in_plane: Whether the axis that ``force_2d`` leaves out is that of the thickest slices,
            whichever it is in the image at hand.
        parameters: What all of it was read from, for the engine ``pyradiomics`` and the digest.
    """

    texture: TextureSettings = TextureSettings()
    preparation: Preparation = Preparation()
    filters: Filters = Filters()
    classes: tuple[FeatureClass, ...] = tuple(FEATURES)
    ibsi: IbsiSettings = IbsiSettings()
    in_plane: bool = False
    own_textures: Mapping[str, TextureSettings] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def on_grid(self, spacing_xyz_mm: Sequence[float]) -> "RadiomicsSettings":
        """Choose the axis that is left out for an image of this spacing; the last where equal."""
        if not self.in_plane:
            return self
        spacing_zyx_mm = list(reversed(spacing_xyz_mm))
        thickest = spacing_zyx_mm.index(max(spacing_zyx_mm))
        return replace(
            self,
            texture=replace(self.texture, force_2d_dimension=thickest),
            own_textures={
                kind: replace(texture, force_2d_dimension=thickest)
                for kind, texture in self.own_textures.items()
            },
        )

    @property
    def reads_intensities(self) -> bool:
        """Whether any feature, or which voxels count, depends on intensities."""
        of_intensity = set(self.classes) - {FeatureClass.SHAPE} or self.ibsi.extents
        return bool(of_intensity) or self.preparation.leaves_out

    def texture_of(self, image_type: str) -> TextureSettings:
        """Return the grey levels and neighbours of an image, named as in the tables."""
        own = (own for kind, own in self.own_textures.items() if image_type.startswith(kind))
        return next(own, self.texture)

    def textures_of_neighbours(self) -> tuple[TextureSettings, ...]:
        """Return the textures for which neighbours are looked for, none without such a class."""
        if set(self.classes) <= {FeatureClass.SHAPE, FeatureClass.FIRSTORDER}:
            return ()
        types = self.filters.image_types(force_2d=False)
        return tuple({self.texture_of(image_type) for image_type in types})

    def feature_names(self) -> tuple[str, ...]:
        """Name all features, in the order of the tables."""
        types = self.filters.image_types(force_2d=self.texture_of(WAVELET).force_2d)
        # Shape is measured once, under the name of the original image, whatever the filters are.
        types = (ORIGINAL, *(name for name in types if name != ORIGINAL))
        named = tuple(
            name
            for image_type in types
            for name in feature_names(image_type)
            if (of_class := FeatureClass(name.split("_")[1])) in self.classes
            and (image_type != ORIGINAL or self.filters.original or of_class is FeatureClass.SHAPE)
        )
        tags = ibsi_tags(self.ibsi.extents, autocorrelation=self.ibsi.autocorrelation)
        return (*named, *(f"{ORIGINAL}_{FeatureClass.IBSI}_{tag}" for tag in tags))


def log_image_type(sigma_mm: float) -> str:
    """Name the Laplacian of Gaussian as pyradiomics does."""
    return f"{LOG}-sigma-{str(sigma_mm).replace('.', '-')}-mm-3D"


def wavelet_image_type(level: int, band: str) -> str:
    """Name a wavelet image as pyradiomics does."""
    return f"{WAVELET}-{band}" if level == 1 else f"{WAVELET}{level}-{band}"

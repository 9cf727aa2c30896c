"""Preparation of an image for a network: cropped, normalised and resampled as nnU-Net does."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import scipy
import SimpleITK as sitk

from organome.compute.geometry.arrays import Voxels
from organome.compute.geometry.grids import Grid
from organome.compute.inference.resampling import resample_image
from organome.domain.inference import InputResampling
from organome.domain.plans import is_trained_in_ras

Box = tuple[slice, ...]


_SMALLEST_DEVIATION: Final = 1e-8
_OUTSIDE: Final = -1  # nnU-Net's label of what lies outside of the mask
_ROWS_AT_A_TIME: Final = 16


def nonzero_box(voxels_zyx: Voxels) -> Box:
    """Find the smallest box that holds all voxels that are not 0, looking from the faces inwards.

    Returns:
        The whole image where all voxels are 0.

    Source: nnU-Net's ``crop_to_nonzero``. It fills holes first, which never moves the box.
    """
    box = [slice(0, n) for n in voxels_zyx.shape]
    for axis in range(voxels_zyx.ndim):
        layers = np.moveaxis(voxels_zyx[tuple(box)], axis, 0)
        first = next((i for i in range(len(layers)) if layers[i].any()), None)
        if first is None:
            return tuple(slice(0, n) for n in voxels_zyx.shape)
        last = next(i for i in reversed(range(len(layers))) if layers[i].any())
        box[axis] = slice(first, last + 1)
    return tuple(box)


def normalise(
    voxels_zyx: npt.NDArray[np.float32], configuration: Any, intensities: Mapping[str, Any]
) -> npt.NDArray[np.float32]:
    """Normalise an image in place, as the plan says.

    Args:
        voxels_zyx: The cropped image, contiguous; overwritten.
        configuration: nnU-Net's manager of the model's configuration.
        intensities: What the plan says of the intensities of the training images, by channel.

    Source: nnU-Net's ``DefaultPreprocessor``.
    """
    import nnunetv2
    from nnunetv2.utilities.find_class_by_name import recursive_find_python_class

    name, masked = configuration.normalization_schemes[0], configuration.use_mask_for_norm[0]
    if name == "ZScoreNormalization" and not masked:
        return _standardise(voxels_zyx)
    folder = Path(nnunetv2.__path__[0], "preprocessing", "normalization")
    scheme = recursive_find_python_class(str(folder), name, "nnunetv2.preprocessing.normalization")
    if scheme is None:
        raise RuntimeError(f"nnU-Net has no normalisation {name}")
    seg_zyx = None
    if masked:
        filled = scipy.ndimage.binary_fill_holes(voxels_zyx != 0)
        seg_zyx = np.where(filled, np.int8(0), np.int8(_OUTSIDE))
    normalised: npt.NDArray[np.float32] = scheme(
        use_mask_for_norm=masked, intensityproperties=intensities["0"]
    ).run(voxels_zyx, seg_zyx)
    return normalised


def _standardise(voxels_zyx: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Subtract the mean and divide by the standard deviation.

    As nnU-Net does, but for numpy's way to the deviation, which takes a copy of the image.
    """
    mean = voxels_zyx.mean()
    squares = 0.0
    for first in range(0, len(voxels_zyx), _ROWS_AT_A_TIME):
        rows = voxels_zyx[first : first + _ROWS_AT_A_TIME]
        rows -= mean
        flat = rows.reshape(-1)
        squares += float(np.square(flat).sum(dtype=np.float64))
    deviation = np.float32(np.sqrt(squares / voxels_zyx.size))
    voxels_zyx /= max(deviation, np.float32(_SMALLEST_DEVIATION))
    return voxels_zyx


@dataclass(frozen=True, slots=True)
class PreparedImage:
    """An image that is ready for the network, and how to get back.

    Attributes:
        voxels_zyx: Normalised voxels on the grid of the model, in the order of axes of its plans.
        grid: Grid of the image.
        shape_zyx: Shape of the image in the order of axes of the plans, before it was cropped.
        box: What it was cropped to.
        spacing_zyx_mm: Spacing of the image in that order of axes.
        model_spacing_zyx_mm: Spacing of the voxels.
    """

    voxels_zyx: npt.NDArray[np.float32]
    grid: Grid
    shape_zyx: tuple[int, ...]
    box: Box
    spacing_zyx_mm: tuple[float, ...]
    model_spacing_zyx_mm: tuple[float, ...]

    @property
    def cropped_shape_zyx(self) -> tuple[int, ...]:
        """Shape of the image after it was cropped."""
        return tuple(part.stop - part.start for part in self.box)


@dataclass(frozen=True, slots=True)
class Preparation:
    """What is done to an image before the network sees it.

    Attributes:
        plans: nnU-Net's manager of the plans.
        configuration: nnU-Net's manager of the configuration.
        resampling: As the plans say, or linear.
    """

    plans: Any
    configuration: Any
    resampling: InputResampling = InputResampling.EXACT

    def __call__(self, image: sitk.Image) -> PreparedImage:
        """Bring an image into the axes of the model, crop, normalise and resample it.

        nnU-Net ignores orientation: it sees arrays. Every image is brought into the order of axes
        that the model was trained in: RAS if its reader turned images to it, else LPS.

        Args:
            image: 3D, any orientation, any type of pixel; left as it is.

        Source: MRSegmentator 2.0 for the order of axes.
        """
        grid = Grid.of(image)
        order = self.plans.transpose_forward
        lps_zyx = grid.to_lps(sitk.GetArrayViewFromImage(image))
        view_zyx = self.turned(lps_zyx).transpose(order)
        spacing = tuple(grid.lps_spacing_zyx_mm[axis] for axis in order)
        box = nonzero_box(view_zyx)
        cropped_zyx = np.array(view_zyx[box], dtype=np.float32, order="C")
        wanted = tuple(self.configuration.spacing)
        intensities = self.plans.foreground_intensity_properties_per_channel
        voxels_zyx = resample_image(
            normalise(cropped_zyx, self.configuration, intensities),
            model_shape(cropped_zyx.shape, spacing, wanted),
            spacings=(spacing, wanted),
            configuration=self.configuration,
            resampling=self.resampling,
        )
        return PreparedImage(voxels_zyx, grid, view_zyx.shape, box, spacing, wanted)

    def turned(self, voxels_zyx: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Turn an array from LPS to the orientation of the model, or back; a view."""
        return voxels_zyx[:, ::-1, ::-1] if is_trained_in_ras(self.plans.plans) else voxels_zyx


def model_shape(
    shape_zyx: Sequence[int], spacing_zyx_mm: Sequence[float], wanted_zyx_mm: Sequence[float]
) -> tuple[int, ...]:
    """Return the shape of an image at the spacing of the model, one voxel at least."""
    from nnunetv2.preprocessing.resampling.default_resampling import compute_new_shape

    # nnU-Net cannot label an image that is thinner than half a voxel of the model.
    shape = compute_new_shape(shape_zyx, spacing_zyx_mm, wanted_zyx_mm)
    return tuple(max(1, int(n)) for n in shape)

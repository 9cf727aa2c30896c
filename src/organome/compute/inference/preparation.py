"""Preparation of an image for a network, equal to nnU-Net's own."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from organome.compute.geometry.grids import Grid
from organome.compute.inference.cropping import Box, nonzero_box
from organome.compute.inference.normalisation import normalise
from organome.compute.inference.resampling_rules import resample_image
from organome.domain.inference import InputResampling


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
        that the models were trained in, LPS.

        Args:
            image: 3D, any orientation, any type of pixel; left as it is.

        Source: MRSegmentator 2.0 for the order of axes.
        """
        grid = Grid.of(image)
        order = self.plans.transpose_forward
        view_zyx = grid.to_lps(sitk.GetArrayViewFromImage(image)).transpose(order)
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


def model_shape(
    shape_zyx: Sequence[int], spacing_zyx_mm: Sequence[float], wanted_zyx_mm: Sequence[float]
) -> tuple[int, ...]:
    """Give the shape of an image at the spacing of the model, one voxel at least."""
    from nnunetv2.preprocessing.resampling.default_resampling import compute_new_shape

    # nnU-Net cannot label an image that is thinner than half a voxel of the model.
    shape = compute_new_shape(shape_zyx, spacing_zyx_mm, wanted_zyx_mm)
    return tuple(max(1, int(n)) for n in shape)

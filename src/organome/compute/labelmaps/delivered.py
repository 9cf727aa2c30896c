"""Labelmaps as files hold them -> labelmaps of the organs on the grid of their image."""

from collections.abc import Mapping
from typing import Protocol

import SimpleITK as sitk

from organome.compute.geometry.turning import onto_grid
from organome.compute.labelmaps.remapping import remap_labelmap, round_labels
from organome.domain.schemes import LabelScheme


class DeliveredLabels(Protocol):
    """A labelmap, and what the header of its file says of it."""

    @property
    def image(self) -> sitk.Image:
        """Labels as they are stored."""

    @property
    def value_step(self) -> float:
        """By how much neighbouring values differ, 0 if they are not scaled."""

    @property
    def names(self) -> Mapping[int, str]:
        """Names of labels, where the header has them."""

    @property
    def is_part(self) -> bool:
        """Whether its format leaves out what lies around labels."""

    @property
    def place_error_mm(self) -> float:
        """How far rounding of the header may have moved a corner."""


def merge_to_organs(
    delivered: DeliveredLabels, scheme: LabelScheme, image: sitk.Image | None
) -> sitk.Image:
    """Merge the classes of a labelmap to the organs, and put it onto the grid of its image.

    Args:
        delivered: The labelmap.
        scheme: What its values, or the names of its labels, mean.
        image: On whose grid; None: as it is stored.

    Returns:
        Labels of uint8.

    Raises:
        ScanError: It holds an unknown value, is not 3D, or lies on another grid.
    """
    labels, _ = round_labels(delivered.image, value_step=delivered.value_step)
    organs = remap_labelmap(labels, scheme, names=delivered.names)
    return organs if image is None else put_onto(organs, image, delivered)


def put_onto(labelmap: sitk.Image, image: sitk.Image, delivered: DeliveredLabels) -> sitk.Image:
    """Put a labelmap onto the grid of an image, with what its file allows.

    Raises:
        ScanError: It lies on another grid.
    """
    return onto_grid(
        *(labelmap, image),
        may_be_part=delivered.is_part,
        error_mm=delivered.place_error_mm,
    )

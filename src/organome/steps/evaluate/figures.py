"""Figures of an evaluation: Dice by class, age against Dice, contours on images; PNG and SVG.

An overlay shows a participant's body: whoever shares the folder looks at it first.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from organome.compute.geometry.arrays import Floats
from organome.compute.geometry.grids import Grid
from organome.compute.metrics.hypothesis_tests import LinearCorrelation
from organome.compute.pictures.planes import PLANES, cut_plane, lps_view, middle_zyx, window_of
from organome.domain.organ_codes import colour_of
from organome.domain.organs import ORGANS, Organ


@dataclass(frozen=True, slots=True)
class Compared:
    """A scan to show: image, and both labelmaps on its grid."""

    scan: str
    image: sitk.Image
    predicted: sitk.Image
    reference: sitk.Image


def draw_dice_by_class(dice: Floats, organs: Sequence[str], title: str) -> Figure:
    """Draw a box of the Dice of each class over its scans (Figure 2).

    Args:
        dice: Array (scans, classes).
        organs: Names of the classes.
        title: Of the figure.
    """
    figure = Figure(figsize=(7, 1.2 + 0.22 * len(organs)), layout="constrained")
    axes = figure.subplots()
    known = [of_class[np.isfinite(of_class)] for of_class in dice.T]
    names = [
        f"{organ.replace('_', ' ')} ({len(one)})" for organ, one in zip(organs, known, strict=True)
    ]
    axes.boxplot(known, orientation="horizontal", tick_labels=names, flierprops={"markersize": 2})
    axes.invert_yaxis()
    axes.set(xlim=(-0.02, 1.02), xlabel="Dice similarity coefficient", title=title)
    axes.tick_params(axis="y", labelsize=7)
    axes.grid(axis="x", linewidth=0.3)
    return figure


def draw_age(ages_years: Floats, dice: Floats, found: LinearCorrelation, title: str) -> Figure:
    """Draw the Dice of participants against their age, with r and p (Figure A3)."""
    figure = Figure(figsize=(5, 4), layout="constrained")
    axes = figure.subplots()
    known = np.isfinite(ages_years) & np.isfinite(dice)
    x, y = ages_years[known], dice[known]
    axes.plot(x, y, "o", markersize=4)
    slope, offset = np.polyfit(x, y, 1)
    ends = np.array([x.min(), x.max()])
    axes.plot(ends, offset + slope * ends, linewidth=1)
    axes.set(xlabel="age [years]", ylabel="Dice, mean over classes")
    axes.set_title(f"{title}: r = {found.r:.2f}, p = {found.p_two_sided:.2g}, n = {found.n}")
    return figure


def draw_planes(shown: Compared, title: str) -> Figure:
    """Draw three planes of a scan, contours of the prediction full, of the reference dashed."""
    figure = Figure(figsize=(11, 5), layout="constrained")
    places = middle_zyx(lps_view(shown.reference) > 0)
    for axes, plane in zip(figure.subplots(1, len(PLANES)), PLANES, strict=True):
        _draw_plane(axes, shown, plane, places, ORGANS, with_both=True)
        axes.set_title(plane)
    figure.suptitle(f"{title}: prediction (full), reference (dashed)")
    return figure


def draw_cases(cases: Sequence[Compared], organs: Sequence[Organ], title: str) -> Figure:
    """Draw some organs of several scans: references above, predictions below (Figure 3)."""
    figure = Figure(figsize=(2.8 * len(cases), 6), layout="constrained")
    rows = figure.subplots(2, len(cases), squeeze=False)
    for place, case in enumerate(cases):
        labels = [organ.label for organ in organs]
        places = middle_zyx(np.isin(lps_view(case.reference), labels))
        for axes, labelmap, what in zip(
            rows[:, place],
            (case.reference, case.predicted),
            ("reference", "prediction"),
            strict=True,
        ):
            one = Compared(case.scan, case.image, labelmap, labelmap)
            _draw_plane(axes, one, "coronal", places, organs, with_both=False)
            axes.set_title(f"{case.scan}: {what}", fontsize=8)
    figure.suptitle(title)
    return figure


def _draw_plane(
    axes: Axes,
    shown: Compared,
    plane: str,
    places_zyx: Sequence[int],
    organs: Sequence[Organ],
    *,
    with_both: bool,
) -> None:
    spacing_zyx_mm = Grid.of(shown.image).lps_spacing_zyx_mm
    axis = PLANES.index(plane)
    image = cut_plane(lps_view(shown.image), plane, places_zyx).astype(np.float64)
    height_mm, width_mm = (mm for place, mm in enumerate(spacing_zyx_mm) if place != axis)
    low, high = window_of(image)
    axes.imshow(image, cmap="gray", vmin=low, vmax=high, aspect=height_mm / width_mm)
    styles = [(shown.predicted, "solid")]
    if with_both:
        styles.append((shown.reference, "dashed"))
    for labelmap, style in styles:
        labels = cut_plane(lps_view(labelmap), plane, places_zyx)
        for organ in organs:
            mask = labels == organ.label
            if mask.any() and not mask.all():
                colour = [value / 255 for value in colour_of(organ)]
                axes.contour(mask, [0.5], colors=[colour], linewidths=0.9, linestyles=style)
    axes.set_axis_off()

"""Draw what ``segment.transform`` does to a T1-weighted phantom.

Above the images, below the panels of the paper's Figure A2: labels on the image, labels on the
inverted one, and the truth. Run ``python docs/draw_transforms.py``; it takes about a minute.
"""

from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import SimpleITK as sitk

from organome.compute.inference.loading import load_segmenter
from organome.compute.inference.transforms import transform_image
from organome.compute.labelmaps.overlap import count_confusion, dice_by_organ
from organome.domain.inference import InferenceSettings, Transform
from organome.domain.organ_codes import colour_of
from organome.domain.organs import ORGANS
from organome.domain.scans import Contrast
from organome.io.models.folders import read_model
from organome.phantoms.bodies.anatomy import draw_body
from organome.phantoms.rendering.fields_of_view import axial_grid
from organome.phantoms.rendering.render import render_image, truth_labelmap

ROOT = Path(__file__).parents[1]
ROW = 0.45  # where the coronal cut lies, as a share of the depth
SPACING_MM = 2.5


def main() -> None:
    """Draw ``docs/pictures/transforms.png``."""
    mpl.use("Agg")
    body = draw_body(7, spacing_xyz_mm=(SPACING_MM,) * 3)
    grid = axial_grid(size_xyz=(160, 110, 160), pixel_mm=3.0, slice_mm=3.0, bottom_mm=60.0)
    image = render_image(body, Contrast.T1, grid, np.random.default_rng(7))
    inverted = transform_image(image, Transform.INVERTED)
    equalised = transform_image(image, Transform.EQUALISED)
    truth = truth_labelmap(body, grid)
    model = read_model(ROOT / "models" / "phantom")
    segmenter = load_segmenter(model, device="cpu", settings=InferenceSettings())

    def labelled(shown: sitk.Image) -> sitk.Image:
        return segmenter.restore(segmenter.infer(segmenter.prepare(shown)))

    panels = {
        "T1-weighted": (image, None),
        "inverted": (inverted, None),
        "equalised": (equalised, None),
        "a: on T1-weighted": (image, labelled(image)),
        "b: on inverted": (inverted, labelled(inverted)),
        "c: truth": (image, truth),
    }
    colours = np.array([(0, 0, 0), *(colour_of(organ) for organ in ORGANS)]) / 255
    figure, axes = plt.subplots(2, 3, figsize=(9, 6.6))
    for axis, (name, (shown, labels)) in zip(axes.flat, panels.items(), strict=True):
        axis.imshow(_coronal(shown), cmap="gray")
        if labels is not None:
            cut = _coronal(labels)
            axis.imshow(np.dstack([colours[cut], (cut > 0) * 0.75]))
            dice = np.mean(list(dice_by_organ(count_confusion(truth, labels)).values()))
            name += "" if labels is truth else f", Dice {dice:.2f}"
        axis.set_title(name)
        axis.axis("off")
    figure.tight_layout(pad=0.3)
    figure.savefig(ROOT / "docs" / "pictures" / "transforms.png", dpi=80, bbox_inches="tight")


def _coronal(image: sitk.Image) -> np.ndarray:
    voxels = sitk.GetArrayFromImage(image)
    return voxels[::-1, int(ROW * voxels.shape[1])]


if __name__ == "__main__":
    main()

"""draw_transform: a scan as it is, turned around and equalised, with a model's labels on each.

The panels of the paper's Figure A2, to see whether ``segment.transform`` helps a model before a
cohort is labelled with it.
"""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np
import SimpleITK as sitk
from PIL import Image, ImageDraw

from organome.compute.inference.transforms import transform_image
from organome.compute.labelmaps.remapping import remap_labelmap
from organome.compute.pictures.drawing import GAP_PX, STRIP_PX, Panel, write_line
from organome.compute.pictures.planes import Body, Cut, middle_zyx, window_of
from organome.domain.errors import ScanError, SetupError
from organome.domain.inference import Device, InferenceSettings, Transform
from organome.domain.models import check_labels
from organome.domain.schemes import LabelScheme
from organome.io.files.atomic import write_bytes_atomic
from organome.io.images.image_files import read_image
from organome.io.models.folders import read_dataset, read_model
from organome.io.models.phantoms import check_made_for
from organome.io.models.places import locate_model
from organome.io.tables.schemes import find_scheme

_PLANE: Final = "coronal"
_MOST_PX: Final = (420, 480)  # width and height of a panel
_FINEST_MM: Final = 0.7  # of a pixel


def run(
    *,
    image: Path,
    model: str,
    output: Path,
    scheme: str = "mrsegmentator",
    transform: Sequence[Transform] = (Transform.INVERTED, Transform.EQUALISED),
    device: Device = "auto",
    tile_step_size: float = 0.5,
    allow_phantom_model: bool = False,
) -> Path:
    """Draw what a model labels on a scan as it is, and after each transform.

    Args:
        image: NIfTI, NRRD or MetaImage.
        model: Name of an installed model, or its folder.
        output: The picture, ``.png``: a coronal plane through the middle of what was labelled.
        scheme: Label scheme of the model, a name or a file.
        transform: What the image goes through, a panel each.
        device: Where the network runs: auto, cpu, cuda.
        tile_step_size: Step of the sliding window, in patches.
        allow_phantom_model: Whether a model of phantoms may label what is not known to be one.

    Raises:
        SetupError: The image cannot be read or labelled, there is no such model, or its labels are
            not those of the scheme.
        MachineFault: The GPU is missing or broken.
    """
    if output.suffix.lower() != ".png":
        raise SetupError(f"{output.name}: the picture is a .png")
    folder, meanings = locate_model(model), find_scheme(scheme)
    check_labels(read_dataset(folder), meanings, model=folder.name)
    check_made_for(folder, image, allowed=allow_phantom_model)
    settings = InferenceSettings(tile_step_size=tile_step_size)
    try:
        original = read_image(image)
        shown = {"as it is": original}
        shown |= {one.value: transform_image(original, one) for one in transform}
        labelled = _label([*shown.values()], folder, meanings, device, settings)
    except ScanError as error:
        raise SetupError(f"the image cannot be labelled: {error.fact}") from error
    bodies = {
        name: Body.of(one, labels)
        for (name, one), labels in zip(shown.items(), labelled, strict=True)
    }
    file = BytesIO()
    _draw(bodies, meanings).save(file, "PNG")
    write_bytes_atomic(output, file.getvalue())
    return output


def _label(
    images: Sequence[sitk.Image],
    folder: Path,
    scheme: LabelScheme,
    device: Device,
    settings: InferenceSettings,
) -> list[sitk.Image]:
    from organome.compute.inference.loading import load_segmenter, segment

    segmenter = load_segmenter(read_model(folder), device=device, settings=settings)
    return [remap_labelmap(segment(one, segmenter), scheme) for one in images]


def _draw(bodies: dict[str, Body], scheme: LabelScheme) -> Image.Image:
    """Draw the same plane of each, through the middle of what was labelled in any of them."""
    is_labelled = np.any([body.labels_zyx > 0 for body in bodies.values()], axis=0)
    whole = tuple(slice(0, n) for n in is_labelled.shape)
    places_zyx = middle_zyx(is_labelled)
    cuts = [Cut.through(body, _PLANE, places_zyx, whole) for body in bodies.values()]
    height_mm, width_mm = cuts[0].size_mm
    mm_per_px = max(width_mm / _MOST_PX[0], height_mm / _MOST_PX[1], _FINEST_MM)
    panels = [
        Panel.of(cut, window_of(body.voxels_zyx), mm_per_px).drawn(scheme.structures, None)
        for cut, body in zip(cuts, bodies.values(), strict=True)
    ]
    step_px = panels[0].width + GAP_PX
    size = (len(panels) * step_px - GAP_PX, panels[0].height + STRIP_PX)
    canvas = Image.new("RGB", size)
    pen = ImageDraw.Draw(canvas)
    for place, (name, body, panel) in enumerate(zip(bodies, bodies.values(), panels, strict=True)):
        n_organs = len(np.unique(body.labels_zyx)) - 1
        write_line(pen, place * step_px, 0, f"{name}, {n_organs} organs")
        canvas.paste(panel, (place * step_px, STRIP_PX))
    return canvas

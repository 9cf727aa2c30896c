from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image

from doubles.labelled_shard import SIZE_ZYX, SPACING_XYZ_MM, STEP_SIZE, write_tiny_model
from organome.domain.errors import SetupError
from organome.io.images.image_files import write_image
from organome.steps.annotate import draw_transform


def write_body(folder: Path) -> Path:
    """Write a bright body in dark air."""
    voxels_zyx = np.random.default_rng(0).integers(0, 20, SIZE_ZYX)
    voxels_zyx[:, 4:-4, 4:-4] += 500
    image = sitk.GetImageFromArray(voxels_zyx.astype(np.int16))
    image.SetSpacing(SPACING_XYZ_MM)
    write_image(folder / "scan.nii.gz", image)
    return folder / "scan.nii.gz"


def test_a_panel_for_the_scan_and_one_for_each_transform(tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "model", seed=0)
    path = draw_transform.run(
        image=write_body(tmp_path),
        model=str(tmp_path / "model"),
        output=tmp_path / "pictures" / "a2.png",
        device="cpu",
        tile_step_size=STEP_SIZE,
    )
    pixels = np.asarray(Image.open(path).convert("L"))
    panels = [np.median(part) for part in np.array_split(pixels[20:], 3, axis=1)]
    assert panels[0] > panels[1]  # a bright body is dark, turned around


def test_what_cannot_be_drawn_is_said_in_a_line(tmp_path: Path) -> None:
    scan, output = write_body(tmp_path), tmp_path / "a2.png"
    with pytest.raises(SetupError, match=r"\.png"):
        draw_transform.run(image=scan, model="phantom", output=tmp_path / "a2.jpg")
    with pytest.raises(SetupError, match="trained on phantoms"):
        draw_transform.run(image=scan, model="phantom", output=output)
    scan.write_bytes(scan.read_bytes()[:100])
    with pytest.raises(SetupError, match="cannot be labelled"):
        draw_transform.run(image=scan, model="phantom", output=output, allow_phantom_model=True)
    assert not output.exists()

"""Draw the pictures of README and pages: a phantom as prepared and segmented, and as one views it.

Run ``make demo`` first, then ``python docs/draw_pictures.py``.
"""

import tempfile
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import SimpleITK as sitk
from PIL import Image

from organome.domain.organ_codes import colour_of
from organome.domain.organs import ORGANS
from organome.io.images.labelmaps import labelmap_path, read_labelmap
from organome.steps.inspect.view import run as view

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "demo" / "run" / "results"
ROW = 0.45  # where the coronal cut lies, as a share of the depth


def main() -> None:
    """Draw ``demo.png`` and ``view.webp`` of ``docs/pictures``."""
    mpl.use("Agg")
    scans = pd.read_parquet(RESULTS / "tables" / "scans")
    key = scans.loc[scans["status"] == "done", "scan"].iloc[0]
    shard = key.split("-")[0]
    images = {
        name: _coronal(RESULTS / "prepare_images" / shard / f"{key}_{name}.nii.gz")
        for name in ("in_phase", "opposed_phase", "fat", "water")
    }
    labelmap = labelmap_path(RESULTS / "segment_organs" / shard, key)
    labels = _coronal_of(read_labelmap(labelmap))
    colours = np.array([(0, 0, 0), *(colour_of(organ) for organ in ORGANS)]) / 255
    figure, axes = plt.subplots(1, 5, figsize=(11, 5))
    for axis, (name, voxels) in zip(axes, images.items(), strict=False):
        axis.imshow(voxels, cmap="gray", aspect=3.0 / 2.232)
        axis.set_title(name.replace("_", " "))
    axes[4].imshow(images["water"], cmap="gray", aspect=3.0 / 2.232)
    overlay = np.dstack([colours[labels], (labels > 0) * 0.75])
    axes[4].imshow(overlay, aspect=3.0 / 2.232)
    axes[4].set_title("40 organs")
    for axis in axes:
        axis.axis("off")
    figure.tight_layout(pad=0.3)
    (ROOT / "docs" / "pictures").mkdir(exist_ok=True)
    figure.savefig(ROOT / "docs" / "pictures" / "demo.png", dpi=80, bbox_inches="tight")
    with tempfile.TemporaryDirectory() as folder:
        png = Path(folder) / "view.png"
        view(key, RESULTS.parent, png=png)
        with Image.open(png) as picture:
            picture.save(ROOT / "docs" / "pictures" / "view.webp", quality=85)


def _coronal(path: Path) -> np.ndarray:
    return _coronal_of(sitk.ReadImage(str(path)))


def _coronal_of(image: sitk.Image) -> np.ndarray:
    voxels = sitk.GetArrayFromImage(image)
    return voxels[::-1, int(ROW * voxels.shape[1])]


if __name__ == "__main__":
    main()

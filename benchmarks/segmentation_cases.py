"""What is segmented: phantoms in files, copies of a model on finer grids, fixed logits."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
from scipy.ndimage import gaussian_filter

from organome.compute.geometry.arrays import Singles
from organome.domain.scans import Contrast, Scan, Source, scan_key
from organome.io.images.image_files import write_image
from organome.io.tables.scan_lists import write_shard
from organome.phantoms.bodies.anatomy import draw_body
from organome.phantoms.rendering.fields_of_view import axial_grid, station_grids, stitched_grid
from organome.phantoms.rendering.render import (
    SampledGrid,
    render_dixon,
    render_image,
    truth_labelmap,
)
from organome.steps.prepare import prepare_images

REPOSITORY: Final = Path(__file__).parents[1]
SHIPPED: Final = REPOSITORY / "models" / "phantom"
SEED: Final = 7
N_BODIES: Final = 6
# Stations 3 of the protocol (abdomen), all six stitched, and a diagnostic CT of trunk and thighs.
SIZES: Final[dict[str, Callable[[], SampledGrid]]] = {
    "station": lambda: station_grids()[2],
    "stitched": stitched_grid,
    "ct": lambda: axial_grid(size_xyz=(512, 512, 300), pixel_mm=0.8, slice_mm=1.5, bottom_mm=-60.0),
}
MODELS: Final[dict[str, float | None]] = {"phantom": None, "phantom2.0": 2.0, "phantom1.5": 1.5}
# What MRSegmentator's own plans say; the shipped plans resample logits by torch.
STOCK_RESAMPLING: Final = {
    "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
    "resampling_fn_probabilities_kwargs": {
        "is_seg": False,
        "order": 1,
        "order_z": 0,
        "force_separate_z": None,
    },
}
# Logits: a one-hot of the truth, blurred little, and noise with a length of some voxels. So borders
# are as rough as those of a trained network, and differ from voxel to voxel.
LOGIT: Final = 12.0
BLUR_VOXELS: Final = 0.8
NOISE_VOXELS: Final = 1.5
NOISE: Final = 1.0
MARGIN_VOXELS: Final = 5


def draw_images(folder: Path, size: str, *, n_scans: int) -> Path:
    """Render phantoms of some bodies, in turn; those that are there already are kept.

    Returns:
        The folder of the first ``n_scans`` images, ``<size>-<n>``.
    """
    images = folder / f"{size}-{n_scans}"
    images.mkdir(parents=True, exist_ok=True)
    for number in range(n_scans):
        name, body = f"{size}_{number:02d}.nii.gz", number % N_BODIES
        drawn = folder / "drawn" / f"{size}_{body:02d}.nii.gz"
        if not drawn.exists():
            drawn.parent.mkdir(exist_ok=True)
            write_image(drawn, _draw(size, SEED + body))
        if not (images / name).exists():
            (images / name).hardlink_to(drawn)
    return images


def _draw(size: str, seed: int) -> sitk.Image:
    body, grid, chance = draw_body(seed), SIZES[size](), np.random.default_rng(seed)
    if size == "ct":
        return render_image(body, Contrast.CT, grid, chance)
    return render_dixon(body, grid, chance)[Contrast.WATER]


def prepare_shard(images: Path) -> Path:
    """Make a shard of images as ``prepare_images`` leaves it; what is there already is kept.

    Returns:
        A folder with shard.parquet, prepared/ and names.json, the names of the images in order.
    """
    folder = images.with_name(f"{images.name}-shard")
    paths = sorted(images.iterdir())
    if not (folder / "prepared").exists():
        scans = [
            Scan(
                scan=scan_key(0, number),
                cohort="runs",
                participant=str(number),
                instance="0",
                array="0",
                protocol="runs",
                sources=(Source(str(path), Contrast.WATER),),
            )
            for number, path in enumerate(paths)
        ]
        write_shard(folder / "shard.parquet", scans)
        (folder / "names.json").write_text(json.dumps([path.name for path in paths]))
        prepare_images.run(
            shard=folder / "shard.parquet",
            output=folder / "prepared",
            work=folder / "work",
            kind="folder",
        )
    return folder


def copy_model(folder: Path, model: str) -> Path:
    """Copy the shipped model to another grid, or give the shipped one itself.

    Args:
        folder: Where copies are made.
        model: One of ``MODELS``.
    """
    spacing_mm = MODELS[model]
    if spacing_mm is None:
        return SHIPPED
    copy = folder / model
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(SHIPPED, copy)
    plans: dict[str, Any] = json.loads((copy / "plans.json").read_text())
    for configuration in plans["configurations"].values():
        configuration["spacing"] = [spacing_mm] * 3
        configuration |= STOCK_RESAMPLING
    (copy / "plans.json").write_text(json.dumps(plans, indent=2))
    return copy


def model_spacing_zyx_mm(model_folder: Path) -> tuple[float, float, float]:
    """Tell the grid that a model works on."""
    plans = json.loads((model_folder / "plans.json").read_text())
    z_mm, y_mm, x_mm = plans["configurations"]["3d_fullres"]["spacing"]
    return z_mm, y_mm, x_mm


def make_logits(path: Path, size: str, spacing_zyx_mm: Sequence[float]) -> tuple[int, ...]:
    """Write logits of a size on the grid of a model, float16; what is there already is kept.

    Returns:
        Their shape: labels, z, y, x.
    """
    grid = SIZES[size]()
    shape_zyx = model_shape(grid, spacing_zyx_mm)
    if not path.exists():
        spacing_xyz = tuple(
            n * step / m
            for n, step, m in zip(grid.size_xyz, grid.spacing_xyz_mm, shape_zyx[::-1], strict=True)
        )
        start_xyz = tuple(
            first + 0.5 * (fine - coarse)
            for first, coarse, fine in zip(
                grid.origin_xyz_mm, grid.spacing_xyz_mm, spacing_xyz, strict=True
            )
        )
        model_grid = SampledGrid(
            size_xyz=(shape_zyx[2], shape_zyx[1], shape_zyx[0]),
            spacing_xyz_mm=(spacing_xyz[0], spacing_xyz[1], spacing_xyz[2]),
            origin_xyz_mm=(start_xyz[0], start_xyz[1], start_xyz[2]),
        )
        truth = truth_labelmap(draw_body(SEED), model_grid)
        temporary = path.with_suffix(".part.npy")
        write_logits(temporary, sitk.GetArrayFromImage(truth))
        temporary.rename(path)
    shape: tuple[int, ...] = np.load(path, mmap_mode="r").shape
    return shape


def make_tile(logits: Path, model_folder: Path) -> Path:
    """Cut a tile of the patch of a model from the middle of logits, in single precision."""
    plans = json.loads((model_folder / "plans.json").read_text())
    patch_zyx = plans["configurations"]["3d_fullres"]["patch_size"]
    logits_czyx = np.load(logits, mmap_mode="r")
    middle = tuple(
        slice(max(0, (n - wanted) // 2), max(0, (n - wanted) // 2) + wanted)
        for n, wanted in zip(logits_czyx.shape[1:], patch_zyx, strict=True)
    )
    cut_czyx = logits_czyx[(slice(None), *middle)]
    lacking = [(0, wanted - n) for n, wanted in zip(cut_czyx.shape[1:], patch_zyx, strict=True)]
    path = logits.with_name(logits.name.replace("logits", "tile"))
    np.save(path, np.pad(cut_czyx, [(0, 0), *lacking], mode="edge").astype(np.float32))
    return path


def model_shape(grid: SampledGrid, spacing_zyx_mm: Sequence[float]) -> tuple[int, int, int]:
    """Count the voxels of an image on the grid of a model, as nnU-Net does; z, y, x."""
    z, y, x = (
        round(step_mm / new_mm * n)
        for step_mm, new_mm, n in zip(
            grid.spacing_xyz_mm[::-1], spacing_zyx_mm, grid.size_xyz[::-1], strict=True
        )
    )
    return z, y, x


def write_logits(path: Path, labels_zyx: npt.NDArray[np.uint8], *, n_labels: int = 41) -> None:
    """Write logits, float16, that stand for labels but for some noise at their borders."""
    logits_czyx = np.lib.format.open_memmap(
        path, mode="w+", dtype=np.float16, shape=(n_labels, *labels_zyx.shape)
    )
    chance = np.random.default_rng(SEED)
    noise: Singles = chance.standard_normal(labels_zyx.shape, dtype=np.float32)
    gaussian_filter(noise, NOISE_VOXELS, output=noise, mode="wrap")
    noise *= np.float32(NOISE / noise.std())
    for label in range(n_labels):
        # The same noise at another place: independent where labels meet, and made once.
        shifts = tuple(int(shift) for shift in chance.integers(0, labels_zyx.shape))
        moved = np.roll(noise, shifts, axis=(0, 1, 2))
        _add_blurred(moved, labels_zyx == label)
        logits_czyx[label] = moved
    logits_czyx.flush()


def _add_blurred(logits_zyx: Singles, mask_zyx: npt.NDArray[np.bool_]) -> None:
    places = [np.flatnonzero(mask_zyx.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]
    if not places[0].size:
        return
    box = tuple(
        slice(max(0, int(place[0]) - MARGIN_VOXELS), int(place[-1]) + MARGIN_VOXELS + 1)
        for place in places
    )
    logits_zyx[box] += LOGIT * gaussian_filter(mask_zyx[box].astype(np.float32), BLUR_VOXELS)


def border_share(logits: Path) -> float:
    """Tell the share of grid cells whose eight corners do not all have the same label."""
    labels_zyx = np.load(logits, mmap_mode="r").argmax(axis=0).astype(np.uint8)
    same = np.ones(tuple(n - 1 for n in labels_zyx.shape), bool)
    first = labels_zyx[:-1, :-1, :-1]
    for z in (0, 1):
        for y in (0, 1):
            for x in (0, 1):
                part = labels_zyx[z:, y:, x:][: same.shape[0], : same.shape[1], : same.shape[2]]
                same &= part == first
    return 1.0 - float(same.mean())

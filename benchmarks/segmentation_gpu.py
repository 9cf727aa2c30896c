"""What a scan costs on a GPU: this engine beside nnU-Net's own predictor, and a shard of ours.

    python -m benchmarks.segmentation_gpu            # writes docs/gpu.md
    python -m benchmarks.segmentation_gpu --device cpu --sizes smoke     # prints only

The images are phantoms of three sizes that others have published figures for. The model has the
patch (128 voxels a side), the widths (32 to 320), the folds (5) and the labels (41) of
MRSegmentator at 1.5 mm, as far as they are known without its weights, and weights at random: what
it labels means nothing, what it costs does. Every engine is a process of its own. A second one of
ours labels each image again: its labels must be the same. In ``timed`` cuDNN chooses by the clock
how to compute a layer, as in nnU-Net, and not by rule.
"""

import argparse
import json
import resource
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from unittest import mock

import numpy as np
import SimpleITK as sitk
import torch
from benchmarks.segmentation_cases import REPOSITORY, SEED, SHIPPED, STOCK_RESAMPLING, prepare_shard
from benchmarks.segmentation_meter import GIB, CommandFailedError, measure
from benchmarks.segmentation_peers import SUFFIX, stock_predictor

from organome.compute.inference import loading
from organome.compute.inference.loading import load_segmenter, segment
from organome.compute.inference.network import build_network
from organome.domain.scans import Contrast
from organome.io.images.image_files import read_image, write_image
from organome.io.models.checkpoints import CHECKPOINT, minimal_checkpoint
from organome.io.models.folders import read_model
from organome.phantoms.bodies.anatomy import draw_body
from organome.phantoms.rendering.fields_of_view import axial_grid
from organome.phantoms.rendering.render import render_image

# Voxels along x, y, z; pixel and slice in mm; patch, widths and folds of the model.
LARGE: Final = (128, (32, 64, 128, 256, 320, 320), 5)
SIZES: Final = {
    "248x246x141": ((248, 246, 141), 1.5, 3.0, LARGE),
    "249x246x246": ((249, 246, 246), 1.5, 1.5, LARGE),
    "512x512x531": ((512, 512, 531), 0.8, 1.0, LARGE),
    "smoke": ((20, 18, 24), 18.0, 18.0, (8, (4, 8), 2)),
}
CONFIGURATION: Final = "3d_fullres"
N_LABELS: Final = 41
N_SHARD_SCANS: Final = 8
PAGE: Final = REPOSITORY / "docs" / "gpu.md"
HEAD: Final = """# On a GPU

Written by `make bench-gpu` (`python -m benchmarks.segmentation_gpu`). Phantoms, and a model of
random weights with the patch, the widths and the five folds of MRSegmentator: its labels mean
nothing, its cost does. Seconds a scan are of the second one in a process, from the image to its
labelmap; a shard has eight scans, start and end included. In `timed` cuDNN chooses by the clock
how to compute a layer, not by rule.

"""
COLUMNS: Final = ("size", "engine", "s a scan", "RAM GiB", "VRAM GiB", "scans per GPU-hour")


def write_model(folder: Path, size: str) -> Path:
    """Write a model of random weights for a size."""
    patch, widths, n_folds = SIZES[size][3]
    plans = json.loads((SHIPPED / "plans.json").read_text())
    configuration = plans["configurations"][CONFIGURATION]
    spacing_mm = 1.5 if size != "smoke" else 36.0
    configuration |= {"patch_size": [patch] * 3, "spacing": [spacing_mm] * 3, **STOCK_RESAMPLING}
    n = len(widths)
    configuration["architecture"]["arch_kwargs"] |= {
        "n_stages": n,
        "features_per_stage": list(widths),
        "kernel_sizes": [[3] * 3] * n,
        "strides": [[1] * 3] + [[2] * 3] * (n - 1),
        "n_conv_per_stage": [2] * n,
        "n_conv_per_stage_decoder": [2] * (n - 1),
    }
    folder.mkdir(parents=True)
    (folder / "plans.json").write_text(json.dumps(plans))
    (folder / "dataset.json").write_bytes((SHIPPED / "dataset.json").read_bytes())
    for fold in range(n_folds):
        torch.manual_seed(SEED + fold)
        network = build_network(plans, CONFIGURATION, n_outputs=N_LABELS)
        for name, parameter in network.named_parameters():
            if "seg_layers" in name:  # logits far apart, as those of a network that has learnt
                torch.nn.init.normal_(parameter, std=2.0)
        made = minimal_checkpoint(network.state_dict(), configuration=CONFIGURATION)
        (folder / f"fold_{fold}").mkdir()
        torch.save(made, folder / f"fold_{fold}" / CHECKPOINT)
    return folder


def write_images(folder: Path, size: str, *, n_scans: int) -> Path:
    """Draw a phantom and name it so many times."""
    size_xyz, pixel_mm, slice_mm, _ = SIZES[size]
    grid = axial_grid(size_xyz=size_xyz, pixel_mm=pixel_mm, slice_mm=slice_mm, bottom_mm=-60.0)
    image = render_image(draw_body(SEED), Contrast.CT, grid, np.random.default_rng(SEED))
    folder.mkdir(parents=True)
    for number in range(n_scans):
        path = folder / f"{number:02d}{SUFFIX}"
        if number:
            path.hardlink_to(folder / f"00{SUFFIX}")
        else:
            write_image(path, image)
    return folder


def _load_ours(model: Path, device: str) -> Callable[[sitk.Image], sitk.Image]:
    segmenter = load_segmenter(read_model(model), device="cuda" if device == "cuda" else "cpu")
    print(f"tiles at a time: {segmenter.settings.tile_batch}", file=sys.stderr)
    return lambda image: segment(image, segmenter)


def _load_timed(model: Path, device: str) -> Callable[[sitk.Image], sitk.Image]:
    by_rule = vars(loading)["_set_cudnn"]

    def by_the_clock() -> None:
        by_rule()
        torch.backends.cudnn.benchmark = True

    with mock.patch.object(loading, "_set_cudnn", by_the_clock):
        return _load_ours(model, device)


def _load_stock(model: Path, device: str) -> Callable[[sitk.Image], sitk.Image]:
    predictor = stock_predictor(model, device)

    def label(image: sitk.Image) -> sitk.Image:
        voxels = sitk.GetArrayFromImage(image)[None].astype(np.float32)
        properties = {"spacing": list(image.GetSpacing()[::-1])}
        labels = predictor.predict_single_npy_array(voxels, properties)
        labelmap = sitk.GetImageFromArray(labels.astype(np.uint8))
        labelmap.CopyInformation(image)
        return labelmap

    return label


LOADERS: Final = {
    "ours": _load_ours,
    "again": _load_ours,
    "timed": _load_timed,
    "stock": _load_stock,
}


def label_one(engine: str, image: Path, output: Path, model: Path, *, device: str) -> None:
    """Label an image twice in this process; write its labels, and what the second time cost."""
    label = LOADERS[engine](model, device)
    scan = sitk.DICOMOrient(read_image(image), "LPS")
    label(scan)
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    began_s = time.perf_counter()
    labels = label(scan)
    seconds = time.perf_counter() - began_s
    write_image(output.with_suffix(SUFFIX), labels)
    vram = torch.cuda.max_memory_reserved() if device == "cuda" else 0
    ram = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = {"s a scan": seconds, "RAM GiB": ram / GIB, "VRAM GiB": vram / GIB}
    output.with_suffix(".json").write_text(json.dumps(found))


def compare(first: Path, second: Path) -> str:
    """Write how many voxels have another label."""
    one, two = (sitk.GetArrayFromImage(read_image(path)) for path in (first, second))
    return f"{np.count_nonzero(one != two)} of {one.size}"


def run_size(
    folder: Path, size: str, run: Callable[..., None], *, device: str
) -> tuple[list[dict[str, Any]], list[str]]:
    """Have all engines label an image of a size.

    Args:
        folder: Where to work.
        size: One of ``SIZES``.
        run: ``label_one``, here or in a process of its own.
        device: ``cuda`` or ``cpu``.

    Returns:
        A row an engine, and lines on how their labels agree.
    """
    model = write_model(folder / "model", size)
    image = write_images(folder / "image", size, n_scans=1) / f"00{SUFFIX}"
    rows = []
    for engine in LOADERS:
        row: dict[str, Any] = {"size": size, "engine": engine}
        try:
            run(engine, image, folder / engine, model, device=device)
        except CommandFailedError as error:
            row["s a scan"] = f"failed: {(str(error).splitlines() or ['without a word'])[-1]}"
        else:
            row |= json.loads((folder / f"{engine}.json").read_text())
        rows.append(row)
    lines = [
        f"{size}, {words}: {compare(folder / f'ours{SUFFIX}', other)} voxels have another label"
        for words, name in (
            ("nnU-Net", "stock"),
            ("a second process of ours", "again"),
            ("a choice of cuDNN by the clock", "timed"),
        )
        if (other := folder / f"{name}{SUFFIX}").exists() and (folder / f"ours{SUFFIX}").exists()
    ]
    return rows, lines


def run_shard(folder: Path, size: str, *, device: str) -> dict[str, Any]:
    """Have a job of ours label a shard."""
    images = write_images(folder / "images", size, n_scans=N_SHARD_SCANS)
    command = [sys.executable, "-m", "benchmarks.segmentation_ours", "--shard"]
    command += [str(prepare_shard(images)), str(folder / "shard"), str(folder / "model")]
    cost = measure([*command, "--device", device], environment={}, folder=REPOSITORY)
    return {
        "size": size,
        "engine": "shard",
        "s a scan": cost.wall_s / N_SHARD_SCANS,
        "RAM GiB": cost.peak_gib,
        "scans per GPU-hour": 3600 * N_SHARD_SCANS / cost.wall_s,
    }


def in_its_own_process(engine: str, image: Path, output: Path, model: Path, *, device: str) -> None:
    """Run ``label_one`` in a fresh process."""
    given = ["--one", engine, str(image), str(output), str(model), "--device", device]
    command = [sys.executable, "-m", "benchmarks.segmentation_gpu", *given]
    measure(command, environment={}, folder=REPOSITORY)


def table(rows: list[dict[str, Any]]) -> str:
    """Write rows as a table."""

    def written(row: Mapping[str, Any], column: str) -> str:
        value = row.get(column, "")
        return f"{value:.2f}" if isinstance(value, float) else str(value)

    lines = [COLUMNS, ["---"] * len(COLUMNS)]
    lines += [[written(row, column) for column in COLUMNS] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def main() -> None:
    """Run all sizes, print a table, and write the page where they ran on a GPU."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    sizes = [name for name in SIZES if name != "smoke"]
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=sizes)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda")
    parser.add_argument("--one", nargs=4, metavar=("ENGINE", "IMAGE", "OUTPUT", "MODEL"))
    arguments = parser.parse_args()
    if arguments.one:
        engine, *places = arguments.one
        label_one(engine, *(Path(place) for place in places), device=arguments.device)
        return
    if arguments.device == "cuda" and not torch.cuda.is_available():
        sys.exit(
            "no GPU: torch sees none here; --device cpu --sizes smoke shows that the rest works"
        )
    rows, lines = [], []
    for size in arguments.sizes:
        with TemporaryDirectory() as temporary:
            folder = Path(temporary)
            found = run_size(folder, size, in_its_own_process, device=arguments.device)
            rows += [*found[0], run_shard(folder, size, device=arguments.device)]
            lines += found[1]
    text = table(rows) + "\n" + "".join(f"- {line}\n" for line in lines)
    print(text)
    if arguments.device == "cuda":
        gpu = f"{torch.cuda.get_device_name()}, torch {torch.__version__}.\n\n"
        PAGE.write_text(HEAD + gpu + text)


if __name__ == "__main__":
    main()

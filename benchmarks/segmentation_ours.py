"""This engine, in a process of its own.

    python -m benchmarks.segmentation_ours IMAGES OUTPUT MODEL [flags]
    python -m benchmarks.segmentation_ours --shard SHARD OUTPUT MODEL [flags]

The first reads, prepares, infers, restores and writes scan by scan, so that stages can be timed
apart. The second is what a job runs: ``organome segment-organs`` on a shard that is prepared, with
its pipeline.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import SimpleITK as sitk
import torch
from benchmarks.segmentation_peers import (
    LOGITS,
    STAGES,
    SUFFIX,
    TILE,
    note,
    note_done,
    tile_logits,
    time_calls,
)

from organome.compute.inference import labelling, segmenter
from organome.compute.inference.loading import load_segmenter
from organome.compute.inference.network import FoldNetworks
from organome.compute.inference.sums import HostSums
from organome.domain.inference import InferenceSettings
from organome.domain.scans import scan_key
from organome.io.images.image_files import read_image, write_image
from organome.io.models.folders import read_model
from organome.steps.segment.model_labeller import ask_for_large_pages

ONE: int = int(np.float16(1).view(np.uint16))


class FixedSums(HostSums):
    """Sums that are logits of a file, whatever the tiles gave."""

    def add(self, logits_czyx: torch.Tensor, corner: Any) -> None:
        """Add nothing."""

    def finish(self, start: int, stop: int) -> None:
        """Take rows of the file for the sums, then go on as with any."""
        began_s = time.thread_time()
        sums_zcyx: Any = self._sums_zcyx
        with Path(os.environ[LOGITS]).open("rb") as file:
            # Not mapped: pages of the file would count as memory of this process.
            version = np.lib.format.read_magic(file)
            assert version == (1, 0)
            (n_labels, n_z, n_y, n_x), _, kind = np.lib.format.read_array_header_1_0(file)
            first = file.tell()
            for number in range(start, stop):
                row = number % self._n_held
                for label in range(n_labels):
                    file.seek(first + (label * n_z + number) * n_y * n_x * kind.itemsize)
                    file.readinto(sums_zcyx[row, label].data)
                self._weights_zyx[row] = ONE
        note("network", time.thread_time() - began_s, 0.0)
        super().finish(start, stop)


def fix_logits() -> None:
    """Put the logits of a file in place of the networks and of what sums them up."""

    def make_sums(tiling: Any, n_labels: int, importance_zyx: Any, _where: Any) -> FixedSums:
        n_voxels = np.load(os.environ[LOGITS], mmap_mode="r").shape[1:]
        if n_voxels != tiling.shape:
            raise ValueError(f"logits of {n_voxels} for an image of {tiling.shape}")
        return FixedSums(tiling, n_labels, importance_zyx)

    vars(labelling)["make_sums"] = make_sums
    vars(labelling)["_add"] = lambda *_, **__: None


def fix_tiles() -> None:
    """Put the logits of a tile in place of what each network says of any tile."""

    def logits_by_fold(networks: FoldNetworks, tiles: torch.Tensor) -> Iterator[torch.Tensor]:
        for _ in networks.networks:
            yield tile_logits().expand(len(tiles), -1, -1, -1, -1)

    setattr(FoldNetworks, logits_by_fold.__name__, logits_by_fold)


def main() -> None:
    """Label all images of a folder, or all scans of a shard."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("images", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--shard", action="store_true")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--settings", type=json.loads, default={}, help="JSON")
    arguments = parser.parse_args()
    ask_for_large_pages()  # as a job does
    label = label_shard if arguments.shard else label_images
    label(arguments)
    note_done()


def label_images(arguments: argparse.Namespace) -> None:
    """Label images one by one."""
    arguments.output.mkdir(parents=True, exist_ok=True)
    loaded = load_segmenter(
        read_model(arguments.model),
        device=arguments.device,
        settings=replace(InferenceSettings(), **_typed(arguments.settings)),
    )
    loaded.restore(loaded.infer(loaded.prepare(_small_image())))
    time_stages()
    note("start", time.process_time(), 0.0)
    read, write = _timed(read_image, "read"), _timed(write_image, "write")
    for path in sorted(arguments.images.glob(f"*{SUFFIX}")):
        prepared = loaded.prepare(read(path))
        write(arguments.output / path.name, loaded.restore(loaded.infer(prepared)))


def label_shard(arguments: argparse.Namespace) -> None:
    """Label a shard by the command line; name the labelmaps as the images were named."""
    from organome.cli.app import main as organome

    work = arguments.output / "work"
    published = arguments.output / "published"
    flags = {
        "shard": arguments.images / "shard.parquet",
        "images": arguments.images / "prepared",
        "output": published,
        "work": work,
        "model": arguments.model,
        "device": arguments.device,
        "n-threads": 1,
    }
    sys.argv = ["organome", "segment-organs"]
    for name, value in flags.items():
        sys.argv += [f"--{name}", str(value)]
    time_stages()
    note("start", time.process_time(), 0.0)
    try:
        organome()
    except SystemExit as ended:
        if ended.code:
            raise
    for number, name in enumerate(json.loads((arguments.images / "names.json").read_text())):
        labels = published / f"{scan_key(0, number)}_labels{SUFFIX}"
        labels.rename(arguments.output / name)


def _small_image() -> sitk.Image:
    """Give something to label, once: compiled loops are loaded with their first call."""
    chance = np.random.default_rng(0)
    image = sitk.GetImageFromArray(chance.integers(0, 99, (24, 24, 24)).astype(np.int16))
    image.SetSpacing((2.5, 2.5, 2.5))
    return image


def _typed(settings: dict[str, Any]) -> dict[str, Any]:
    types = get_type_hints(InferenceSettings)
    return {name: types[name](value) for name, value in settings.items()}


def _timed(function: Any, stage: str) -> Any:
    class Holder:
        call = partial(function)

    time_calls(Holder, "call", stage)
    return Holder.call


def time_stages() -> None:
    """Put timers into the engine, and logits in place of its network where so asked."""
    torch.set_num_threads(1)
    if LOGITS in os.environ:
        fix_logits()
    elif TILE in os.environ:
        fix_tiles()
    else:
        time_calls(labelling, "_add", "network")
    for name, stage in (("prepare", "prepare"), ("infer", "infer"), ("restore", "write")):
        time_calls(segmenter.Segmenter, name, stage)


# Workers of a shard are spawned: they run this file before their work.
if STAGES in os.environ and __name__ == "__mp_main__":
    time_stages()
    note("start", time.process_time(), 0.0)
if __name__ == "__main__":
    main()

"""A shard of noise, labelled by a tiny nnU-Net with random weights, as a run leaves it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import torch

from doubles.plans import CONFIGURATION, phantom_dataset, phantom_plans, write_model
from organome.compute.inference.network import build_network
from organome.domain.organs import N_ORGANS
from organome.domain.scans import Contrast, Scan, Source, scan_key
from organome.io.images.image_files import write_image
from organome.io.tables.scan_lists import write_shard
from organome.steps.prepare import prepare_images
from organome.steps.segment import segment_organs

SIZE_ZYX = (12, 24, 24)
SPACING_XYZ_MM = (5.0, 5.0, 6.0)
PATCH_ZYX = (16, 16, 32)
STEP_SIZE = 0.75
CONTRASTS = (Contrast.T2, Contrast.T1)


def write_tiny_model(folder: Path, *, seed: int) -> None:
    """Write a model folder whose labels mean nothing, but depend on every voxel."""
    plans = phantom_plans()
    configuration = plans["configurations"][CONFIGURATION]
    configuration["patch_size"] = list(PATCH_ZYX)
    configuration["spacing"] = list(SPACING_XYZ_MM[::-1])
    configuration["architecture"]["arch_kwargs"]["features_per_stage"] = [4] * 5
    torch.manual_seed(seed)
    network = build_network(plans, CONFIGURATION, n_outputs=N_ORGANS + 1)
    write_model(
        folder,
        plans=plans,
        dataset=phantom_dataset(1),
        configuration=CONFIGURATION,
        weights=[network.state_dict()],
    )


@dataclass(frozen=True)
class LabelledShard:
    """A run folder with one shard; ``p-secret`` is the name of every participant."""

    folder: Path

    @property
    def model(self) -> Path:
        return self.folder / "model"

    @property
    def images(self) -> Path:
        return self.folder / "results" / "prepare_images" / "0000"

    @property
    def labelmaps(self) -> Path:
        return self.folder / "results" / "segment_organs" / "0000"


def label_shard(folder: Path, *, n_scans: int, **settings: Any) -> LabelledShard:
    """Make a run folder whose shard has so many scans that go through, and one that fails."""
    made = LabelledShard(folder)
    write_tiny_model(made.model, seed=0)
    chance = np.random.default_rng(0)
    scans = []
    for place in range(n_scans):
        path = folder / "p-secret" / f"{place}.nii.gz"
        image = sitk.GetImageFromArray(chance.integers(0, 99, SIZE_ZYX).astype(np.int16))
        image.SetSpacing(SPACING_XYZ_MM)
        write_image(path, image)
        scans.append(_scan(place, path))
    scans.insert(1, _scan(n_scans, folder / "p-secret" / "none.nii.gz"))
    shard = folder / "scans" / "0000.parquet"
    write_shard(shard, scans)
    prepare_images.run(
        shard=shard, output=made.images, work=folder / "work" / "prepare_images", kind="folder"
    )
    segment_organs.run(
        shard=shard,
        images=made.images,
        output=made.labelmaps,
        work=folder / "work" / "segment_organs",
        model=made.model,
        contrasts=CONTRASTS,
        device="cpu",
        tile_step_size=STEP_SIZE,
        **settings,
    )
    return made


def _scan(place: int, path: Path) -> Scan:
    return Scan(
        scan=scan_key(0, place),
        cohort="c",
        participant="p-secret",
        instance=str(place),
        array="0",
        protocol="mr",
        sources=(Source(str(path), Contrast.T1),),
    )

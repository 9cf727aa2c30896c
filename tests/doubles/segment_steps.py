"""segment_organs with something wrong in its worker processes, which import it by name."""

import errno
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from doubles.models import write_tiny_model
from organome.domain.inference import InferenceSettings
from organome.domain.outcomes import JsonValue, Outcome, Status
from organome.domain.scans import Contrast, Scan, scan_key
from organome.domain.schemes import scheme_by_name
from organome.io.images.image_files import write_image
from organome.io.models.folders import model_digest
from organome.io.tables.ledgers import LEDGER, write_ledger
from organome.io.tables.scan_lists import write_shard
from organome.steps.segment import segment_organs
from organome.steps.segment.label_with_model import SegmentOrgans
from organome.steps.segment.labelling import Labelling
from organome.steps.segment.model_labeller import ModelLabeller

SPACING_XYZ_MM = (5.0, 5.0, 6.0)
SIZE_ZYX = (12, 24, 24)


@dataclass(frozen=True)
class PreparedShard:
    """A shard of noise as prepare_images publishes it, and a tiny network."""

    folder: Path

    @property
    def images(self) -> Path:
        return self.folder / "results" / "prepare_images" / "0000"

    @property
    def output(self) -> Path:
        return self.folder / "results" / "segment_organs" / "0000"

    @property
    def model(self) -> Path:
        return self.folder / "model"

    @property
    def shard(self) -> Path:
        return self.folder / "scans" / "0000.parquet"

    def image(self, place: int) -> Path:
        return self.images / f"{scan_key(0, place)}_t1.nii.gz"

    def labelmap(self, place: int) -> bytes:
        return (self.output / f"{scan_key(0, place)}_labels.nii.gz").read_bytes()

    def run(self, **settings: Any) -> tuple[Outcome, ...]:
        given: dict[str, Any] = {
            "shard": self.shard,
            "images": self.images,
            "output": self.output,
            "work": self.folder / "work" / "segment_organs",
            "model": self.model,
            "contrasts": [Contrast.T1],
            "device": "cpu",
        }
        return segment_organs.run(**given | settings)

    def step(
        self,
        kind: "type[SegmentOrgans]" = SegmentOrgans,
        labeller: type[ModelLabeller] = ModelLabeller,
    ) -> SegmentOrgans:
        network = labeller(
            folder=self.model,
            digest=model_digest(self.model),
            device="cpu",
            n_threads=1,
            inference=InferenceSettings(),
        )
        return kind(self.labelling(), network)

    def labelling(self) -> Labelling:
        return Labelling(
            images=self.images,
            scheme=scheme_by_name("mrsegmentator"),
            contrasts=[Contrast.T1],
        )


def prepare_shard(folder: Path, *, n_scans: int) -> PreparedShard:
    """Write as many images of noise as there are scans, and what goes with them."""
    made = PreparedShard(folder)
    write_tiny_model(made.model)
    chance = np.random.default_rng(0)
    scans, outcomes = [], []
    for place in range(n_scans):
        put_image(made.image(place), chance.integers(0, 99, SIZE_ZYX).astype(np.int16))
        key = scan_key(0, place)
        scans.append(Scan(key, "c", "p", str(place), "0", "mr", ()))
        facts: dict[str, JsonValue] = {
            "contrasts": ["t1"],
            "size_xyz": list(SIZE_ZYX[::-1]),
            "spacing_xyz_mm": list(SPACING_XYZ_MM),
        }
        outcomes.append(Outcome(key, "prepare_images", Status.DONE, str(place), facts=facts))
    write_shard(made.shard, scans)
    write_ledger(made.images / LEDGER, outcomes)
    return made


def put_image(
    path: Path,
    voxels: np.ndarray[Any, Any],
    spacing_xyz_mm: tuple[float, float, float] = SPACING_XYZ_MM,
) -> None:
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing(spacing_xyz_mm)
    write_image(path, image)


class FullDisk(SegmentOrgans):
    """Finds the disk full when it writes its third scan."""

    def write(self, item: Any, place: Callable[[str], Path]) -> Mapping[str, JsonValue]:
        if item.scan.scan == scan_key(0, 2):
            path = place("labels.nii.gz")
            path.write_bytes(b"half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return super().write(item, place)


class Cramped(SegmentOrgans):
    """Asks ITK for more memory than any machine has while it writes its second scan."""

    def write(self, item: Any, place: Callable[[str], Path]) -> Mapping[str, JsonValue]:
        if item.scan.scan == scan_key(0, 1):
            sitk.Image([60_000] * 3, sitk.sitkUInt8)
        return super().write(item, place)


class Counting(ModelLabeller):
    """Notes each load of the network beside the model."""

    def start(self) -> None:
        if "segmenter" not in vars(self):
            with (self.folder / "loads.txt").open("a") as file:
                file.write(f"{os.getpid()}\n")
        super().start()

"""Where labels come from: a model that is loaded once, or labelmaps that a cohort brings along."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

import SimpleITK as sitk

from organome.domain.errors import ScanError, SetupError
from organome.domain.outcomes import JsonValue, Reason
from organome.domain.scans import Scan
from organome.io.identity import input_identity
from organome.io.images import read_image
from organome.io.models import read_model


class Labeller(Protocol):
    """Where labels come from.

    Attributes:
        facts: What the tables say of the source.
        settings: All settings that change labels.
    """

    facts: Mapping[str, JsonValue]
    settings: Mapping[str, JsonValue]

    def identity(self, scan: Scan) -> JsonValue:
        """What the labels of this scan depend on besides image and settings."""

    def label(self, scan: Scan, image: sitk.Image) -> sitk.Image:
        """Label a scan in the source's own labels, on any grid."""


class ListedLabelmaps:
    """Labelmaps that the cohort brings along."""

    facts: Mapping[str, JsonValue] = {"source": "labelmaps"}
    settings: Mapping[str, JsonValue] = {"source": "labelmaps"}

    def identity(self, scan: Scan) -> JsonValue:
        """The identity of the listed file."""
        return None if scan.labelmap is None else input_identity(Path(scan.labelmap))

    def label(self, scan: Scan, image: sitk.Image) -> sitk.Image:  # noqa: ARG002 nothing to infer
        """Read the listed labelmap.

        Raises:
            ScanError: None is listed, or it cannot be read.
        """
        if scan.labelmap is None:
            raise ScanError(Reason.LABELMAP_MISSING, "no labelmap is listed for this scan")
        if not Path(scan.labelmap).exists():
            raise ScanError(Reason.LABELMAP_MISSING, "the listed labelmap does not exist")
        return read_image(Path(scan.labelmap), constant=True)


class ModelLabeller:
    """A network, loaded once."""

    def __init__(self, predictor: Any, facts: Mapping[str, JsonValue], step_size: float) -> None:
        self._predictor = predictor
        self.facts = facts
        self.settings: Mapping[str, JsonValue] = {**facts, "tile_step_size": step_size}

    def identity(self, scan: Scan) -> JsonValue:  # noqa: ARG002 the image says it all
        """Nothing besides the image."""
        return None

    def label(self, scan: Scan, image: sitk.Image) -> sitk.Image:  # noqa: ARG002
        """Run the network."""
        from organome.compute.segmentation import segment

        return segment(image, self._predictor)


def load_labeller(
    folder: Path | None,
    *,
    device: Literal["auto", "cpu", "cuda"],
    tile_step_size: float,
    n_threads: int,
) -> ModelLabeller:
    """Load a model folder.

    Args:
        folder: The model folder.
        device: Where the network runs.
        tile_step_size: Step of the sliding window as a share of the patch.
        n_threads: Threads of the network on a CPU.

    Raises:
        SetupError: No folder is given, or it is no model folder, or there is no such device.
    """
    import torch

    from organome.compute.segmentation import load_predictor

    if folder is None:
        raise SetupError("segment source is 'model', but no model folder is given")
    torch.set_num_threads(n_threads)
    model = read_model(folder)
    predictor = load_predictor(model, device=device, tile_step_size=tile_step_size)
    facts: dict[str, JsonValue] = {
        "source": "model",
        "model_name": model.name,
        "model_digest": model.digest,
    }
    return ModelLabeller(predictor, facts, tile_step_size)

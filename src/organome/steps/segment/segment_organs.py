"""segment_organs: images -> labelmaps of the 40 organs on the very grid of the image.

The labels come from a model, loaded once per shard, or from labelmaps that exist already.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, assert_never

from organome.domain.contrasts import BEST_CONTRASTS, Combine
from organome.domain.errors import SetupError
from organome.domain.inference import Device, InferenceSettings, Precision, Transform
from organome.domain.models import check_labels
from organome.domain.outcomes import Outcome
from organome.domain.scans import Contrast
from organome.io.files.cohort_roots import CohortRoot
from organome.io.images.labelmaps import PACK
from organome.io.models import folders
from organome.io.models.phantoms import is_for_phantoms
from organome.io.tables.ledgers import LEDGER, read_ledger
from organome.io.tables.scan_lists import read_shard
from organome.io.tables.schemes import find_scheme
from organome.shards.packing import Packing
from organome.shards.run import MAX_SCAN_MIN, run_shard
from organome.shards.step import ScanStep
from organome.steps.segment.label_with_model import SegmentOrgans
from organome.steps.segment.labelling import Labelling
from organome.steps.segment.model_labeller import ModelLabeller
from organome.steps.segment.take_labelmaps import TakeLabelmaps

LabelSource = Literal["model", "labelmaps"]


def run(
    *,
    shard: Path,
    images: Path,
    output: Path,
    work: Path,
    root: Path | None = None,
    source: LabelSource = "model",
    model: Path | None = None,
    model_digest: Path | None = None,
    scheme: str = "mrsegmentator",
    contrasts: Sequence[Contrast] = BEST_CONTRASTS,
    combine: Combine = Combine.FIRST,
    fold_agreement: bool = False,
    repair_sides: bool = False,
    transform: Sequence[str] = (),
    orientation: str = "",
    device: Device = "auto",
    tile_step_size: float = 0.5,
    precision: Precision = Precision.STOCK,
    tile_batch: int = 0,
    channels_last: bool = False,
    cuda_graphs: bool = False,
    n_threads: int = 1,
    n_processes: int = 1,
    n_gpus: int = 1,
    max_scan_min: float = MAX_SCAN_MIN,
    pack: bool = False,
    max_same_reason_share: float = 0.5,
    on_outcome: Callable[[Outcome], None] | None = None,
) -> tuple[Outcome, ...]:
    """Label all scans of a shard.

    Args:
        shard: List of the shard's scans.
        images: Folder of the shard that prepare_images published.
        output: Folder to publish: the ledger and ``<scan>_labels.nii.gz`` (uint8), or all of them
            in ``labelmaps.zip``.
        work: Folder for what is under way.
        root: Where the cohort lies, as it was listed; for ``labelmaps``. When it is gone or empty,
            its mount is lost and the job stops; without it, labelmaps on a lost mount count as
            missing.
        source: ``model`` runs a network, ``labelmaps`` takes the labelmap listed for each scan.
        model: Model folder; needed for ``model``.
        model_digest: File with the digest that the model must have, as pin-model wrote it.
        scheme: What the source's labels mean: a built-in scheme, or a file (.yaml, .json).
        contrasts: Wanted contrasts, best first; by default in the order of the Dice that the paper
            reports. A scan with none of them but with one image is labelled, too.
        combine: ``first`` labels the first contrast that a scan has, fat and water last where they
            look exchanged; ``consensus`` labels all that are sound, and they vote.
        fold_agreement: Measure how far the folds of the model agree on each organ.
        repair_sides: Give separate pieces of an organ that lie clearly on the other side of the
            body to its partner. Sides are checked in any case.
        transform: What images of a contrast go through just before the network, ``t1:inverted``:
            ``inverted`` as the authors of the paper did, ``inverted_robust`` without regard to
            single hot voxels, ``equalised`` by the histogram.
        orientation: As of ``prepare_images``, for labelmaps that do not say it themselves.
        device: Where the network runs.
        tile_step_size: Step of the sliding window as a share of the patch.
        precision: With what numbers the network computes; ``stock`` as nnU-Net does.
        tile_batch: Tiles that go through the network at a time; 0 for one on a CPU, and on a GPU as
            many as it was seen to hold.
        channels_last: Give the network its channels last in memory.
        cuda_graphs: Have a GPU record the calls of the network once and replay them.
        n_threads: Threads of the network on a CPU, in each process.
        n_processes: Scans that are done at the same time on each GPU, or without a GPU.
        n_gpus: GPUs to use, where the network runs on GPUs.
        max_scan_min: Minutes without a result after which a process hangs; it is ended, and its
            scans are done again.
        pack: Publish all labelmaps of the shard as one archive: one file instead of hundreds.
        max_same_reason_share: Above this share of scans failing for one reason, the job stops.
        on_outcome: Called after each scan.

    Returns:
        One outcome per scan, in order.

    Raises:
        SetupError: No model, another one than was pinned, an unknown scheme or one that is not the
            model's, or the step before has not been through.
        MachineFault: No GPU where one was asked for or a broken one, the cohort or the model is
            not there, or the machine is at fault in another way.
    """
    for name, number in (("n_processes", n_processes), ("n_gpus", n_gpus)):
        if number < 1:
            raise SetupError(f"{name} is {number}, 1 or more needed")
    if source == "labelmaps" and (combine is Combine.CONSENSUS or fold_agreement or transform):
        raise SetupError(
            "consensus, fold_agreement and transform need a model: source is 'labelmaps'"
        )
    labelling = Labelling(
        images=images,
        scheme=find_scheme(scheme),
        contrasts=contrasts,
        combine=combine,
        repair_sides=repair_sides,
        transforms=_transforms(transform),
    )
    steps: Sequence[ScanStep]
    match source:
        case "labelmaps":
            cohort_root = CohortRoot(root)
            cohort_root.check()
            steps = [TakeLabelmaps(labelling, cohort_root, orientation)] * n_processes
        case "model":
            if model is None:
                raise SetupError("segment source is 'model', but no model folder is given")
            labeller = ModelLabeller(
                folder=model,
                digest=folders.model_digest(model),
                device=device,
                n_threads=n_threads,
                n_sharing=n_processes,
                inference=InferenceSettings(
                    tile_step_size=tile_step_size,
                    precision=precision,
                    tile_batch=tile_batch,
                    channels_last=channels_last,
                    cuda_graphs=cuda_graphs,
                    fold_labels=fold_agreement,
                ),
                for_phantoms=is_for_phantoms(model),
            )
            if model_digest is not None:
                folders.check_pinned(labeller.digest, pinned=model_digest)
            check_labels(folders.read_dataset(model), labelling.scheme, model=model.name)
            steps = n_processes * [
                SegmentOrgans(labelling, one, fold_agreement=fold_agreement)
                for one in labeller.on_all_gpus(n_gpus)
            ]
        case _:
            assert_never(source)
    return run_shard(
        steps[0],
        scans=read_shard(shard),
        upstream=read_ledger(images / LEDGER),
        output=output,
        work=work,
        workers=steps,
        max_scan_min=max_scan_min,
        packing=Packing(PACK, wanted=pack),
        max_same_reason_share=max_same_reason_share,
        on_outcome=on_outcome,
    )


def _transforms(words: Sequence[str]) -> dict[Contrast, Transform]:
    """Read what images of which contrast go through.

    Raises:
        SetupError: A word is not of the form ``t1:inverted``.
    """
    try:
        pairs = [word.split(":") for word in words]
        return {Contrast(contrast): Transform(transform) for contrast, transform in pairs}
    except ValueError as error:
        known = ", ".join(Transform)
        raise SetupError(f"--transform: each is <contrast>:<one of {known}>") from error

"""make_canary: take labelled scans of a shard as the reference that machines are held to."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from organome.compute.geometry.grids import share_grid
from organome.compute.inference.loading import choose_device
from organome.compute.labelmaps.differences import organ_volumes_ml
from organome.domain.canaries import Canary, ReferenceScan
from organome.domain.contrasts import BEST_CONTRASTS
from organome.domain.errors import ScanError, SetupError
from organome.domain.fingerprints import outcome_fingerprint
from organome.domain.organs import Organ
from organome.domain.outcomes import JsonValue, Outcome, Status
from organome.domain.scans import Contrast
from organome.domain.steps import SEGMENT_ORGANS, SEGMENT_ORGANS_VERSION
from organome.io.canaries.references import file_sha256, write_canary
from organome.io.files.atomic import ATTEMPT, publish_folder
from organome.io.images.image_files import read_image
from organome.io.images.labelmaps import labelmap_content, labelmap_path
from organome.io.machine.machines import read_machine
from organome.io.tables.ledgers import LEDGER, read_ledger
from organome.io.tables.parquet import read_table
from organome.io.tables.schemes import scheme_of_labelmaps

_OF_THE_MODEL: Final = ("source", "model_name", "model_digest")


@dataclass(frozen=True, slots=True)
class MadeCanary:
    """A canary that was made.

    Attributes:
        folder: Where it lies.
        canary: What it is.
    """

    folder: Path
    canary: Canary

    def __str__(self) -> str:
        """Write it as plain text, a line a scan."""
        made = self.canary
        head = f"{self.folder}: reference scans labelled by {made.model_name}"
        scans = (
            f"{scan.scan} {scan.contrast}: {len(scan.volumes_ml)} organs,"
            f" {sum(scan.volumes_ml.values()):.0f} mL"
            for scan in made.scans
        )
        return "\n".join([head, *scans])


def run(
    *,
    images: Path,
    labelmaps: Path,
    output: Path,
    n_scans: int = 3,
    contrasts: Sequence[Contrast] = BEST_CONTRASTS,
    tile_step_size: float = 0.5,
) -> MadeCanary:
    """Copy labelled scans of a shard, and write down what their labelmaps depend on.

    Look at the labelmaps first: what is wrong in them is asked of every machine.

    Args:
        images: Folder of the shard that prepare_images published.
        labelmaps: Folder of the shard that segment_organs published, with a model.
        output: Folder to write; one that is there is replaced.
        n_scans: Scans to take, spread over those of the shard that went through.
        contrasts: Wanted contrasts, as segment_organs was told them.
        tile_step_size: Step of the sliding window, as segment_organs was told it.

    Raises:
        SetupError: The shard has fewer scans that went through, or was segmented with other
            settings, or without a model; or a file of it is not whole.
    """
    prepared, labelled = read_ledger(images / LEDGER), read_ledger(labelmaps / LEDGER)
    picked = _pick(labelled, n_scans)
    for outcome in picked:
        _check_settings(
            outcome,
            image_fingerprint=prepared[outcome.scan].fingerprint,
            contrasts=contrasts,
            tile_step_size=tile_step_size,
        )
    facts = picked[0].facts
    structures = scheme_of_labelmaps(labelmaps, labelled).structures
    with _beside(output) as folder:
        made = Canary(
            model_name=facts["model_name"],
            model_digest=facts["model_digest"],
            settings={"scheme": facts["scheme"], "tile_step_size": tile_step_size},
            labelled_on=_hosts(labelmaps / LEDGER, picked),
            packed_on=read_machine(choose_device("auto").type),
            scans=tuple(
                _copy(outcome, images, labelmaps, folder, structures) for outcome in picked
            ),
        )
        write_canary(folder, made)
        publish_folder(folder, output)
    return MadeCanary(output, made)


def _pick(labelled: dict[str, Outcome], n_scans: int) -> list[Outcome]:
    done = [outcome for outcome in labelled.values() if outcome.status is Status.DONE]
    if not 1 <= n_scans <= len(done):
        raise SetupError(f"{n_scans} scans wanted; in this shard {len(done)} went through")
    return [done[(2 * place + 1) * len(done) // (2 * n_scans)] for place in range(n_scans)]


def _check_settings(
    outcome: Outcome,
    *,
    image_fingerprint: str,
    contrasts: Sequence[Contrast],
    tile_step_size: float,
) -> None:
    """Make sure of the settings that the ledger tells only by its fingerprints.

    Raises:
        SetupError: The labelmap was not made by a model, or not with these settings.
    """
    if outcome.facts["source"] != "model":
        raise SetupError("the labelmaps of this shard were not made by a model")
    settings: dict[str, JsonValue] = {
        **{name: outcome.facts[name] for name in _OF_THE_MODEL},
        "tile_step_size": tile_step_size,
        "scheme": outcome.facts["scheme"],
        "contrasts": [contrast.value for contrast in contrasts],
    }
    fingerprint = outcome_fingerprint(
        SEGMENT_ORGANS, SEGMENT_ORGANS_VERSION, settings, [image_fingerprint, None]
    )
    if fingerprint != outcome.fingerprint:
        raise SetupError(
            f"{outcome.scan} was not segmented with tile_step_size {tile_step_size:g} and contrasts"
            f" {' '.join(contrasts)} by this release, the first sound contrast alone and without"
            " repairs: give both as they were, or segment it anew"
        )


def _hosts(ledger: Path, picked: Sequence[Outcome]) -> tuple[str, ...]:
    scans = [outcome.scan for outcome in picked]
    return tuple(sorted(set(read_table(ledger, columns=["host"], scans=scans)["host"].to_pylist())))


def _copy(
    outcome: Outcome, images: Path, labelmaps: Path, folder: Path, structures: Sequence[Organ]
) -> ReferenceScan:
    contrast = outcome.facts["contrast"]
    image, published = f"{outcome.scan}_{contrast}.nii.gz", labelmap_path(labelmaps, outcome.scan)
    labelmap = published.name
    if not (images / image).is_file():
        raise SetupError(
            f"{images / image}: gone since it was published (keep_images: true keeps it)"
        )
    shutil.copyfile(images / image, folder / image)
    try:
        (folder / labelmap).write_bytes(labelmap_content(published))
        labels = read_image(folder / labelmap, constant=True)
        whole = share_grid(read_image(folder / image, constant=True), labels)
    except ScanError as error:
        raise SetupError(f"{outcome.scan}: {error.fact}") from error
    if not whole:
        raise SetupError(f"{outcome.scan}: image and labelmap do not lie on the same grid")
    volumes_ml = organ_volumes_ml(labels, structures)
    return ReferenceScan(
        scan=outcome.scan,
        contrast=contrast,
        image=image,
        image_sha256=file_sha256(folder / image),
        labelmap=labelmap,
        labelmap_sha256=file_sha256(folder / labelmap),
        volumes_ml={organ: round(ml, 3) for organ, ml in volumes_ml.items()},
    )


@contextmanager
def _beside(output: Path) -> Iterator[Path]:
    """Yield a new folder beside another; what was not published is removed."""
    folder = output.with_name(f".{output.name}.{ATTEMPT}.new")
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)

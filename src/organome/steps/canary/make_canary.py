"""make_canary: take labelled scans of a shard as the reference that machines are held to."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from organome.compute.geometry.grids import share_grid
from organome.compute.labelmaps.overlap import organ_volumes_ml
from organome.domain.canaries import Canary, ReferenceScan
from organome.domain.errors import ScanError, SetupError
from organome.domain.organs import Organ
from organome.domain.outcomes import JsonValue, Outcome, Status
from organome.io.canaries.references import file_sha256, write_canary
from organome.io.files.atomic import ATTEMPT, publish_folder
from organome.io.images.image_files import read_image
from organome.io.images.labelmaps import labelmap_content, labelmap_path
from organome.io.machine.machines import read_machine
from organome.io.tables.ledgers import LEDGER, read_ledger
from organome.io.tables.parquet import read_table
from organome.io.tables.schemes import scheme_of_labelmaps
from organome.io.tables.step_settings import read_settings

# Settings of segment_organs with which a labelmap is what the model gives for one image.
_PLAIN: Final = frozenset(
    {
        *("source", "model_name", "model_digest", "tile_step_size", "scheme"),
        *("contrasts", "fold_labels", "fold_average", "precision"),
    }
)
_COMPARED: Final = ("scheme", "tile_step_size", "precision")


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
) -> MadeCanary:
    """Copy labelled scans of a shard, and write down what their labelmaps depend on.

    Look at the labelmaps first: every machine must reproduce what is wrong in them, too.

    Args:
        images: Folder of the shard that prepare_images published.
        labelmaps: Folder of the shard that segment_organs published, with a model.
        output: Folder to write; one that is there is replaced.
        n_scans: Scans to take, spread over those of the shard that went through.

    Raises:
        SetupError: The shard has fewer scans that went through, or its labelmaps were made without
            a model, by a vote or with repairs; or a file of it is not whole.
    """
    labelled = read_ledger(labelmaps / LEDGER)
    settings = read_settings(labelmaps)
    _check_settings(settings)
    picked = _pick(labelled, n_scans)
    structures = scheme_of_labelmaps(labelmaps, labelled).structures
    with _beside(output) as folder:
        made = Canary(
            model_name=str(settings["model_name"]),
            model_digest=str(settings["model_digest"]),
            settings={name: settings[name] for name in _COMPARED if name in settings},
            labelled_on=_hosts(labelmaps / LEDGER, picked),
            packed_on=read_machine("auto"),
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


def _check_settings(settings: Mapping[str, JsonValue]) -> None:
    """Raise if labelmaps that were made with these settings are not a model's of one image."""
    if settings["source"] != "model":
        raise SetupError("the labelmaps of this shard were not made by a model")
    if other := sorted(settings.keys() - _PLAIN):
        raise SetupError(
            f"the labelmaps of this shard were made with {', '.join(other)}: take a shard that was"
            " segmented without"
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

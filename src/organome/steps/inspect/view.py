"""view: a picture of one scan and its facts, in the terminal, as PNG, or opened in a viewer."""

import shutil
import sys
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Final

from PIL import Image

from organome.compute.labelmaps.remapping import label_extents
from organome.compute.pictures.legend import draw_legend, half_blocks, stack
from organome.compute.pictures.overview import draw_overview
from organome.compute.pictures.planes import Body
from organome.compute.pictures.planes_picture import draw_planes
from organome.domain.errors import SetupError
from organome.domain.organs import Organ
from organome.domain.outcomes import Status
from organome.domain.scans import Scan
from organome.io.files.atomic import atomic_path, write_bytes_atomic
from organome.io.images.labelmaps import labelmap_content, labelmap_path
from organome.io.labelled import LabelledShard
from organome.io.runs import Run, open_run
from organome.io.tables.ledgers import LEDGER, read_ledger
from organome.io.tables.pictures import read_pictures
from organome.io.tables.schemes import scheme_of_labelmaps
from organome.io.viewers.itk_snap import write_workspace
from organome.io.viewers.slicer import SUFFIX, write_scene, write_slicer_segmentation
from organome.steps.inspect import show

_LARGE_PX: Final = (1400, 600)
_STEPS: Final = ("prepare_images", "segment_organs")


@dataclass(frozen=True, slots=True, eq=False)
class ScanView:
    """What is shown of a scan.

    Attributes:
        facts: Its history, as `organome show` prints it.
        picture: The picture as text; empty where nothing shows colours.
        written: Files that were written.
    """

    facts: str
    picture: str
    written: tuple[Path, ...]

    def __str__(self) -> str:
        """Write it as text."""
        lines = [self.picture, self.facts, *(f"written: {path}" for path in self.written)]
        return "\n".join(line for line in lines if line)


def run(
    scan: str,
    run_folder: Path = Path(),
    /,
    *,
    organ: str | None = None,
    png: Path | None = None,
    slicer: Path | None = None,
    itksnap: Path | None = None,
    picture: bool = True,
) -> ScanView:
    """Show a scan: its picture where a terminal is there, and what the run knows of it.

    Drawn anew where the images were kept, else as it was drawn while they were there.

    Args:
        scan: Its key, as logs and tables have it: 0003-0017.
        run_folder: Run folder; where you stand, if not named.
        organ: Lay the planes through this organ.
        png: File to write the pictures to, with a legend.
        slicer: Folder to write image, segmentation and a scene script for 3D Slicer into.
        itksnap: Folder to write image, labelmap and a workspace for ITK-SNAP into.
        picture: Whether a terminal shows the picture, which takes 24-bit colours.

    Raises:
        SetupError: It is not a run folder, no such scan is listed, or what is asked for needs an
            image or labelmap that is not there.
    """
    place = open_run(run_folder)
    history = show.run(scan, run_folder)
    kept = _Kept.find(place, show.listed_scan(place, scan))
    pictures = kept.drawn(organ) if kept else _stored(place, scan, organ)
    written: list[Path] = []
    if png is not None:
        if not pictures:
            raise SetupError(f"{scan}: no picture of it was drawn, and its image was not kept")
        with atomic_path(png) as temporary:
            legend = draw_legend(_structures(place, scan))
            stack([*pictures, legend]).save(temporary, "PNG")
        written.append(png)
    for folder, write in ((slicer, _Kept.write_for_slicer), (itksnap, _Kept.write_for_itk_snap)):
        if folder is None:
            continue
        if kept is None:
            raise SetupError(f"{scan}: not segmented, or its image not kept (keep_images: true)")
        written.append(write(kept, folder))
    text = ""
    if pictures and picture and sys.stdout.isatty():
        text = half_blocks(pictures[0], shutil.get_terminal_size().columns)
    return ScanView(str(history), text, tuple(written))


@dataclass(frozen=True, slots=True)
class _Kept:
    """A scan that was segmented, and whose image is still there."""

    scan: Scan
    shard: LabelledShard

    @classmethod
    def find(cls, place: Run, scan: Scan) -> "_Kept | None":
        """Find it; None where there is nothing to draw from."""
        shard = scan.scan.partition("-")[0]
        images, labelmaps = (place.results / step / shard for step in _STEPS)
        if not all((folder / LEDGER).is_file() for folder in (images, labelmaps)):
            return None
        published = LabelledShard.open(images, labelmaps, [scan])
        labelled = published.labelled.get(scan.scan)
        if labelled is None or labelled.status is not Status.DONE:
            return None
        kept = cls(scan, published)
        return kept if kept.image.is_file() else None

    @property
    def contrast(self) -> str:
        """The contrast that was labelled."""
        return str(self.shard.labelled[self.scan.scan].facts["contrast"])

    @property
    def image(self) -> Path:
        """File of the image that was labelled."""
        return self.shard.images / f"{self.scan.scan}_{self.contrast}.nii.gz"

    def drawn(self, organ: str | None) -> list[Image.Image]:
        """Draw planes and overview, larger than they are stored.

        Raises:
            SetupError: The organ is not one of the run, or not in this scan.
        """
        image = self.shard.read_image(self.scan, self.contrast)
        labelmap = self.shard.read_labelmap(self.scan)
        body = Body.of(image, labelmap, self.shard.seen_xyz(self.scan))
        structures = self.shard.scheme.structures
        wanted = next((one for one in structures if one.name == organ), None)
        if organ is not None and (wanted is None or wanted.label not in body.labels_zyx):
            raise SetupError(f"--organ {organ}: not found in {self.scan.scan}")
        facts = self.shard.prepared[self.scan.scan].facts
        planes = draw_planes(body, structures, self.contrast, wanted, most_px=_LARGE_PX)
        return [planes.image, draw_overview(body, structures, self.contrast, facts).image]

    def write_for_slicer(self, folder: Path) -> Path:
        """Write image, segmentation and the script that shows both."""
        labelmap = self.shard.read_labelmap(self.scan)
        segmentation = folder / f"{self.scan.scan}{SUFFIX}"
        structures = self.shard.scheme.structures
        write_slicer_segmentation(segmentation, labelmap, structures, label_extents(labelmap))
        scene = folder / f"{self.scan.scan}_scene.py"
        write_scene(scene, image=self._copy_image(folder).name, segmentation=segmentation.name)
        return scene

    def write_for_itk_snap(self, folder: Path) -> Path:
        """Write image, labelmap and a workspace of both."""
        labelmap = folder / labelmap_path(folder, self.scan.scan).name
        write_bytes_atomic(
            labelmap, labelmap_content(labelmap_path(self.shard.labelmaps, self.scan.scan))
        )
        workspace = folder / f"{self.scan.scan}.itksnap"
        write_workspace(
            workspace,
            image=self._copy_image(folder),
            labelmap=labelmap,
            structures=self.shard.scheme.structures,
        )
        return workspace

    def _copy_image(self, folder: Path) -> Path:
        copy = folder / self.image.name
        with atomic_path(copy) as temporary:
            shutil.copyfile(self.image, temporary)
        return copy


def _structures(place: Run, scan: str) -> tuple[Organ, ...]:
    """Return what the labels of a scan mean."""
    labelmaps = place.results / "segment_organs" / scan.partition("-")[0]
    return scheme_of_labelmaps(labelmaps, read_ledger(labelmaps / LEDGER)).structures


def _stored(place: Run, scan: str, organ: str | None) -> list[Image.Image]:
    """Read the pictures that were drawn while the image was there."""
    rows = read_pictures(place.results, scan)
    wanted = [row for row in rows if organ in (None, row["organ"])]
    if organ is not None and rows and not wanted:
        raise SetupError(f"--organ {organ}: not drawn of {scan}, and its image was not kept")
    return [Image.open(BytesIO(row["webp"])).convert("RGB") for row in wanted]

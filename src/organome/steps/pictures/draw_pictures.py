"""draw_pictures: image + labelmap -> some small pictures of each scan, a row each.

They are for people to look at: no table is made from them, and a scan that cannot be drawn keeps
its rows. Each scan leaves a small file, from which the shard's file is put together in the end.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from organome.compute.geometry.boxes import label_boxes
from organome.compute.geometry.grids import voxel_ml
from organome.compute.labelmaps.volumes import check_grid
from organome.compute.pictures.encoding import encode_webps
from organome.compute.pictures.overview import draw_overview
from organome.compute.pictures.planes import Body
from organome.compute.pictures.planes_picture import draw_planes
from organome.domain.errors import SetupError
from organome.domain.organs import Organ
from organome.domain.outcomes import JsonValue, Outcome, Status
from organome.domain.pictures import MAX_SCAN_BYTES, PICTURES_FILE
from organome.domain.rows import scan_key_values
from organome.domain.scans import Scan
from organome.domain.volume_bounds import implausible_size
from organome.io.labelled import LabelledShard
from organome.io.tables.parquet import parse_table, without_meanings, write_table
from organome.io.tables.pictures import pictures_to_arrow
from organome.io.tables.scan_lists import read_shard
from organome.shards.packing import Packing
from organome.shards.run import run_shard
from organome.shards.work_folder import CollectedFiles

PACK: Final = "pictures.zip"


def run(
    *,
    shard: Path,
    images: Path,
    labelmaps: Path,
    output: Path,
    work: Path,
    organs: Sequence[str] = (),
    max_organs: int = 2,
    n_processes: int = 1,
    max_same_reason_share: float = 0.5,
    on_outcome: Callable[[Outcome], None] | None = None,
) -> tuple[Outcome, ...]:
    """Draw pictures of all scans of a shard.

    Args:
        shard: List of the shard's scans.
        images: Folder of the shard that prepare_images published.
        labelmaps: Folder of the shard that segment_organs published.
        output: Folder to publish: the ledger, ``pictures.parquet``, and in one archive the pictures
            of each scan, from which a later run puts it together.
        work: Folder for what is under way.
        organs: Organs through which planes are drawn in every scan.
        max_organs: Organs of a scan, these included, through which planes are drawn at most; the
            others are those whose side or size is in doubt.
        n_processes: Scans that are drawn at the same time.
        max_same_reason_share: Above this share of scans failing for one reason, the job stops.
        on_outcome: Called after each scan.

    Returns:
        One outcome per scan, in order.

    Raises:
        SetupError: If an organ is not one of the run, or a step before has not been through.
    """
    scans = read_shard(shard)
    published = LabelledShard.open(images, labelmaps, scans)
    step = DrawPictures(
        scans,
        published,
        CollectedFiles(work, output, PACK),
        organs=organs,
        max_organs=max_organs,
    )
    return run_shard(
        step,
        scans=scans,
        upstream=published.labelled,
        output=output,
        work=work,
        workers=[step] * n_processes,
        max_same_reason_share=max_same_reason_share,
        packing=Packing(PACK, wanted=True),
        on_outcome=on_outcome,
    )


class DrawPictures:
    """Drawing, a scan at a time."""

    name = "draw_pictures"
    version = 1

    def __init__(
        self,
        scans: Sequence[Scan],
        published: LabelledShard,
        collected: CollectedFiles,
        *,
        organs: Sequence[str],
        max_organs: int,
    ) -> None:
        self._scans = {scan.scan: scan for scan in scans}
        self._published = published
        self._collected = collected
        self._max_organs = max_organs
        by_name = {one.name: one for one in published.scheme.structures}
        if unknown := [name for name in organs if name not in by_name]:
            raise SetupError(f"pictures.organs: {unknown[0]} is not an organ of this run")
        self._organs = [by_name[name] for name in organs]

    def settings(self) -> Mapping[str, JsonValue]:
        """All settings that change results."""
        return {"organs": [one.name for one in self._organs], "max_organs": self._max_organs}

    def input_identity(self, scan: Scan, upstream: Outcome | None) -> JsonValue:  # noqa: ARG002
        """The outcomes before and the labelmap."""
        return self._published.identity(scan)

    def run_scan(
        self, scan: Scan, upstream: Outcome | None, place: Callable[[str], Path]
    ) -> Mapping[str, JsonValue]:
        """Draw one scan.

        Raises:
            ScanError: If the labelmap does not fit the image, or a file is broken.
        """
        assert upstream is not None
        published, contrast = self._published, str(upstream.facts["contrast"])
        labelmap, image = published.read_labelmap(scan), published.read_image(scan, contrast)
        check_grid(labelmap, [image])
        body = Body.of(image, labelmap, published.seen_xyz(scan))
        structures = published.scheme.structures
        facts = published.prepared[scan.scan].facts
        drawn = [
            draw_planes(body, structures, contrast),
            draw_overview(body, structures, contrast, facts),
        ]
        for organ in self._in_question(body, upstream, voxel_ml(labelmap)):
            drawn.append(draw_planes(body, structures, contrast, organ))
        files = encode_webps(drawn, MAX_SCAN_BYTES)
        rows = [
            {
                **scan_key_values(scan),
                "picture": picture.kind.value,
                "organ": picture.organ,
                "webp": file,
                "width_px": picture.image.width,
                "height_px": picture.image.height,
                "mm_per_px": picture.mm_per_px,
                "alt_text": picture.alt_text,
            }
            for picture, file in zip(drawn, files, strict=False)
        ]
        write_table(place(PICTURES_FILE), without_meanings(pictures_to_arrow(rows)))
        return {"n_pictures": len(files), "n_bytes": sum(map(len, files))}

    def _in_question(self, body: Body, labelled: Outcome, ml: float) -> list[Organ]:
        """Choose organs that are there: those asked for, then those in doubt."""
        found = label_boxes(body.labels_zyx)
        structures = [one for one in self._published.scheme.structures if one.label in found]
        sides = labelled.facts.get("sides") or {}

        def is_odd(organ: Organ) -> bool:
            box = found[organ.label]
            ends = zip(box, body.labels_zyx.shape, strict=True)
            if any(part.start == 0 or part.stop == size for part, size in ends):
                return False  # cut by the end of the image
            n_voxels = np.count_nonzero(body.labels_zyx[box] == organ.label)
            return implausible_size(organ.name, ml * n_voxels) is not None

        wanted = [
            *(one for one in self._organs if one in structures),
            *(one for one in structures if (sides.get(one.name) or {}).get("finding")),
            *filter(is_odd, structures),
        ]
        return list(dict.fromkeys(wanted))[: self._max_organs]

    def finish(self, outcomes: Sequence[Outcome], folder: Path) -> None:
        """Put the shard's pictures together."""
        tables = [pictures_to_arrow([]), *self._tables(outcomes)]
        whole = pa.concat_tables(without_meanings(one) for one in tables)
        write_table(folder / PICTURES_FILE, whole.cast(tables[0].schema))

    def _tables(self, outcomes: Sequence[Outcome]) -> Iterator[pa.Table]:
        for outcome in outcomes:
            if outcome.status is Status.DONE:
                yield self._collected.read(f"{outcome.scan}_{PICTURES_FILE}", parse_table)

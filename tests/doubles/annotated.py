"""A run folder with tables, images and labelmaps, as far as annotation reads it, made quickly."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from organome.domain.organs import ORGANS
from organome.domain.schemes import MRSEGMENTATOR
from organome.domain.tables import ORGAN_ROWS, SCANS
from organome.io.images.image_files import write_image
from organome.io.images.labelmaps import write_labelmap
from organome.io.tables.parquet import rows_to_arrow, write_table
from organome.io.tables.schemes import write_published_scheme

SECRET = "p9182736"
SIZE_ZYX = (6, 8, 10)
LIVER, SPLEEN, LEFT_KIDNEY = (
    next(one.label for one in ORGANS if one.name == name)
    for name in ("liver", "spleen", "left_kidney")
)


def predicted() -> np.ndarray:
    """Labels of three organs; 18, 8 and 4 voxels."""
    labels_zyx = np.zeros(SIZE_ZYX, np.uint8)
    labels_zyx[1:3, 1:4, 1:4] = LIVER
    labels_zyx[1:3, 5:7, 5:7] = SPLEEN
    labels_zyx[4, 1:3, 7:9] = LEFT_KIDNEY
    return labels_zyx


def picture_of(array_zyx: np.ndarray) -> sitk.Image:
    picture = sitk.GetImageFromArray(array_zyx)
    picture.SetSpacing((1.5, 2.0, 3.0))
    picture.SetOrigin((-7.0, 4.0, 11.0))
    return picture


def write_run(
    folder: Path,
    n_scans: int,
    *,
    scans: Mapping[int, Mapping[str, Any]] | None = None,
    organs: Mapping[int, Mapping[str, Any]] | None = None,
) -> Path:
    """Write a run folder.

    Args:
        folder: Where.
        n_scans: Scans, all done but the last one, which failed.
        scans: Further columns of the scan table by number of the scan.
        organs: Further columns of the liver's row by number of the scan.
    """
    rows, organ_rows = [], []
    for number in range(n_scans):
        key = f"0000-{number:04d}"
        done = number < n_scans - 1
        identity = {
            "cohort": "tiny",
            "participant": f"{SECRET}{number}",
            "instance": "2",
            "array": "0",
            "protocol": "t1",
            "scan": key,
        }
        status = {"status": "done" if done else "failed"}
        more = {} if scans is None else scans.get(number, {})
        contrast = {"contrast": "t1"} if done else {"reason": "file_broken"}
        rows.append({**identity, **status, **contrast, "organome_version": "0", **more})
        for organ in ORGANS:
            of_liver = (organs or {}).get(number, {}) if organ.label == LIVER else {}
            described = {
                "label": organ.label,
                "organ": organ.name,
                "region": organ.region.value,
                "side": organ.side.value,
            }
            organ_rows.append({**identity, **status, **described, **of_liver})
        if done:
            image = picture_of(np.full(SIZE_ZYX, number, np.int16))
            path = folder / "results" / "prepare_images" / "0000" / f"{key}_t1.nii.gz"
            write_image(path, image)
            labelmap = folder / "results" / "segment_organs" / "0000" / f"{key}_labels.nii.gz"
            write_labelmap(labelmap, picture_of(predicted()), MRSEGMENTATOR, grid_of=path)
    write_published_scheme(folder / "results" / "segment_organs" / "0000", MRSEGMENTATOR)
    tables = folder / "results" / "tables"
    write_table(tables / "scans" / "part-0000.parquet", rows_to_arrow(SCANS, rows))
    write_table(tables / "organs" / "part-0000.parquet", rows_to_arrow(ORGAN_ROWS, organ_rows))
    return folder

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from organome.domain.errors import SetupError
from organome.domain.outcomes import Outcome, Reason, Status
from organome.domain.scans import Scan
from organome.io.images.image_files import write_image
from organome.io.tables.ledgers import LEDGER, write_ledger
from organome.io.tables.parquet import read_table
from organome.io.tables.scan_lists import write_shard
from organome.steps.radiomics.measure_overlaps import run

SLICE_MM, N_SLICES, N_SHARED = 4.0, 20, 8
MEAN = "original_firstorder_Mean"


def body(person: int) -> Any:
    """Draw one person: a noisy liver through all slices of both stations."""
    n = 2 * N_SLICES - N_SHARED
    return np.random.default_rng(person).normal(400, 80, (n, 16, 16)).astype(np.int16)


def write_station(folder: Path, scan: Scan, *, first: int) -> None:
    """Write what a station shows, from its lowest slice up."""
    voxels_zyx = body(int(scan.participant))[first : first + N_SLICES]
    labels_zyx = np.zeros(voxels_zyx.shape, np.uint8)
    labels_zyx[:, 4:12, 4:12] = 5
    for step, name, array in (
        ("prepare_images", "water", voxels_zyx),
        ("segment_organs", "labels", labels_zyx),
    ):
        image = sitk.GetImageFromArray(array)
        image.SetSpacing((2.0, 2.0, SLICE_MM))
        image.SetOrigin((0.0, 0.0, SLICE_MM * first))
        write_image(folder / "results" / step / "0000" / f"{scan.scan}_{name}.nii.gz", image)


def write_run(folder: Path, *, failed: Sequence[str] = ()) -> None:
    scans, prepared, labelled = [], [], []
    for person in range(3):
        for station, first in ((1, N_SLICES - N_SHARED), (2, 0)):
            key = f"0000-{len(scans):04d}"
            scan = Scan(key, "demo", str(person), "2", "0", "dixon", (), station=station)
            write_station(folder, scan, first=first)
            done = Outcome(key, "prepare_images", Status.DONE, "f", facts={"contrasts": ["water"]})
            prepared.append(done)
            if key in failed:
                bad = replace(done, status=Status.FAILED, reason=Reason.OUT_OF_MEMORY, fact="large")
                labelled.append(replace(bad, step="segment_organs", facts={}))
            else:
                facts = {"contrast": "water", "scheme": "mrsegmentator"}
                labelled.append(replace(done, step="segment_organs", facts=facts))
            scans.append(scan)
    write_shard(folder / "scans" / "0000.parquet", scans)
    write_ledger(folder / "results" / "prepare_images" / "0000" / LEDGER, prepared)
    write_ledger(folder / "results" / "segment_organs" / "0000" / LEDGER, labelled)
    (folder / "ct.yaml").write_text("setting: {binWidth: 25}")


def measure(folder: Path, *, output: str = "overlaps", **more: Any) -> list[dict[str, Any]]:
    run(
        scans=folder / "scans",
        results=folder / "results",
        output=folder / output,
        work=folder / "work" / output,
        settings=[f"water={folder / 'ct.yaml'}"],
        **more,
    )
    rows: list[dict[str, Any]] = read_table(
        folder / output / "0000" / "overlaps.parquet"
    ).to_pylist()
    return rows


def test_both_stations_measure_the_same_tissue(tmp_path: Path) -> None:
    write_run(tmp_path)
    rows = measure(tmp_path)
    assert [(row["participant"], row["station"], row["seam"]) for row in rows] == [
        (str(person), station, 1) for person in range(3) for station in (1, 2)
    ]
    for above, below in zip(rows[::2], rows[1::2], strict=True):
        assert above["n_voxels"] == N_SHARED * 8 * 8
        assert above[MEAN] == below[MEAN]
        shared = body(int(above["participant"]))[N_SLICES - N_SHARED : N_SLICES, 4:12, 4:12]
        assert above[MEAN] == pytest.approx(shared.mean())


def test_processes_change_no_byte_and_a_second_run_keeps_all(tmp_path: Path) -> None:
    write_run(tmp_path)
    alone = measure(tmp_path)
    assert measure(tmp_path, output="together", n_processes=2) == alone
    tables = [tmp_path / name / "0000" / "overlaps.parquet" for name in ("overlaps", "together")]
    assert tables[0].read_bytes() == tables[1].read_bytes()
    assert measure(tmp_path) == alone


def test_station_that_failed_leaves_its_neighbour_out(tmp_path: Path) -> None:
    write_run(tmp_path, failed=["0000-0003"])
    assert [row["participant"] for row in measure(tmp_path)] == ["0", "0", "2", "2"]


def test_cohort_without_stations_stops(tmp_path: Path) -> None:
    write_run(tmp_path)
    path = tmp_path / "scans" / "0000.parquet"
    scans = [Scan(f"0000-{n:04d}", "demo", str(n), "2", "0", "dixon", ()) for n in range(6)]
    write_shard(path, scans)
    with pytest.raises(SetupError, match="stations: separate"):
        measure(tmp_path)

"""Stability of features where labels or images of a run are a little changed."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from doubles.measurable import MeasurableShard
from doubles.radiomics import write_cohort
from organome.domain.errors import SetupError
from organome.io.images.image_files import write_image
from organome.io.tables.parquet import read_table
from organome.io.tables.scan_lists import write_shard
from organome.steps.radiomics.perturbed import measure_perturbed
from organome.steps.radiomics.radiomics_stability import run

VOLUME, MEAN = "original_shape_VoxelVolume", "original_firstorder_Mean"
CONFIG = """
cohort: {name: demo, kind: folder, root: nowhere}
radiomics: {contrasts: {water: water.yaml, fat_fraction: water.yaml}}
"""
SETTINGS = "setting: {binWidth: 20}\nfeatureClass: {shape: , firstorder: }\n"
FACTS: dict[str, dict[str, Any]] = {
    "prepare_images": {"contrasts": ("fat", "water")},
    "segment_organs": {"contrast": "water", "scheme": "amos22"},
}
SIZE_ZYX = (14, 15, 16)


def write_run(folder: Path, people: range, *, moved: int = 0, **facts: Any) -> MeasurableShard:
    """Write a run of livers of several sizes and brightnesses, and of a spleen that is cut."""
    prepared = {**FACTS["prepare_images"], **facts}
    shard = MeasurableShard(folder, {**FACTS, "prepare_images": prepared}, n_scans=len(people))
    shard.scans = [
        replace(scan, participant=f"00{person}")
        for scan, person in zip(shard.scans, people, strict=True)
    ]
    write_shard(shard.listing, shard.scans)
    for scan, person in zip(shard.scans, people, strict=True):
        chance = np.random.default_rng(person)
        labels_zyx = np.zeros(SIZE_ZYX, np.uint8)
        labels_zyx[2:9, 3 + moved : 8 + person % 3 + moved, 3:9] = 5
        labels_zyx[10:, 11:, 11:] = 1
        images: dict[str, Any] = {
            contrast: chance.normal(400 + 40 * person, 20, SIZE_ZYX).astype(np.int16)
            for contrast in ("fat", "water")
        }
        for name, voxels_zyx in {**images, "labels": labels_zyx}.items():
            image = sitk.GetImageFromArray(voxels_zyx)
            image.SetSpacing((2.0, 2.0, 3.0))
            into = shard.labelmaps if name == "labels" else shard.images
            write_image(into / f"{scan.scan}_{name}.nii.gz", image)
    shard.write_ledgers()
    (folder / "config.yaml").write_text(CONFIG)
    (folder / "water.yaml").write_text(SETTINGS)
    return shard


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("perturbed")
    write_cohort(folder, 3, n_visits=1)
    write_run(folder / "run", range(6))
    write_run(folder / "other", range(1, 6), moved=1)  # other keys, and a scan less
    said = run(
        tables=folder / "tables",
        output=folder / "s.parquet",
        perturb=folder / "run",
        other_runs=[folder / "other"],
    )
    return str(said), read_table(folder / "s.parquet").to_pylist()


def icc(rows: list[dict[str, Any]], repeat: str, feature: str, contrast: str = "water") -> Any:
    (row,) = (
        row
        for row in rows
        if (row["repeat"], row["feature"], row["contrast"]) == (repeat, feature, contrast)
    )
    assert row["organ"] == "liver"
    return row["icc_agreement"]


def test_each_perturbation_has_rows_of_whole_organs(measured: Any) -> None:
    said, rows = measured
    kinds = {(row["repeat"], row["organ"], row["contrast"]): row["n_pairs"] for row in rows}
    assert kinds == {
        (repeat, "liver", contrast): 5 if repeat == "labelmaps" else 6
        for repeat in ("mask", "translation", "noise", "labelmaps")
        for contrast in ("water", "fat_fraction")
    }
    assert all(f"{repeat} " in said for repeat in ("mask", "translation", "noise", "labelmaps"))


def test_what_a_perturbation_leaves_alone_repeats_and_the_rest_less(measured: Any) -> None:
    _, rows = measured
    for repeat in ("translation", "noise"):
        assert icc(rows, repeat, VOLUME) == pytest.approx(1)
        assert 0.9 < icc(rows, repeat, MEAN) < 1
    # A voxel more or less all around changes volumes by more than people differ here.
    assert icc(rows, "mask", VOLUME) < 0.5
    assert icc(rows, "mask", MEAN) > 0.9
    assert icc(rows, "labelmaps", VOLUME) == pytest.approx(1)
    assert icc(rows, "labelmaps", MEAN) < 1
    # Water is as bright as fat in all of them.
    assert icc(rows, "noise", MEAN, "fat_fraction") < 0.9


def test_fat_and_water_that_are_exchanged_are_left_out(tmp_path: Path) -> None:
    spans: dict[str, Any] = {"swapped_spans_mm": [[0, 60]], "unjudged_spans_mm": []}
    write_run(tmp_path, range(2), fat_water="swapped", **spans)
    assert measure_perturbed(tmp_path, [], 2)[1] == {}


def test_runs_that_cannot_be_perturbed_are_refused(tmp_path: Path) -> None:
    write_cohort(tmp_path, 3, n_visits=1)
    tables, output = tmp_path / "tables", tmp_path / "s.parquet"
    with pytest.raises(SetupError, match="--perturb, which is missing"):
        run(tables=tables, output=output, other_runs=[tmp_path])
    with pytest.raises(SetupError, match="no config"):
        run(tables=tables, output=output, perturb=tmp_path)
    (tmp_path / "config.yaml").write_text("cohort: {name: demo, kind: folder, root: nowhere}")
    with pytest.raises(SetupError, match="names no image"):
        run(tables=tables, output=output, perturb=tmp_path)
    (tmp_path / "config.yaml").write_text(CONFIG)
    (tmp_path / "water.yaml").write_text(SETTINGS)
    with pytest.raises(SetupError, match="no scan of it is labelled"):
        run(tables=tables, output=output, perturb=tmp_path)

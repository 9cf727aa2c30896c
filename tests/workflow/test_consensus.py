"""Two phantom scans, one with fat and water exchanged, through the workflow with a vote."""

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from doubles.cohorts import Run
from doubles.labelled_shard import write_tiny_model
from doubles.plans import CONFIGURATION
from organome.domain.organs import USUAL_SIDES
from organome.phantoms import make_phantoms
from organome.phantoms.delivery.defects import Defect, Format

CONFIG = """\
cohort: {name: phantoms, kind: folder, root: ../cohort/nifti/scans.tsv, protocols: [dixon]}
shard_size: 2
segment:
  model: ../model
  device: cpu
  tile_step_size: 1.0
  combine: consensus
  fold_agreement: true
pictures: {enabled: false}
"""


def write_model(folder: Path) -> None:
    """Write a model of two folds that see different things in noise, coarsely and in few tiles."""
    for fold in (0, 1):
        write_tiny_model(folder.with_name(f"fold_{fold}"), seed=fold)
    shutil.copytree(folder.with_name("fold_0"), folder)
    shutil.copytree(folder.with_name("fold_1") / "fold_0", folder / "fold_1")
    plans = json.loads((folder / "plans.json").read_text())
    coarse = {"spacing": [8.0, 7.0, 7.0], "patch_size": [64, 64, 80]}
    plans["configurations"][CONFIGURATION] |= coarse
    (folder / "plans.json").write_text(json.dumps(plans))


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the workflow with random weights: labels mean nothing, and much is found of each."""
    folder = tmp_path_factory.mktemp("consensus")
    make_phantoms.run(
        output=folder / "cohort",
        preset="tiny",
        n_participants=2,
        n_repeats=0,
        n_ct=0,
        formats=[Format.NIFTI],
        defects=[Defect.SWAPPED_FAT_WATER],
        reduce=4,
        labelmaps=False,
    )
    write_model(folder / "model")
    run = Run(folder / "run", shard_size=2)
    (run.folder / "config.yaml").write_text(CONFIG)
    run.whole()
    return run.folder / "results" / "tables"


def test_the_row_names_what_votes_and_swapped_contrasts_do_not(tables: Path) -> None:
    scans = {row["fat_water"]: row for row in pq.read_table(tables / "scans").to_pylist()}
    sound, swapped = scans["sound"], scans["swapped"]
    assert sound["consensus_contrasts"] == "water;opposed_phase;fat;in_phase"
    assert (sound["contrast"], sound["contrast_choice"]) == ("water", "preferred")
    assert (sound["contrasts_left_out"], sound["flags"]) == (None, "")
    assert swapped["consensus_contrasts"] == "opposed_phase;in_phase"
    assert swapped["contrast_choice"] == "preferred_swapped"
    assert swapped["contrasts_left_out"] == "water:swapped;fat:swapped"
    assert swapped["flags"] == "fat_water_swapped"


def test_every_organ_that_was_found_has_its_agreement(tables: Path) -> None:
    rows = pq.read_table(tables / "organs").to_pylist()
    found = [row for row in rows if row["n_voxels"]]
    assert found
    for row in found:
        assert 0 <= row["contrast_dice"] <= 1
        assert row["contrast_volume_sd_ml"] >= 0
    # An organ that only the mean of the folds shows has no agreement of folds.
    by_folds = [row for row in found if row["fold_dice"] is not None]
    assert by_folds
    for row in by_folds:
        assert 0 <= row["fold_dice"] < 1
        assert row["fold_volume_sd_ml"] >= 0
    unseen = [row for row in rows if row["contrast_dice"] is None]
    assert all(row["n_voxels"] == 0 and row["contrast_volume_sd_ml"] is None for row in unseen)


def test_sides_are_told_of_organs_that_have_one(tables: Path) -> None:
    rows = pq.read_table(tables / "organs").to_pylist()
    for row in rows:
        if row["side_suspect"] is not None:
            assert row["n_voxels"]
            assert row["side"] != "none" or row["organ"] in USUAL_SIDES
            assert row["side_suspect"] == (row["side_finding"] is not None)
    assert any(row["side_suspect"] is not None for row in rows)
    assert {row["side_moved_ml"] for row in rows} == {None}

"""Labelmaps with planted errors through the real `snakemake evaluate`.

What is expected here is worked out by hand from the boxes below.
"""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk

from doubles.cohorts import SIZE_ZYX, Run
from organome.domain.organs import ORGAN_BY_NAME

SPACING_XYZ_MM = (1.5, 1.5, 3.0)  # that of the authors' script: its profile resamples nothing here
CONFIG = "evaluate: {references: ../cohort/references.tsv, n_bootstrap: 100}\n"
PEOPLE = ("zzalice", "zzbob", "zzcarol", "zzdave", "zzerin", "zzfrank")
AMOS22_LABELS = {"spleen": 1, "liver": 6, "urinary_bladder": 14, "prostate": 15}

Boxes = dict[str, tuple[slice, slice, slice]]


def box(z: int, y: int, x: int, *size_zyx: int) -> tuple[slice, slice, slice]:
    near = (z, y, x)
    z_slice, y_slice, x_slice = (slice(a, a + n) for a, n in zip(near, size_zyx, strict=True))
    return z_slice, y_slice, x_slice


LIVER = box(2, 3, 2, 4, 4, 4)
SPLEEN = box(3, 8, 9, 2, 2, 2)
KIDNEY = box(8, 2, 2, 2, 2, 2)


def label_of(organ: str) -> int:
    return ORGAN_BY_NAME[organ].label


def labelmap(organs: Boxes, label: Callable[[str], int] = label_of) -> sitk.Image:
    voxels_zyx = np.zeros(SIZE_ZYX, np.uint8)
    for organ, place in organs.items():
        voxels_zyx[place] = label(organ)
    image = sitk.GetImageFromArray(voxels_zyx)
    image.SetSpacing(SPACING_XYZ_MM)
    return image


def other_grid() -> sitk.Image:
    image = labelmap({"liver": LIVER})
    image.SetSpacing((1.5, 1.5, 4.0))
    return image


def cohort(folder: Path) -> None:
    """Write images, labelmaps and references of six people; one labelmap is cut off."""
    shifted = box(2, 3, 3, 4, 4, 4)  # by one voxel of four: 48 of 64 voxels are shared
    liver, both = {"liver": LIVER}, {"liver": LIVER, "spleen": SPLEEN}
    amos22 = labelmap(
        both | {"urinary_bladder": KIDNEY, "prostate": box(10, 2, 2, 1, 2, 2)},
        AMOS22_LABELS.__getitem__,
    )
    # Participant, instance, dataset; prediction, and reference with its scheme.
    scans: list[tuple[str, str, str, Boxes, sitk.Image | None, str]] = [
        (
            *("zzalice", "1", "alpha"),
            {"liver": shifted, "spleen": SPLEEN, "left_kidney": KIDNEY},
            labelmap(both | {"right_kidney": KIDNEY}),
            "mrsegmentator",
        ),
        ("zzalice", "2", "alpha", liver, labelmap(both), "mrsegmentator"),
        (
            *("zzbob", "1", "alpha"),
            both | {"spleen": box(3, 8, 9, 2, 2, 4)},  # 8 voxels, of which 16 are made
            sitk.DICOMOrient(labelmap(both), "RAS"),
            "mrsegmentator",
        ),
        ("zzcarol", "1", "alpha", both, labelmap(both), "mrsegmentator"),
        ("zzdave", "1", "", both, None, ""),
        ("zzerin", "1", "alpha", both, other_grid(), "mrsegmentator"),
        (
            *("zzfrank", "1", "amos22"),
            {"liver": LIVER, "spleen": SPLEEN, "pancreas": KIDNEY},
            amos22,
            "amos22",
        ),
    ]
    (folder / "files").mkdir(parents=True)
    listed = ["participant\tinstance\tprotocol\timage\tcontrast\tlabelmap"]
    references = ["participant\tinstance\tprotocol\tdataset\tmodality\treference\tscheme\tsex"]
    for number, (person, instance, dataset, predicted, reference, scheme) in enumerate(scans):
        files = [f"files/{number}_{kind}.nii.gz" for kind in ("image", "labels", "truth")]
        voxels_zyx = np.random.default_rng(number).normal(40, 10, SIZE_ZYX).astype(np.int16)
        image = sitk.GetImageFromArray(voxels_zyx)
        image.SetSpacing(SPACING_XYZ_MM)
        sitk.WriteImage(image, str(folder / files[0]))
        sitk.WriteImage(labelmap(predicted), str(folder / files[1]))
        listed.append(f"{person}\t{instance}\tct\t{files[0]}\tct\t{files[1]}")
        if reference is not None:
            sitk.WriteImage(reference, str(folder / files[2]))
            references.append(
                f"{person}\t{instance}\tct\t{dataset}\tct\t{files[2]}\t{scheme}\tfemale"
            )
        if person == "zzcarol":
            broken = folder / files[1]
            broken.write_bytes(broken.read_bytes()[:-40])
    (folder / "scans.tsv").write_text("\n".join(listed) + "\n")
    (folder / "references.tsv").write_text("\n".join(references) + "\n")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Evaluate the cohort in two shards; tests work on copies."""
    folder = tmp_path_factory.mktemp("evaluated")
    cohort(folder / "cohort")
    run = Run(folder / "run", shard_size=4, more=CONFIG)
    listed = run.snakemake("list_scans")
    assert listed.returncode == 0, listed.output
    result = run.snakemake("evaluate")
    assert result.returncode == 0, result.output
    return folder


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Run:
    copy = tmp_path / "copy"
    shutil.copytree(finished, copy)  # with the times of all files
    run = Run.__new__(Run)
    run.folder = copy / "run"
    return run


def table(run: Run | Path, name: str) -> pd.DataFrame:
    folder = run if isinstance(run, Path) else run.folder
    return pd.read_csv(folder / "results" / "evaluation" / "tables" / f"{name}.csv")


def classes(run: Run | Path, dataset: str) -> pd.DataFrame:
    frame = table(run, "classes")
    return frame[frame["set"] == f"{dataset} CT"].set_index("organ")


def macro(run: Run | Path, dataset: str) -> float:
    frame = table(run, "sequences")
    chosen = frame[(frame["set"] == f"{dataset} CT") & (frame["metric"] == "dice")]
    return float(chosen["mean"].item())


def test_dice_of_planted_errors_with_a_failed_scan_as_missed(finished: Path) -> None:
    found = classes(finished / "run", "alpha")
    assert found["dice"]["liver"] == pytest.approx((0.75 + 1 + 1 + 0) / 4)
    assert found["dice"]["spleen"] == pytest.approx((1 + 0 + 2 * 8 / 24 + 0) / 4)
    assert found["dice"]["right_kidney"] == found["dice"]["left_kidney"] == 0
    assert np.isnan(found["dice"]["aorta"])
    assert macro(finished / "run", "alpha") == pytest.approx((0.6875 + 5 / 12) / 4)


def test_empties_of_all_three_kinds_are_counted(finished: Path) -> None:
    counts = ["n_used", "n_missed", "n_falsely_added", "n_both_absent"]
    found = classes(finished / "run", "alpha")[counts]
    assert found.loc["liver"].to_list() == [4, 1, 0, 0]
    assert found.loc["spleen"].to_list() == [4, 2, 0, 0]
    assert found.loc["right_kidney"].to_list() == [1, 1, 0, 3]
    assert found.loc["left_kidney"].to_list() == [1, 0, 1, 3]
    assert found.loc["aorta"].to_list() == [0, 0, 0, 4]


def test_what_became_of_every_scan_is_said(finished: Path) -> None:
    frame = table(finished / "run", "scans")
    found = frame.groupby(["dataset", "compared"])["n_scans"].sum().to_dict()
    assert found == {
        ("alpha", "compared"): 3,
        ("alpha", "failed_counted"): 1,
        ("alpha", "not_comparable"): 1,
        ("amos22", "compared"): 1,
    }
    page = (finished / "run" / "results" / "evaluation" / "evaluation.md").read_text()
    assert "1 listed scans have no reference" in page


def test_amos22_is_evaluated_on_its_13_organs(finished: Path) -> None:
    found = classes(finished / "run", "amos22")
    assert len(found) == 13
    assert not {"urinary_bladder", "prostate"} & set(found.index)
    assert found["dice"][["liver", "spleen", "pancreas"]].to_list() == [1, 1, 0]
    assert found["dice_paper"]["liver"] == 0.96
    assert found["dice_difference"]["liver"] == pytest.approx(0.04)


def test_every_table_and_figure_is_there_and_names_nobody(finished: Path) -> None:
    folder = finished / "run" / "results" / "evaluation"
    tables = {path.stem for path in (folder / "tables").iterdir()}
    assert {"table_1_composition", "table_3_sequences", "table_a1_classes"} <= tables
    for name in tables:
        kinds = {path.suffix for path in (folder / "tables").glob(f"{name}.*")}
        assert kinds == {".csv", ".md", ".tex"}
    figures = {path.name for path in (folder / "figures").iterdir()}
    for stem in ("figure_1_planes", "figure_2_dice", "figure_3_cases"):
        assert {f"{stem}_alpha_ct.png", f"{stem}_alpha_ct.svg"} <= figures
    for path in folder.rglob("*"):
        if path.is_file():
            assert not re.search("|".join(PEOPLE).encode(), path.read_bytes()), path.name


@pytest.mark.slow
def test_released_profile_drops_failed_scans_and_what_was_falsely_added(run: Run) -> None:
    config = run.folder / "config.yaml"
    more = CONFIG.replace("n_bootstrap", "profile: mrsegmentator-released, n_bootstrap")
    config.write_text(config.read_text().replace(CONFIG, more))
    result = run.snakemake("evaluate")
    assert result.returncode == 0, result.output
    assert {rule for rule, _ in result.jobs} <= {"evaluate_labels", "write_evaluation", "evaluate"}
    found = classes(run, "alpha")
    assert found["dice"]["liver"] == pytest.approx(2.75 / 3)
    assert found["dice"]["spleen"] == pytest.approx((1 + 0 + 2 / 3) / 3)
    assert np.isnan(found["dice"]["left_kidney"])
    assert found["n_falsely_added"]["left_kidney"] == 1
    assert macro(run, "alpha") == pytest.approx((2.75 / 3 + 5 / 9 + 0) / 3)


def test_a_second_run_does_nothing_and_other_draws_write_the_report_only(run: Run) -> None:
    assert run.snakemake("evaluate").jobs == []
    config = run.folder / "config.yaml"
    config.write_text(config.read_text().replace("n_bootstrap: 100", "n_bootstrap: 200"))
    jobs = run.snakemake("evaluate", "--dry-run").jobs
    assert {rule for rule, _ in jobs} == {"write_evaluation", "evaluate"}


def test_without_references_the_key_is_named(run: Run) -> None:
    config = run.folder / "config.yaml"
    config.write_text(config.read_text().replace(CONFIG, ""))
    result = run.snakemake("evaluate")
    assert result.returncode != 0
    assert "evaluate.references is empty" in result.output

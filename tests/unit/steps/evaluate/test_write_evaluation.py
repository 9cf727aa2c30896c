"""Tables and figures of what evaluate_labels is said to have found: sexes, ages, volumes."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from doubles.places import REPOSITORY
from organome.domain.errors import SetupError
from organome.domain.evaluations import EVALUATED_SCANS, ORGAN_METRICS
from organome.domain.organs import ORGANS
from organome.domain.scans import Scan
from organome.io.tables.parquet import rows_to_arrow, write_table
from organome.io.tables.scan_lists import shard_path, write_shard
from organome.io.tables.step_settings import write_settings
from organome.steps.evaluate.write_evaluation import run

PUBLISHED = REPOSITORY / "config/published/mrsegmentator_2024.yaml"
SETTINGS = {"profile": "mrsegmentator-paper", "tolerance_mm": 2.0}
N_PEOPLE, CONTRASTS = 12, ("fat", "water")
AMOS22 = [
    "spleen",
    "right_kidney",
    "left_kidney",
    "gallbladder",
    "liver",
    "stomach",
    "pancreas",
    "right_adrenal_gland",
    "left_adrenal_gland",
    "aorta",
    "inferior_vena_cava",
    "esophagus",
    "duodenum",
]


def metrics_of(scan: str, sex: str, chance: np.random.Generator) -> list[dict]:
    rows = []
    for organ in ORGANS:
        gain = 0.1 if (sex, organ.name) == ("male", "pancreas") else 0.0
        dice = chance.uniform(0.6, 0.8) + gain
        volume_ml = chance.uniform(100, 200)
        rows.append(
            {
                **{"scan": scan, "label": organ.label, "organ": organ.name, "presence": "both"},
                **{"n_voxels_reference": 100, "n_voxels_predicted": 100},
                "volume_reference_ml": volume_ml,
                "volume_predicted_ml": volume_ml + 5 + chance.normal(),
                **{"dice": dice, "hd95_mm": 4.0, "hd95_penalised_mm": 4.0},
                **{"surface_dice": 0.9, "centreline_dice": None},
            }
        )
    return rows


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve people of two contrasts, as evaluate_labels leaves them."""
    folder = tmp_path_factory.mktemp("evaluated")
    chance = np.random.default_rng(3)
    scans, organs, rows = [], [], []
    lines = [
        "participant\tinstance\tarray\tprotocol\tdataset\tmodality\tcontrast\treference\tscheme"
    ]
    lines[0] += "\tsex\tage_years"
    for person in range(N_PEOPLE):
        sex = "male" if person % 2 else "female"
        for contrast in CONTRASTS:
            key, name = f"0000-{len(scans):04d}", f"zzperson{person}"
            scans.append(Scan(key, "c", name, "1", "1", f"dixon_{contrast}", ()))
            lines.append(
                f"{name}\t1\t1\tdixon_{contrast}\tnako\tmri\t{contrast}\tx.nii.gz\tmrsegmentator"
                f"\t{sex}\t{40 + 2 * person}"
            )
            rows.append({"scan": key, "compared": "compared", "contrast": contrast})
            organs += metrics_of(key, sex, chance)
    (folder / "scans").mkdir()
    write_shard(shard_path(folder / "scans", 0), scans)
    published = folder / "results" / "evaluate_labels" / "0000"
    published.mkdir(parents=True)
    rows = [{"reason": None, "fact": None} | row for row in rows]
    write_table(published / EVALUATED_SCANS.file_name, rows_to_arrow(EVALUATED_SCANS, rows))
    write_table(published / ORGAN_METRICS.file_name, rows_to_arrow(ORGAN_METRICS, organs))
    write_settings(published, SETTINGS)
    (folder / "references.tsv").write_text("\n".join(lines) + "\n")
    write(folder)
    return folder


def write(folder: Path, output: str = "evaluation", **settings: object) -> Path:
    run(
        scans=folder / "scans",
        results=folder / "results",
        references=folder / "references.tsv",
        published=PUBLISHED,
        output=folder / output,
        **{"n_bootstrap": 100, **settings},
    )
    return folder / output


def table(folder: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(folder / "evaluation" / "tables" / f"{name}.csv")


def dice(folder: Path) -> pd.DataFrame:
    """Dice by person (rows) and organ, of both contrasts the mean."""
    path = folder / "results/evaluate_labels/0000" / ORGAN_METRICS.file_name
    frame = pd.read_parquet(path)
    frame["person"] = frame["scan"].str[-4:].astype(int) // len(CONTRASTS)
    return frame.pivot_table(index="person", columns="organ", values="dice")


def test_sexes_are_compared_over_participants(evaluated: Path) -> None:
    found = table(evaluated, "sex_difference").set_index("classes")
    by_person = dice(evaluated)
    males, females = by_person.iloc[1::2], by_person.iloc[::2]
    overall = stats.ttest_ind(males.mean(axis=1), females.mean(axis=1), equal_var=False)
    assert found["welch_p_two_sided"]["all classes"] == pytest.approx(overall.pvalue)
    assert found["n_male"]["all classes"] == found["n_female"]["all classes"] == N_PEOPLE / 2
    assert found["difference_paper"]["all classes"] == pytest.approx(0.02)
    pancreas = stats.ttest_ind(males["pancreas"], females["pancreas"], equal_var=False)
    assert found.index[1] == "pancreas"  # the greatest difference
    assert found["p_bonferroni"]["pancreas"] == pytest.approx(40 * pancreas.pvalue)
    assert found["n_tests"]["pancreas"] == 40
    assert len(found) == 41


def test_age_is_correlated_over_participants(evaluated: Path) -> None:
    (found,) = table(evaluated, "age").to_dict("records")
    expected = stats.pearsonr(40 + 2 * np.arange(N_PEOPLE), dice(evaluated).mean(axis=1))
    assert found["n_participants"] == N_PEOPLE
    assert (found["r"], found["p_two_sided"]) == pytest.approx(tuple(expected))
    assert found["r_difference"] == pytest.approx(expected.statistic - 0.32)


def test_sets_are_the_whole_the_13_organs_and_each_contrast(evaluated: Path) -> None:
    found = table(evaluated, "sequences")
    found = found[found["metric"] == "dice"].set_index("set")
    assert found["n_scans"].to_dict() == {
        "nako MRI": 24,
        "nako MRI (13 organs of AMOS22)": 24,
        "nako fat": 12,
        "nako water": 12,
    }
    assert found["paper"].to_list() == [0.85, 0.81, 0.86, 0.84]
    assert found["mean"]["nako MRI"] == pytest.approx(dice(evaluated).mean().mean())
    thirteen = dice(evaluated)[AMOS22].mean().mean()
    assert found["mean"]["nako MRI (13 organs of AMOS22)"] == pytest.approx(thirteen)
    assert ((found["ci_low"] < found["mean"]) & (found["mean"] < found["ci_high"])).all()


def test_volumes_have_their_bias_and_limits(evaluated: Path) -> None:
    path = evaluated / "results/evaluate_labels/0000" / ORGAN_METRICS.file_name
    liver = pd.read_parquet(path).query("organ == 'liver'")
    differences = liver["volume_predicted_ml"] - liver["volume_reference_ml"]
    found = table(evaluated, "volumes").set_index("organ").loc["liver"]
    assert found["bias_ml"] == pytest.approx(differences.mean())
    errors = 100 * differences / liver["volume_reference_ml"]
    assert found["median_error_pct"] == pytest.approx(errors.median())
    upper = differences.mean() + stats.norm.ppf(0.975) * differences.std(ddof=1)
    assert found["upper_ml"] == pytest.approx(upper)
    assert 0.9 < found["icc"] < 1


def test_figures_of_the_paper_are_drawn_and_nobody_is_named(evaluated: Path) -> None:
    folder = evaluated / "evaluation"
    for name in ("figure_2_dice_nako_mri", "figure_a3_age_nako_mri"):
        for kind in ("png", "svg"):
            assert (folder / "figures" / f"{name}.{kind}").stat().st_size > 1000
    for path in folder.rglob("*.*"):
        assert not re.search(b"zzperson", path.read_bytes()), path.name


def test_the_column_fold_gives_a_table_by_fold(evaluated: Path, tmp_path: Path) -> None:
    assert not (evaluated / "evaluation/tables/folds.csv").exists()
    head, *lines = (evaluated / "references.tsv").read_text().splitlines()
    # Two lines a person: 24 scans, persons 0 to 5 in fold 0.
    lines = [f"{line}\t{place // 12}" for place, line in enumerate(lines)]
    (tmp_path / "references.tsv").write_text("\n".join([f"{head}\tfold", *lines]) + "\n")
    for name in ("scans", "results"):
        (tmp_path / name).symlink_to(evaluated / name)
    write(tmp_path, overlays=False)
    found = table(tmp_path, "folds").set_index("fold")
    by_person = dice(evaluated)
    expected = [by_person.iloc[:6].mean().mean(), by_person.iloc[6:].mean().mean()]
    assert found["dice"].to_list() == pytest.approx([*expected, sum(expected) / 2])
    assert found["n_participants"].to_list() == [6, 6, 12]
    assert "by fold of the cross-validation" in (tmp_path / "evaluation/evaluation.md").read_text()


def test_equal_input_gives_equal_bytes(evaluated: Path) -> None:
    again = write(evaluated, "again")
    for path in (evaluated / "evaluation").rglob("*.*"):
        relative = path.relative_to(evaluated / "evaluation")
        assert path.read_bytes() == (again / relative).read_bytes(), relative


def test_shards_of_other_settings_are_refused(evaluated: Path) -> None:
    with pytest.raises(SetupError, match="evaluated with other settings"):
        write(evaluated, "other", tolerance_mm=3.0)
    assert not (evaluated / "other").exists()


def test_references_of_other_people_are_refused(evaluated: Path, tmp_path: Path) -> None:
    text = (evaluated / "references.tsv").read_text().replace("zzperson", "zzother")
    (tmp_path / "references.tsv").write_text(text)
    for name in ("scans", "results"):
        (tmp_path / name).symlink_to(evaluated / name)
    with pytest.raises(SetupError, match="no reference is of a listed scan") as caught:
        write(tmp_path)
    assert "zz" not in str(caught.value)

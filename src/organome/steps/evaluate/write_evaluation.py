"""write_evaluation: what all shards found -> the tables and figures of the paper, and one page.

Nothing here names a participant: scans are named by their keys. Overlays show bodies, though, and
can be left out.
"""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from organome import __version__
from organome.domain.errors import ScanError
from organome.domain.evaluations import Compared, Profile, profile_by_name
from organome.domain.organs import ORGAN_BY_NAME, ORGANS, Organ
from organome.domain.outcomes import JsonValue
from organome.io.files.atomic import ATTEMPT, recover_folder, replace_folder, write_text_atomic
from organome.io.images.image_files import read_published
from organome.io.images.labelmaps import labelmap_path, read_labelmap
from organome.io.report_tables import (
    Picture,
    ReportTable,
    index_page,
    save_figure,
    write_table_files,
)
from organome.io.tables.references import read_references
from organome.io.tables.schemes import find_scheme
from organome.io.tables.step_settings import write_settings
from organome.shards.faults import machine_faults_stop_the_job
from organome.steps.evaluate import figures
from organome.steps.evaluate.evaluate_labels import read_reference
from organome.steps.evaluate.evaluated import Evaluated, ScanSet, read_evaluated
from organome.steps.evaluate.finding_tables import (
    ByParticipant,
    age_correlation,
    age_table,
    power_table,
    sex_table,
)
from organome.steps.evaluate.fold_table import folds_table, has_folds
from organome.steps.evaluate.published import Published
from organome.steps.evaluate.set_tables import (
    Summaries,
    classes_table,
    composition_table,
    greatest_sd_table,
    scans_table,
    sequences_table,
    table_3,
    table_a1,
    volumes_table,
)

PAGE: Final = "evaluation.md"
N_CASES: Final = 4  # as in Figure 3
_KIDNEYS: Final = (ORGAN_BY_NAME["right_kidney"], ORGAN_BY_NAME["left_kidney"])


@dataclass(frozen=True, slots=True)
class EvaluationSummary:
    """What was evaluated: scans with a reference, how many were compared, macro mean of Dice.

    Attributes:
        dice: Of each dataset and modality, in one line.
    """

    n_scans: int
    n_compared: int
    n_failed: int
    n_not_comparable: int
    n_without_reference: int
    dice: str
    page: Path


def run(
    *,
    scans: Path,
    results: Path,
    references: Path,
    published: Path,
    output: Path,
    profile: str = "mrsegmentator-paper",
    tolerance_mm: float = 2.0,
    n_bootstrap: int = 2000,
    seed: int = 1,
    overlays: bool = True,
) -> EvaluationSummary:
    """Write the evaluation of a run.

    Args:
        scans: Folder of the sample sheet, one Parquet file per shard.
        results: Folder that holds a folder per step, and in it one per shard.
        references: TSV of the references.
        published: Figures of a paper to print beside those of the run (``config/published``).
        output: Folder to publish: ``evaluation.md``, ``tables/`` and ``figures/``.
        profile: How to evaluate; as evaluate_labels was run.
        tolerance_mm: Of the surface Dice; as evaluate_labels was run.
        n_bootstrap: How often participants are drawn for the confidence intervals.
        seed: Of the draws.
        overlays: Whether contours are drawn on images of participants.

    Raises:
        SetupError: If a shard was evaluated otherwise, or no listed scan has a reference.
    """
    temporary = output.with_name(f".{output.name}.{ATTEMPT}.tmp")
    with machine_faults_stop_the_job():
        recover_folder(output)
        for left in output.parent.glob(f".{output.name}.*.tmp"):
            shutil.rmtree(left, ignore_errors=True)
        chosen = profile_by_name(profile)
        paper = Published.read(published)
        evaluated = read_evaluated(
            scans=scans,
            results=results,
            references=read_references(references),
            profile=chosen,
            settings={"profile": profile, "tolerance_mm": tolerance_mm},
        )
        data = Summaries(evaluated, paper, list(evaluated.sets()), n_bootstrap, seed)
        tables = list(_tables(data))
        settings: dict[str, JsonValue] = {
            "profile": profile,
            "tolerance_mm": tolerance_mm,
            "n_bootstrap": n_bootstrap,
            "seed": seed,
        }
        try:
            pictures = list(_pictures(data, results, temporary / "figures", overlays=overlays))
            for table in tables:
                write_table_files(temporary / "tables", table)
            write_settings(temporary, settings)
            introduction = _introduction(data, chosen, tolerance_mm, shows_bodies=overlays)
            page = index_page("Evaluation", introduction, tables, pictures)
            write_text_atomic(temporary / PAGE, page)
            replace_folder(temporary, output)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return _summary(data, tables, output / PAGE)


def _tables(data: Summaries) -> Iterator[ReportTable]:
    sequences, classes = sequences_table(data), classes_table(data)
    yield scans_table(data)
    yield composition_table(data)
    if data.sets:
        yield table_3(sequences.frame)
        yield table_a1(data, classes.frame)
        if has_folds(data):
            yield folds_table(data)
        yield greatest_sd_table(data)
        yield sex_table(data)
        yield power_table(data)
        yield age_table(data)
        yield volumes_table(data)
        yield sequences
        yield classes


def _introduction(
    data: Summaries, profile: Profile, tolerance_mm: float, *, shows_bodies: bool
) -> list[str]:
    lines = [
        f"Profile `{profile.name}`. {profile.meaning}",
        f"Surface Dice at {tolerance_mm:g} mm. Confidence intervals: {data.n_bootstrap} draws of "
        f"participants, seed {data.seed}. Standard deviations have the divisor n - 1.",
        f"Beside the numbers of this run stand those of: {data.published.source}. They are of "
        "other scans unless these are the very datasets of the paper.",
        f"Organome {__version__}.",
    ]
    if shows_bodies:
        lines.append("Overlays show bodies of participants: look at them before you share them.")
    return lines


def _pictures(data: Summaries, results: Path, folder: Path, *, overlays: bool) -> Iterator[Picture]:
    for of in data.whole:
        title = of.title
        figure = figures.draw_dice_by_class(data.evaluated.values(of, "dice"), of.organs, title)
        name = f"figure_2_dice_{of.stem}"
        save_figure(figure, folder, name)
        yield Picture(name, f"Dice by class: {title} (Figure 2)")
        found = age_correlation(data, of)
        if found is not None:
            people = ByParticipant.of(data, of)
            figure = figures.draw_age(people.ages_years, people.dice, found, title)
            name = f"figure_a3_age_{of.stem}"
            save_figure(figure, folder, name)
            yield Picture(name, f"Age and Dice: {title} (Figure A3)")
        if overlays:
            yield from _overlays(data.evaluated, of, results, folder)


def _overlays(evaluated: Evaluated, of: ScanSet, results: Path, folder: Path) -> Iterator[Picture]:
    """Draw the scan of median Dice, and some from the worst to the best; none without images."""
    ranked = _ranked_scans(evaluated, of)
    places = np.unique(np.linspace(0, len(ranked) - 1, N_CASES).round().astype(int))
    wanted = {int(place): ranked[place] for place in places} if ranked else {}
    middle = ranked[len(ranked) // 2] if ranked else ""
    shown = {
        key: _read_compared(evaluated, key, results) for key in {*wanted.values(), middle} if key
    }
    if (case := shown.get(middle)) is not None:
        name = f"figure_1_planes_{of.stem}"
        save_figure(figures.draw_planes(case, f"{of.title}, {middle}"), folder, name)
        yield Picture(name, f"Three planes of the scan of median Dice: {of.title} (Figure 1)")
    cases = [case for key in wanted.values() if (case := shown[key]) is not None]
    if cases:
        organs = _organs_to_show(of)
        words = " and ".join(organ.name.replace("_", " ") for organ in organs)
        name = f"figure_3_cases_{of.stem}"
        figure = figures.draw_cases(cases, organs, f"{of.title}: {words}")
        save_figure(figure, folder, name)
        yield Picture(name, f"From the worst to the best Dice: {of.title} (Figure 3)")


def _ranked_scans(evaluated: Evaluated, of: ScanSet) -> list[str]:
    """Name the scans that were compared, from the worst mean of Dice to the best."""
    compared = of.scans[of.scans["compared"] == Compared.COMPARED].index
    rows = evaluated.organs[evaluated.organs["scan"].isin(compared)]
    means: pd.Series[float] = rows.groupby("scan")["dice"].mean().dropna()
    return [str(one) for one in means.sort_values(kind="stable").index]


def _organs_to_show(of: ScanSet) -> Sequence[Organ]:
    """Choose the kidneys, as the paper does; where they are not evaluated, the first organ."""
    kidneys = [organ for organ in _KIDNEYS if organ.name in of.organs]
    return kidneys or [organ for organ in ORGANS if organ.name in of.organs][:1]


def _read_compared(evaluated: Evaluated, key: str, results: Path) -> figures.Compared | None:
    """Read a scan to show; None where its image was not kept, or the reference has changed."""
    row = evaluated.scans.loc[key]
    image = results / "prepare_images" / row["shard"] / f"{key}_{row['labelled_contrast']}.nii.gz"
    if not image.is_file():
        return None
    predicted = read_labelmap(labelmap_path(results / "segment_organs" / row["shard"], key))
    reference: Any = row["reference"]
    try:
        truth = read_reference(reference, find_scheme(reference.scheme), predicted)
    except ScanError:
        return None
    return figures.Compared(key, read_published(image), predicted, truth)


def _summary(data: Summaries, tables: Sequence[ReportTable], page: Path) -> EvaluationSummary:
    compared = data.evaluated.scans["compared"]
    rows = next((one.frame for one in tables if one.name == "table_3_sequences"), None)
    titles = {of.title for of in data.whole}
    dice = (
        []
        if rows is None
        else [
            f"{row['set']} {row['DSC']}" for row in rows.to_dict("records") if row["set"] in titles
        ]
    )
    return EvaluationSummary(
        n_scans=len(compared),
        n_compared=int((compared == Compared.COMPARED).sum()),
        n_failed=int(compared.isin((Compared.FAILED_COUNTED, Compared.FAILED_LEFT_OUT)).sum()),
        n_not_comparable=int((compared == Compared.NOT_COMPARABLE).sum()),
        n_without_reference=data.evaluated.n_without_reference,
        dice="; ".join(dice),
        page=page,
    )

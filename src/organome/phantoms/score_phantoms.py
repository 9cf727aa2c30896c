"""Compare a run on a phantom cohort with what is true of it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from organome.compute.labelmaps.overlap import count_confusion, dice_by_organ, swapped_share_by_pair
from organome.domain.errors import SetupError
from organome.domain.organs import N_ORGANS, ORGANS, PAIRS
from organome.domain.outcomes import Status
from organome.io.images.image_files import read_image
from organome.io.images.labelmaps import labelmap_path, read_labelmap

MIN_MEAN_DICE: Final = 0.85
MIN_PAIR_DICE: Final = 0.80
MAX_SWAPPED_SHARE: Final = 0.05  # of a pair's voxels; above it a low Dice is due to swapping
MAX_VOLUME_ERROR: Final = 0.10  # median over scans of |measured / true - 1|
MEASURED_ORGANS: Final = (
    "liver",
    "spleen",
    "left_kidney",
    "right_kidney",
    "left_lung",
    "right_lung",
    "heart",
)
_KEY: Final = ["cohort", "participant", "instance", "array", "protocol"]


@dataclass(frozen=True, slots=True)
class Promise:
    """Something that a run on phantoms must show."""

    text: str
    holds: bool


@dataclass(frozen=True, slots=True)
class Score:
    """How a run compares with the truth.

    Attributes:
        n_scans: Listed scans.
        n_done: Scans that went through.
        dice: Dice coefficient by organ (column), cohort and scan (row); NaN: no such organ.
        swapped: Share of voxels given to the other side, by left organ, rows alike.
        volume_error: Median of |measured / true - 1| over scans with a whole organ, by organ.
        n_volumes: Scans behind each of these.
        promises: What was promised, and whether it holds.
    """

    n_scans: int
    n_done: int
    dice: pd.DataFrame
    swapped: pd.DataFrame
    volume_error: Mapping[str, float]
    n_volumes: Mapping[str, int]
    promises: Sequence[Promise]

    @property
    def holds(self) -> bool:
        """Whether all that was promised holds."""
        return all(promise.holds for promise in self.promises)

    def __str__(self) -> str:
        """Write it as plain text."""
        return render_score(self)


def run(*, truth: Path, results: Sequence[Path]) -> Score:
    """Score the runs on a phantom cohort, all together.

    Args:
        truth: Truth folder of a phantom cohort.
        results: Results folders of the finished runs on it, one for each form it is delivered in.

    Raises:
        SetupError: One of the two is not there.
    """
    scan_tables = [folder / "tables" / "scans" for folder in results]
    for needed in (truth / "scans.parquet", *scan_tables):
        if not needed.exists():
            raise SetupError(f"{needed}: not there; make the phantoms and finish the run first")
    scans = pd.concat(
        [
            pd.read_parquet(table).assign(folder=str(folder / "segment_organs"))
            for folder, table in zip(results, scan_tables, strict=True)
        ]
    )
    organs = pd.concat([pd.read_parquet(folder / "tables" / "organs") for folder in results])
    true_scans = pd.read_parquet(truth / "scans.parquet").astype({"array": str, "instance": str})
    done = scans[scans["status"] == Status.DONE].merge(true_scans, on=_KEY, validate="one_to_one")
    dice, swapped = _overlaps(done, truth=truth)
    error, n_volumes = _volume_errors(organs, pd.read_parquet(truth / "volumes.parquet"))
    return Score(
        n_scans=len(scans),
        n_done=len(done),
        dice=dice,
        swapped=swapped,
        volume_error=error,
        n_volumes=n_volumes,
        promises=tuple(_promises(scans, organs, dice, swapped, error)),
    )


def _overlaps(done: pd.DataFrame, *, truth: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    dice, swapped = {}, {}
    for row in done.itertuples():
        key, true_path = (str(row.cohort), str(row.scan)), str(row.labelmap)
        labels = labelmap_path(Path(str(row.folder)) / key[1].split("-")[0], key[1])
        true_labels = read_image(truth / true_path, constant=True)
        confusion = count_confusion(true_labels, read_labelmap(labels))
        dice[key] = dice_by_organ(confusion)
        swapped[key] = swapped_share_by_pair(confusion)
    columns = [organ.name for organ in ORGANS]
    return (
        pd.DataFrame.from_dict(dice, orient="index", columns=columns, dtype=float),
        pd.DataFrame.from_dict(swapped, orient="index", dtype=float),
    )


def _volume_errors(
    organs: pd.DataFrame, true_volumes: pd.DataFrame
) -> tuple[dict[str, float], dict[str, int]]:
    whole = organs.dropna(subset=["volume_ml"])
    key = ["participant", "instance", "organ"]
    both = whole.merge(true_volumes, on=key, suffixes=("", "_true"), validate="many_to_one")
    both["error"] = (both["volume_ml"] / both["volume_ml_true"] - 1.0).abs()
    grouped = both.groupby("organ")["error"]
    return dict(grouped.median()), dict(grouped.size())


def _promises(
    scans: pd.DataFrame,
    organs: pd.DataFrame,
    dice: pd.DataFrame,
    swapped: pd.DataFrame,
    volume_error: Mapping[str, float],
) -> Iterator[Promise]:
    rows = organs.groupby(["cohort", "scan"]).size()
    every = len(rows) == len(scans) and bool((rows == N_ORGANS).all())
    yield Promise(f"each of {len(scans)} listed scans has exactly {N_ORGANS} organ rows", every)
    failed = scans[scans["status"] != Status.DONE]
    yield Promise(
        f"each of {len(failed)} failed scans has a reason", bool(failed["reason"].notna().all())
    )
    mean = float(np.nanmean(dice.to_numpy()))
    yield Promise(f"mean Dice {mean:.3f} is at least {MIN_MEAN_DICE}", mean >= MIN_MEAN_DICE)
    low = _swapped_pairs(dice, swapped)
    yield Promise(
        f"no left/right pair below Dice {MIN_PAIR_DICE} through swapping"
        + (f"; but {', '.join(low)}" if low else ""),
        not low,
    )
    for name in MEASURED_ORGANS:
        error = volume_error.get(name, float("nan"))
        yield Promise(
            f"{name}: median volume error {error:.1%} is at most {MAX_VOLUME_ERROR:.0%}",
            error <= MAX_VOLUME_ERROR,
        )


def _swapped_pairs(dice: pd.DataFrame, swapped: pd.DataFrame) -> list[str]:
    found = []
    for left, right in PAIRS:
        if left.name not in swapped:
            continue
        below = (dice[[left.name, right.name]] < MIN_PAIR_DICE).any(axis=1)
        through_swapping = below & (swapped[left.name] > MAX_SWAPPED_SHARE)
        found += [f"{left.name} in {' '.join(key)}" for key in dice.index[through_swapping]]
    return found


def render_score(score: Score) -> str:
    """Write a score as plain text: a line an organ, then the promises."""
    lines = [f"{score.n_done} of {score.n_scans} scans went through; Dice, volume error (median)"]
    for organ in ORGANS:
        values = score.dice[organ.name].dropna()
        if values.empty:
            lines.append(f"{organ.name:32s} absent")
            continue
        swapped = ""
        if organ.partner_name:
            left = organ.name.replace("right_", "left_", 1)
            swapped = f"  swapped at most {score.swapped[left].max():.1%}"
        error = score.volume_error.get(organ.name)
        shown = "  -  " if error is None else f"{error:6.1%}"
        lines.append(
            f"{organ.name:32s} mean {values.mean():.3f}  worst {values.min():.3f}"
            f"  volume {shown} (n={score.n_volumes.get(organ.name, 0)}){swapped}"
        )
    lines.append("")
    for cohort, of_cohort in score.dice.groupby(level=0):
        lines.append(f"mean Dice of {cohort}: {np.nanmean(of_cohort.to_numpy()):.3f}")
    lines += [f"[{'ok' if p.holds else 'NOT MET'}] {p.text}" for p in score.promises]
    return "\n".join(lines)

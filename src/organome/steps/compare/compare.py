"""compare: volumes of a run beside those of somebody else -> bias, limits of agreement, ICC.

Participants are matched by pseudonym and visit; none of them stands in what is written.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from organome.compute.metrics.bland_altman import bland_altman
from organome.compute.metrics.columns import agreement_columns, correlation_columns
from organome.compute.metrics.paired import NO_PAIRS, paired_estimates
from organome.domain.errors import SetupError
from organome.domain.organs import ORGAN_BY_NAME
from organome.io.files.atomic import write_text_atomic
from organome.io.report_tables import (
    Picture,
    ReportTable,
    index_page,
    save_figure,
    write_table_files,
)
from organome.steps.compare.others import read_others
from organome.steps.compare.volumes import KEY, one_a_visit, read_volumes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAGE: Final = "comparison.md"
_WRONG_UNIT: Final = 5.0  # no two ways to measure an organ differ by this factor in the median


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was compared.

    Attributes:
        n_visits: Visits that both have.
        n_only_ours: Visits that the other lacks.
        n_only_theirs: Visits that the run lacks.
        n_organs: Organs with at least three pairs.
        page: What was written.
    """

    n_visits: int
    n_only_ours: int
    n_only_theirs: int
    n_organs: int
    page: Path


def run(
    run_folder: Path,
    /,
    *,
    other: Path,
    output: Path,
    protocol: str | None = None,
    unit: str = "ml",
    scheme: str = "totalsegmentator_ct",
) -> Comparison:
    """Compare the volumes of a run with those of another run, tool or table.

    Args:
        run_folder: Folder of the run.
        other: Another run folder (labelmaps of another tool are a run with ``segment.source:
            labelmaps``); a table with returned fields of UK Biobank or with columns participant,
            instance, organ, volume_ml; statistics of TotalSegmentator or BOA, a file or a folder.
        output: Folder for the tables (CSV, Markdown, LaTeX), the plots, and ``comparison.md``.
        protocol: What was acquired, where visits have several; of another run, too, if it has it.
        unit: Of the numbers of a table: ``ml``, ``l`` or ``mm3``.
        scheme: Label scheme of the class names of TotalSegmentator.

    Raises:
        SetupError: Nothing can be matched, or the volumes are of another order of magnitude.
    """
    ours = one_a_visit(read_volumes(run_folder, protocol), run_folder)
    is_run = (other / "results").is_dir()
    theirs = (
        _of_other_run(other, protocol)
        if is_run
        else read_others(other, participants=set(ours["participant"]), unit=unit, scheme=scheme)
    )
    ours, theirs = (one[[*KEY, "volume_ml"]] for one in (ours, theirs))
    theirs = theirs[theirs["organ"].isin(ours["organ"])]
    theirs = _with_sole_visits(theirs, ours)
    both = ours.merge(theirs, on=KEY, how="outer", suffixes=("", "_other"), indicator=True)
    pairs = both[both[["volume_ml", "volume_ml_other"]].notna().all(axis=1)]
    if pairs.empty:
        raise SetupError(f"{other}: no organ of a visit has a volume there and in {run_folder}")
    _check_unit(pairs, other)
    table = _table(both)
    write_table_files(output / "tables", table)
    picture = Picture("bland_altman", "Differences against means (Bland and Altman)")
    save_figure(_draw(pairs), output / "figures", picture.name)
    visits = both.groupby(KEY[:2])["_merge"].agg(set)
    n_both = sum("both" in one or one >= {"left_only", "right_only"} for one in visits)
    n_ours, n_theirs = (
        sum(one == {side} for one in visits) for side in ("left_only", "right_only")
    )
    introduction = [
        f"{n_both} visits are in both; {n_ours} only in the run, {n_theirs} only in the other.",
        "The run less the other. Organs that are cut off or of doubtful size have no volume and are"
        " left out; how many stands beside.",
    ]
    write_text_atomic(
        output / PAGE, index_page("Comparison of volumes", introduction, [table], [picture])
    )
    return Comparison(
        n_both, n_ours, n_theirs, int(table.frame["bias_ml"].notna().sum()), output / PAGE
    )


def _of_other_run(run_folder: Path, protocol: str | None) -> pd.DataFrame:
    """Read another run; one that lacks the protocol may call it something else."""
    rows = read_volumes(run_folder)
    has_it = protocol in set(rows["protocol"])
    return one_a_visit(rows[rows["protocol"] == protocol] if has_it else rows, run_folder)


def _with_sole_visits(theirs: pd.DataFrame, ours: pd.DataFrame) -> pd.DataFrame:
    """Give rows without a visit that of the participant, who must have exactly one.

    Raises:
        SetupError: A participant has several, or the other has the visit beside it.
    """
    visits = ours.groupby("participant")["instance"].agg(["first", "nunique"])
    is_known = theirs["instance"].notna()
    several = ~is_known & theirs["participant"].isin(visits.index[visits["nunique"] > 1])
    if several.any():
        n = theirs.loc[several, "participant"].nunique()
        raise SetupError(
            f"the other does not say which visit it measured, and {n} participant(s) have several;"
            " name its files <participant>_<instance>.json, or give it a column instance"
        )
    sole = theirs["participant"].map(visits["first"]).fillna("unknown")
    given = theirs.assign(instance=theirs["instance"].astype(object).where(is_known, sole))
    if n := int(given.duplicated(KEY).sum()):
        raise SetupError(f"the other has {n} organ(s) of a visit twice, with the visit and without")
    return given


def _check_unit(pairs: pd.DataFrame, other: Path) -> None:
    ratio = float((pairs["volume_ml_other"] / pairs["volume_ml"]).median())
    if not 1 / _WRONG_UNIT < ratio < _WRONG_UNIT:
        raise SetupError(
            f"{other}: its volumes are {ratio:.3g} times ours in the median: another unit? --unit"
            " says which (ml, l or mm3)"
        )


def _table(both: pd.DataFrame) -> ReportTable:
    rows = list(_rows(both))
    return ReportTable(
        "comparison",
        "Volumes of the run beside the other's",
        "n: pairs, of n_participants. n_only_ours, n_only_other: visits that one of the two lists "
        "only. n_null, "
        "n_null_other: visits that both list, without a volume in one of the two. bias: the run "
        "less the other; lower, upper: limits of agreement, bias -/+ 1.96 SD; _pct: differences "
        "in per cent of the mean of the pair; low, high: 95 % confidence, by a "
        "bootstrap over participants where one has several visits. icc: ICC(2,1), absolute "
        "agreement.",
        pd.DataFrame(rows),
    )


def _rows(both: pd.DataFrame) -> Iterator[dict[str, Any]]:
    volumes = both[["volume_ml", "volume_ml_other"]].to_numpy(np.float64)
    is_pair = np.isfinite(volumes).all(axis=1)
    pairs = both[is_pair]
    estimates = paired_estimates(
        volumes[is_pair], pairs["organ"].tolist(), pairs["participant"].tolist()
    )
    for organ, listed in _by_organ(both).items():
        if (listed["_merge"] == "left_only").all():
            continue
        shared = listed[listed["_merge"] == "both"]
        volumes = shared[["volume_ml", "volume_ml_other"]].to_numpy(np.float64)
        pair = volumes[np.isfinite(volumes).all(axis=1)]
        found = estimates.get(organ, NO_PAIRS)
        yield {
            "organ": organ,
            "n": len(pair),
            "n_participants": found.n_participants,
            "n_only_ours": int((listed["_merge"] == "left_only").sum()),
            "n_only_other": int((listed["_merge"] == "right_only").sum()),
            "n_null": int(shared["volume_ml"].isna().sum()),
            "n_null_other": int(shared["volume_ml_other"].isna().sum()),
            "mean_ml": float(pair[:, 0].mean()) if len(pair) else None,
            "mean_other_ml": float(pair[:, 1].mean()) if len(pair) else None,
            **agreement_columns(found.agreement.absolute, "ml"),
            **agreement_columns(found.agreement.percent, "pct"),
            **correlation_columns(found.icc),
        }


def _by_organ(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Split rows: the 40 organs in their order, then structures of another scheme by name."""
    found = {str(name): of_organ for name, of_organ in rows.groupby("organ")}
    return {name: found[name] for name in dict.fromkeys((*ORGAN_BY_NAME, *found)) if name in found}


def _draw(pairs: pd.DataFrame) -> "Figure":
    groups = _by_organ(pairs)
    n_columns = min(4, len(groups))
    n_rows = -(-len(groups) // n_columns)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.2 * n_columns, 2.6 * n_rows), layout="constrained")
    places = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    for axes in places[len(groups) :]:
        axes.set_axis_off()
    for axes, (name, of) in zip(places, groups.items(), strict=False):
        ours, theirs = (of[one].to_numpy(np.float64) for one in ("volume_ml", "volume_ml_other"))
        axes.plot((ours + theirs) / 2, ours - theirs, "o", markersize=2.5)
        if (found := bland_altman(ours, theirs).absolute) is not None:
            for end, style in ((found.bias, "-"), (found.lower, "--"), (found.upper, "--")):
                axes.axhline(end.value, linestyle=style, linewidth=0.8, color="black")
        axes.set_title(f"{name.replace('_', ' ')} (n = {len(of)})", fontsize=8)
        axes.tick_params(labelsize=7)
        axes.set_xlabel("mean [mL]", fontsize=7)
        axes.set_ylabel("difference [mL]", fontsize=7)
    return figure

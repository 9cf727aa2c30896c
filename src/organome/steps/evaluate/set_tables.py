"""Tables about sets of scans: composition, means by sequence and by class, counts, volumes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from organome.compute.geometry.arrays import Floats
from organome.compute.metrics.columns import agreement_columns, correlation_columns
from organome.compute.metrics.paired import paired_estimates
from organome.compute.metrics.summaries import (
    Bootstrap,
    Interval,
    bootstrap_over_participants,
    class_means,
    class_sds,
    macro_mean,
    spread,
)
from organome.domain.evaluations import Compared
from organome.domain.presence import Presence
from organome.io.report_tables import NOTHING, ReportTable
from organome.steps.evaluate.evaluated import ALL, Evaluated, ScanSet
from organome.steps.evaluate.published import Published

METRICS: Final = ("dice", "hd95_mm", "hd95_penalised_mm", "surface_dice", "centreline_dice")
_PRINTED: Final = ("dice", "hd95_mm")  # of these the paper has figures
_SD_OF: Final = {"dice": "dice_sd", "hd95_mm": "hd95_sd_mm"}
COUNTS: Final = ("n_used", "n_missed", "n_falsely_added", "n_both_absent")
N_GREATEST: Final = 5  # the paper names four

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Summaries:
    """What the tables are made of, each set and metric summarised once.

    Attributes:
        evaluated: Scans and organs.
        published: Figures of the paper.
        sets: The sets, in order.
        n_bootstrap: How often participants are drawn.
        seed: Of the draws.
    """

    evaluated: Evaluated
    published: Published
    sets: Sequence[ScanSet]
    n_bootstrap: int
    seed: int

    @property
    def whole(self) -> list[ScanSet]:
        """The sets of a dataset and modality with all contrasts and organs."""
        return [one for one in self.sets if one.contrast is None and one.subset == ALL]

    def bootstrap(self, of: ScanSet, values: Floats) -> Bootstrap:
        """Draw participants of a set."""
        return bootstrap_over_participants(
            values, of.participants, n_bootstrap=self.n_bootstrap, seed=self.seed
        )

    def printed(self, of: ScanSet) -> Mapping[str, Any]:
        """Return what the paper printed for a set; {} if it knows no such set."""
        name = {"modality": of.modality, "organs": of.subset}
        found = self.published.find("sets", of.dataset, contrast=of.contrast, **name)
        if found or of.contrast is not None or of.sole_contrast is None:
            return found
        return self.published.find("sets", of.dataset, contrast=of.sole_contrast, **name)


def composition_table(data: Summaries) -> ReportTable:
    """Table 1: who and what is in each dataset; scans without a reference are not in it."""
    rows = []
    for (dataset, modality), scans in data.evaluated.scans.groupby(["dataset", "modality"]):
        people = scans.groupby("participant").agg({"sex": "first", "age_years": "mean"})
        printed = data.published.find("composition", str(dataset), modality=modality)
        ages = people["age_years"].dropna()
        shown = scans["contrast"].fillna("unknown").value_counts().sort_index()
        rows.append(
            {
                "dataset": dataset,
                "modality": modality,
                "participants": _with_sexes(people["sex"]),
                "examinations": _with_sexes(scans["sex"]),
                "age_years": f"{ages.min():g} - {ages.max():g} (median={ages.median():g})"
                if len(ages)
                else NOTHING,
                "scanners": "; ".join(sorted(set(scans["scanner"].dropna()) - {""})) or NOTHING,
                "sequences": "; ".join(f"{name} (n={n})" for name, n in shown.items()),
                "participants_paper": printed.get("participants"),
                "participants_difference": less(len(people), printed.get("participants")),
                "examinations_paper": printed.get("examinations"),
                "examinations_difference": less(len(scans), printed.get("examinations")),
            }
        )
    return ReportTable(
        "table_1_composition",
        "Data composition (Table 1)",
        "Scans that have a reference, whatever became of them; m: male, f: female, a rest: not "
        "known. Ages of participants, the mean over their scans. An examination is a listed scan.",
        pd.DataFrame(rows).astype(_whole_numbers("participants", "examinations")),
    )


def scans_table(data: Summaries) -> ReportTable:
    """Count what became of the scans that have a reference."""
    reasons = ["dataset", "modality", "compared", "reason"]
    frame = (
        data.evaluated.scans.assign(reason=lambda one: one["reason"].fillna(NOTHING))
        .groupby(reasons, as_index=False)
        .agg(n_scans=("scan", "size"))
    )
    return ReportTable(
        "scans",
        "What became of the scans",
        f"'{Compared.FAILED_COUNTED}': labelling failed, every organ of the reference counts as "
        f"missed. '{Compared.FAILED_LEFT_OUT}': likewise, and left out, as the profile says. "
        f"'{Compared.NOT_COMPARABLE}': the reference cannot be read or lies on another grid. "
        f"{data.evaluated.n_without_reference} listed scans have no reference; "
        f"{data.evaluated.n_unlisted_references} references are of scans that are not listed.",
        frame,
    )


def sequences_table(data: Summaries) -> ReportTable:
    """Table 3 with every convention: one row per set and metric."""
    rows = []
    for of in data.sets:
        printed = data.printed(of)
        counts = count_presences(data, of).values()
        lacking = {name: sum(one[name] for one in counts) for name in COUNTS[1:]}
        for metric in METRICS:
            values = data.evaluated.values(of, metric)
            mean, sds = macro_mean(values), spread(values, of.participants)
            printed_sd = printed.get(_SD_OF.get(metric, ""))
            rows.append(
                {
                    "set": of.title,
                    "n_scans": len(of.scans),
                    "n_participants": len(set(of.participants)),
                    "n_classes": int(np.isfinite(class_means(values)).sum()),
                    "metric": metric,
                    "n_used": int(np.isfinite(values).sum()),
                    **lacking,
                    "mean": mean,
                    **_ends("ci", data.bootstrap(of, values).macro_mean),
                    "sd_within_class": sds.within_class,
                    "sd_pooled": sds.pooled,
                    "sd_between_class": sds.between_class,
                    "sd_between_participant": sds.between_participant,
                    "paper": printed.get(metric),
                    "difference": less(mean, printed.get(metric)),
                    "sd_paper": printed_sd,
                    "sd_difference": less(sds.within_class, printed_sd),
                }
            )
    return ReportTable(
        "sequences",
        "Metrics by sequence and dataset, with every convention",
        "Means are macro means over classes; ci: 95 % bootstrap over participants. sd_within_class "
        "(mean over classes of the SD between scans) is compared with the paper's SD. hd95_mm is "
        "of organs that both labelmaps have; in hd95_penalised_mm a missed or falsely added organ "
        "counts with the diagonal of the image.",
        pd.DataFrame(rows),
    )


def table_3(sequences: pd.DataFrame) -> ReportTable:
    """Table 3 in the form of the paper: mean and SD of Dice and HD95, the paper's beside them."""
    rows = []
    for title, of_set in sequences.groupby("set", sort=False):
        row: Row = {"set": title}
        for metric, name in zip(_PRINTED, ("DSC", "HD [mm]"), strict=True):
            one = of_set[of_set["metric"] == metric].iloc[0]
            row[name] = _mean_sd(one["mean"], one["sd_within_class"])
            row[f"{name} paper"] = _mean_sd(one["paper"], one["sd_paper"])
            row[f"{name} difference"] = as_float(one["difference"])
        penalised = of_set[of_set["metric"] == "hd95_penalised_mm"].iloc[0]
        row["HD with misses [mm]"] = _mean_sd(penalised["mean"], penalised["sd_within_class"])
        of_dice = of_set[of_set["metric"] == "dice"].iloc[0]
        row |= {name: int(of_dice[name]) for name in COUNTS}
        rows.append(row)
    return ReportTable(
        "table_3_sequences",
        "Segmentation quality (Table 3)",
        "Macro mean over classes (mean over classes of the SD between scans). HD [mm] leaves out "
        "what was missed or falsely added, as the paper most likely does, and so gets better by "
        "it; 'with misses' it counts with the diagonal of the image. Counts are pairs of scan and "
        "class; n_used: those in the mean of Dice.",
        pd.DataFrame(rows),
    )


def classes_table(data: Summaries) -> ReportTable:
    """Table A1 with counts, intervals and all metrics: one row per set and organ."""
    rows = []
    for of in data.sets:
        if of.subset != ALL:
            continue
        values = {metric: data.evaluated.values(of, metric) for metric in METRICS}
        intervals = {m: data.bootstrap(of, values[m]).class_means for m in METRICS}
        means = {m: class_means(values[m]) for m in METRICS}
        sds = {m: class_sds(values[m]) for m in METRICS}
        counts = count_presences(data, of)
        printed = (
            data.published.find("classes", of.dataset, modality=of.modality).get("organs", {})
            if of.contrast is None
            else {}
        )
        for place, organ in enumerate(of.organs):
            row: Row = {"set": of.title, "organ": organ, **counts[organ]}
            row["n_used"] = int(np.isfinite(values["dice"][:, place]).sum())
            row["n_used_hd95"] = int(np.isfinite(values["hd95_mm"][:, place]).sum())
            for m in METRICS:
                row[m] = as_float(means[m][place])
                row |= _ends(m, intervals[m][place])
                row[f"{m}_sd"] = as_float(sds[m][place])
                if m in _PRINTED:
                    paper = printed.get(organ, (None, None))[_PRINTED.index(m)]
                    row[f"{m}_paper"] = paper
                    row[f"{m}_difference"] = less(row[m], paper)
            rows.append(row)
    return ReportTable(
        "classes",
        "Metrics by class, with counts",
        "n_used: scans in the mean of Dice; n_used_hd95: of HD95, which needs both. low and high: "
        "95 % bootstrap over participants. sd: between scans.",
        pd.DataFrame(rows),
    )


def table_a1(data: Summaries, classes: pd.DataFrame) -> ReportTable:
    """Table A1 in the form of the paper: DSC and HD by class for each dataset and modality."""
    columns: dict[str, Mapping[str, float | None]] = {}
    organs: dict[str, None] = {}
    for of in data.whole:
        of_set = classes[classes["set"] == of.title].set_index("organ")
        organs |= dict.fromkeys(of.organs)
        for metric, name in zip(_PRINTED, ("DSC", "HD mm"), strict=True):
            for suffix, label in (("", ""), ("_paper", " paper"), ("_difference", " difference")):
                column = pd.to_numeric(of_set[metric + suffix])
                found = {organ: as_float(column[organ]) for organ in of.organs}
                found["mean"] = as_float(column.mean())
                columns[f"{of.title} {name}{label}"] = found
        for name in COUNTS:
            counted = {organ: int(of_set[name][organ]) for organ in of.organs}
            columns[f"{of.title} {name}"] = counted | {"mean": int(of_set[name].sum())}
    names = [*organs, "mean"]
    frame = pd.DataFrame(
        {"structure": names}
        | {title: [of.get(name) for name in names] for title, of in columns.items()}
    ).astype({title: "Int64" for title in columns if title.endswith(COUNTS)})
    return ReportTable(
        "table_a1_classes",
        "DSC and HD by class (Table A1)",
        "A dash: the references do not have the class, or no scan has it. The last row is the mean "
        "over classes, of counts the sum, of differences over the classes that both have; the "
        "paper's is computed from its rounded classes. HD "
        "leaves out scans in which the class was missed or falsely added; n_used: scans in the "
        "mean of Dice.",
        frame,
    )


def greatest_sd_table(data: Summaries) -> ReportTable:
    """Name the classes whose Dice varies most between scans."""
    rows = []
    for of in data.whole:
        values = data.evaluated.values(of, "dice")
        sds = dict(zip(of.organs, class_sds(values), strict=True))
        known = [name for name in of.organs if np.isfinite(sds[name])]
        for rank, name in enumerate(sorted(known, key=lambda one: -sds[one])[:N_GREATEST], 1):
            rows.append({"set": of.title, "rank": rank, "organ": name, "dice_sd": float(sds[name])})
    return ReportTable(
        "greatest_sd",
        "Greatest variability between scans (section 3.2)",
        "The paper names portal and splenic vein, adrenal glands and gallbladder, 0.22 to 0.26.",
        pd.DataFrame(rows, columns=["set", "rank", "organ", "dice_sd"]),
    )


def volumes_table(data: Summaries) -> ReportTable:
    """Bias and limits of agreement of volumes, and ICC: what who analyses volumes needs."""
    rows = []
    organs = data.evaluated.organs
    for of in data.whole:
        both = organs[(organs["presence"] == Presence.BOTH) & organs["scan"].isin(of.scans.index)]
        counts = count_presences(data, of)
        people = of.scans["participant"]
        volumes = both[["volume_predicted_ml", "volume_reference_ml"]].to_numpy(np.float64)
        estimates = paired_estimates(
            volumes,
            both["organ"].tolist(),
            people[both["scan"]].tolist(),
            n_bootstrap=data.n_bootstrap,
            seed=data.seed,
        )
        for organ, of_organ in both.groupby("organ"):
            pair = of_organ[["volume_predicted_ml", "volume_reference_ml"]].to_numpy(np.float64)
            found = estimates[organ]
            rows.append(
                {
                    "set": of.title,
                    "organ": organ,
                    "n": len(pair),
                    "n_participants": found.n_participants,
                    "n_missed": counts[str(organ)]["n_missed"],
                    "reference_ml": float(pair[:, 1].mean()),
                    "median_error_pct": float(np.median(100.0 * (pair[:, 0] / pair[:, 1] - 1.0))),
                    **agreement_columns(found.agreement.absolute, "ml"),
                    **agreement_columns(found.agreement.percent, "pct"),
                    **correlation_columns(found.icc),
                }
            )
    frame = pd.DataFrame(rows)
    if len(frame):
        order = {name: place for of in data.whole for place, name in enumerate(of.organs)}
        frame = frame.sort_values(
            ["set", "organ"], key=lambda column: column.map(lambda one: order.get(one, one))
        )
    return ReportTable(
        "volumes",
        "Volumes: bias, limits of agreement, ICC",
        "Predicted less reference, scans in which both have the organ; missed ones are beside it. "
        "median_error_pct: of the reference. Limits: bias -/+ 1.96 SD (Bland and Altman). icc: "
        "ICC(2,1), absolute agreement. Where a participant has several scans, intervals are by a "
        "bootstrap over participants; none with fewer than three.",
        frame,
    )


def count_presences(data: Summaries, of: ScanSet) -> dict[str, Row]:
    """Count by organ the scans in which either labelmap lacks it."""
    rows = data.evaluated.organs
    rows = rows[rows["scan"].isin(of.scans.index)]
    counted = rows.groupby(["organ", "presence"]).size()
    lacking = (Presence.MISSED, Presence.FALSELY_ADDED, Presence.BOTH_ABSENT)
    return {
        organ: {f"n_{one.value}": int(counted.get((organ, one.value), 0)) for one in lacking}
        for organ in of.organs
    }


def _with_sexes(sexes: "pd.Series[Any]") -> str:
    male, female = (int((sexes == one).sum()) for one in ("male", "female"))
    return f"{len(sexes)} (m: {male}, f: {female})"


def _ends(name: str, interval: Interval | None) -> Row:
    return {
        f"{name}_low": interval and interval.low,
        f"{name}_high": interval and interval.high,
    }


def less(ours: float | None, theirs: float | None) -> float | None:
    """Return the difference of two numbers; None where one lacks."""
    return None if ours is None or theirs is None else ours - theirs


def as_float(value: Any) -> float | None:
    """Return a number, None where it is none."""
    return None if value is None or not np.isfinite(value) else float(value)


def _mean_sd(mean: Any, sd: Any) -> str:
    if as_float(mean) is None:
        return NOTHING
    return f"{mean:.2f} ({NOTHING if as_float(sd) is None else f'{sd:.2f}'})"


def _whole_numbers(*names: str) -> dict[str, str]:
    return {f"{name}_{end}": "Int64" for name in names for end in ("paper", "difference")}

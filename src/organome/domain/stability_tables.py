"""The tables on how well radiomics features repeat."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from organome.domain.columns import Column, ColumnType, Table
from organome.domain.radiomics_tables import radiomics_table

_STRING, _, _INT8, _INT32, _, _FLOAT = ColumnType


class Repeat(StrEnum):
    """What was measured twice."""

    VISITS = "visits"
    STATIONS = "stations"
    MASK = "mask"
    TRANSLATION = "translation"
    NOISE = "noise"
    LABELMAPS = "labelmaps"


class Grade(StrEnum):
    """How well a feature repeats, best first; the least ICC of each is in ``GRADES``.

    Source: Koo and Li 2016, Journal of Chiropractic Medicine 15, by the confidence interval.
    """

    EXCELLENT = "excellent"
    GOOD = "good"
    MODERATE = "moderate"
    POOR = "poor"


GRADES: Final = {Grade.EXCELLENT: 0.9, Grade.GOOD: 0.75, Grade.MODERATE: 0.5}

STABILITY: Final = Table(
    name="radiomics_stability",
    row="One row per kind of repeat, image, organ and feature.",
    key=("repeat", "contrast", "organ", "feature"),
    columns=(
        Column(
            "repeat",
            _STRING,
            "What was measured twice: visits (two instances, in which years truly change "
            "something); stations (the overlap of neighbouring stations of one visit); or one scan "
            "perturbed: mask (labels grown and shrunk by a voxel), translation (by a quarter of a "
            "voxel), noise (as much again), labelmaps (those of other runs).",
            nullable=False,
            levels=tuple(Repeat),
        ),
        Column("contrast", _STRING, "Image that was measured.", nullable=False),
        Column("organ", _STRING, "Name of the organ.", nullable=False),
        Column("feature", _STRING, "Name of the feature.", nullable=False),
        Column(
            "n_pairs", _INT32, "Scans, or pairs of them, with all values.", "pairs", nullable=False
        ),
        Column(
            "icc_agreement",
            _FLOAT,
            "ICC(2,1), absolute agreement of single measurements; null with fewer than three pairs "
            "or without any difference.",
        ),
        Column("icc_agreement_low", _FLOAT, "Lower end of its 95 % confidence interval."),
        Column("icc_agreement_high", _FLOAT, "Upper end of its 95 % confidence interval."),
        Column(
            "icc_consistency", _FLOAT, "ICC(3,1): the same, a shift of all alike does not count."
        ),
        Column("icc_consistency_low", _FLOAT, "Lower end of its 95 % confidence interval."),
        Column("icc_consistency_high", _FLOAT, "Upper end of its 95 % confidence interval."),
        Column(
            "grade",
            _STRING,
            "By the lower end of icc_agreement: excellent from 0.9, good from 0.75, moderate from "
            "0.5, else poor (Koo and Li 2016); null without an ICC.",
            levels=tuple(Grade),
        ),
    ),
)


def grade_of(low: float) -> Grade:
    """Grade a feature by the lower end of its confidence interval."""
    return next((grade for grade, least in GRADES.items() if low >= least), Grade.POOR)


def overlaps_table(features: Sequence[str]) -> Table:
    """Describe the table of what neighbouring stations both show."""
    of_scan = radiomics_table(features)
    return Table(
        name="overlaps",
        row="Two rows per image, organ and pair of neighbouring stations that both show it: "
        "features of the part in both, as either station has it.",
        key=("scan", "seam", "contrast", "label"),
        columns=(
            Column("seam", _INT8, "Station above, of the two.", nullable=False),
            *of_scan.columns,
        ),
    )

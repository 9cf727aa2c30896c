"""Estimates with their confidence intervals."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number and the ends of its confidence interval."""

    value: float
    low: float
    high: float

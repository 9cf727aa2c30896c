"""Estimates and the ends of their intervals by name, as they stand in tables."""

from typing import Any

from organome.compute.metrics.bland_altman import Agreement
from organome.compute.metrics.estimates import Estimate


def estimate_columns(name: str, found: Estimate | None, unit: str) -> dict[str, Any]:
    """Name an estimate and the ends of its interval; null without one."""
    return {
        f"{name}_{unit}": found and found.value,
        f"{name}_low_{unit}": found and found.low,
        f"{name}_high_{unit}": found and found.high,
    }


def agreement_columns(found: Agreement | None, unit: str) -> dict[str, Any]:
    """Name bias and limits of agreement with the ends of their intervals."""
    columns: dict[str, Any] = {}
    for name in ("bias", "lower", "upper"):
        columns |= estimate_columns(name, None if found is None else getattr(found, name), unit)
    return columns


def correlation_columns(found: Estimate | None) -> dict[str, Any]:
    """Name an ICC with the ends of its interval."""
    return {
        "icc": found and found.value,
        "icc_low": found and found.low,
        "icc_high": found and found.high,
    }

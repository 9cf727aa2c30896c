"""What is measured on which image."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import SimpleITK as sitk

from organome.compute.radiomics.pyradiomics_engine import extract_by_pyradiomics
from organome.domain.errors import SetupError
from organome.domain.radiomics_settings import Engine, RadiomicsSettings, read_parameters
from organome.domain.radiomics_tables import FAT_FRACTION
from organome.domain.scans import Contrast
from organome.io.tables.radiomics_parameters import parameters_digest, read_parameter_file

_TRIAL_SIZE: Final = 24  # voxels of 4 mm: wide enough for any filter in use


@dataclass(frozen=True, slots=True)
class Plan:
    """How one contrast is measured.

    Attributes:
        contrast: The image, ``fat_fraction`` included.
        engine: What computes.
        parameters: As in the file.
        settings: What the native engine makes of them, None for the other.
        feature_names: All features, in order.
        digest: Digest of engine and parameters.
    """

    contrast: str
    engine: Engine
    parameters: dict[str, Any]
    settings: RadiomicsSettings | None
    feature_names: tuple[str, ...]
    digest: str


def read_plans(settings: Sequence[str], engine: Engine) -> tuple[Plan, ...]:
    """Read the parameter file of each contrast; the plans are in order of contrast.

    Args:
        settings: ``<contrast>=<parameter file>`` each.
        engine: What computes.

    Raises:
        SetupError: If a contrast is unknown or comes twice, or a file asks for what cannot be done.
    """
    plans = tuple(_read_plan(entry, engine) for entry in sorted(settings))
    contrasts = [plan.contrast for plan in plans]
    if not plans or len(set(contrasts)) < len(contrasts):
        raise SetupError(f"settings of radiomics: each contrast once, got {contrasts or 'none'}")
    return plans


def joint_feature_names(plans: Sequence[Plan]) -> tuple[str, ...]:
    """Name the features of all contrasts, each once."""
    return tuple(dict.fromkeys(name for plan in plans for name in plan.feature_names))


def _read_plan(entry: str, engine: Engine) -> Plan:
    contrast, _, path = entry.partition("=")
    if not path or contrast not in (*Contrast, FAT_FRACTION):
        raise SetupError(f"settings of radiomics: {entry!r} is not <contrast>=<parameter file>")
    parameters = read_parameter_file(Path(path))
    settings = read_parameters(parameters, source=path) if engine is Engine.NATIVE else None
    return Plan(
        contrast=contrast,
        engine=engine,
        parameters=parameters,
        settings=settings,
        feature_names=settings.feature_names() if settings else _names_by_trial(parameters),
        digest=parameters_digest(parameters, engine),
    )


def _names_by_trial(parameters: dict[str, Any]) -> tuple[str, ...]:
    """Ask pyradiomics for its names by measuring a block of noise."""
    voxels_zyx = np.random.default_rng(1).normal(100, 30, (_TRIAL_SIZE,) * 3)
    labels_zyx = np.zeros(voxels_zyx.shape, np.uint8)
    labels_zyx[2:-2, 2:-2, 2:-2] = 1
    image, labelmap = (sitk.GetImageFromArray(each) for each in (voxels_zyx, labels_zyx))
    for each in (image, labelmap):
        each.SetSpacing((4.0, 4.0, 4.0))
    found = extract_by_pyradiomics(image, labelmap, parameters)[1]
    if not found.values:
        raise SetupError(f"pyradiomics measures nothing with these settings ({found.reason})")
    return tuple(found.values)

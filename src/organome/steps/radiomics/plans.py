"""What is measured on which image, what it becomes in a row, and what both steps share."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import filter as filter_names
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import SimpleITK as sitk
from numpy.typing import NDArray

from organome.compute.dixon.fat_fraction import fat_fraction
from organome.compute.labelmaps.volumes import check_grid
from organome.compute.radiomics.extraction import RegionFeatures, Shapes, extract_features
from organome.compute.radiomics.pyradiomics_engine import extract_by_pyradiomics
from organome.compute.radiomics.regions import count_labels
from organome.domain.columns import Table
from organome.domain.errors import SetupError
from organome.domain.features import FEATURES, FeatureClass
from organome.domain.organs import Organ
from organome.domain.outcomes import FeatureReason, JsonValue
from organome.domain.radiomics_settings import Engine, IbsiSettings, RadiomicsSettings
from organome.domain.radiomics_tables import FAT_FRACTION
from organome.domain.rows import Row, radiomics_key
from organome.domain.scans import Contrast, Scan
from organome.io.labelled import LabelledShard
from organome.io.tables.parquet import (
    parse_table,
    rows_to_arrow,
    without_meanings,
    write_table,
)
from organome.io.tables.radiomics_parameters import parameters_digest, read_settings
from organome.shards.work_folder import CollectedFiles

_NOISE_SIZE: Final = 24  # voxels of 4 mm: wide enough for any filter in use
_PERCENT: Final = 100.0
_STARTS: Final = {"LBP2D": "lbp-2D", "LBP3D": "lbp-3D"}  # of names of features, where not the same


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

    @property
    def image(self) -> tuple[str, str, str]:
        """Contrast, engine and digest of the settings, as the tables name them."""
        return self.contrast, self.engine.value, self.digest

    def row_key(self, scan: Scan, organ: Organ) -> Row:
        """Make the part of a row that is there whatever becomes of the organ."""
        contrast, engine, digest = self.image
        return radiomics_key(scan, organ, contrast=contrast, engine=engine, settings_digest=digest)

    def region_features(
        self, image: sitk.Image, labelmap: sitk.Image, shapes: Shapes | None = None
    ) -> dict[int, RegionFeatures]:
        """Measure all labels of an image; shapes of the labelmap that are known serve again."""
        if self.settings is None:
            return extract_by_pyradiomics(image, labelmap, self.parameters)
        settings = self.settings.on_grid(image.GetSpacing())
        return extract_features(image, labelmap, settings, shapes=shapes)

    def of_classes(self, wanted: Collection[FeatureClass]) -> "Plan":
        """Keep some of the feature classes that are asked for."""
        if self.settings is not None:
            classes = tuple(one for one in self.settings.classes if one in wanted)
            ibsi = self.settings.ibsi if FeatureClass.IBSI in wanted else IbsiSettings()
            return replace(self, settings=replace(self.settings, classes=classes, ibsi=ibsi))
        asked = self.parameters.get("featureClass") or dict.fromkeys(map(str, FEATURES))
        kept = {name: chosen for name, chosen in asked.items() if name in wanted}
        return replace(self, parameters={**self.parameters, "featureClass": kept})


class PlannedStep:
    """Measuring by plans, a scan at a time: each leaves its rows in a file until all are through.

    Attributes:
        table_file: Name of the shard's table, and with its key before it of each scan's.
    """

    table_file: str
    version = 7

    def __init__(
        self,
        table: Table,
        plans: Sequence[Plan],
        published: LabelledShard,
        collected: CollectedFiles,
    ) -> None:
        self._table = table
        self._plans = tuple(plans)
        self._published = published
        self._collected = collected

    def settings(self) -> Mapping[str, JsonValue]:
        """All settings that change results."""
        return {plan.contrast: plan.digest for plan in self._plans}

    def _write(self, rows: Sequence[Row], place: Callable[[str], Path]) -> dict[str, JsonValue]:
        made = rows_to_arrow(self._table, rows)
        write_table(place(self.table_file), without_meanings(made))
        return {"n_rows": made.num_rows}

    def _written(self, scan: str) -> pa.Table:
        return self._collected.read(f"{scan}_{self.table_file}", parse_table)


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


def measurable(published: LabelledShard, scan: Scan) -> tuple[str, ...]:
    """Name the images of a scan that can be measured, the fat fraction included."""
    found = tuple(published.prepared[scan.scan].facts.get("contrasts", ()))
    return (*found, FAT_FRACTION) if published.has_fat_fraction(scan) else found


@dataclass(frozen=True, slots=True)
class Pictures:
    """What a plan is measured on.

    Attributes:
        image: The image; of a fat fraction in percent, 0 where there is no signal.
        labels: All labels.
        signal_zyx: Which voxels have a fat fraction; None: of another image.
    """

    image: sitk.Image
    labels: sitk.Image
    signal_zyx: NDArray[np.bool_] | None = None


def reader_of(published: LabelledShard, scan: Scan) -> Callable[[str], sitk.Image]:
    """Return what reads images of a scan by contrast, and keeps the last two at hand.

    Water is one of those that a fat fraction is of, and often the one that is measured next.
    """
    return lru_cache(maxsize=2)(partial(published.read_image, scan))


def read_for(plan: Plan, read: Callable[[str], sitk.Image], labelmap: sitk.Image) -> Pictures:
    """Read the image of a plan; a fat fraction is computed.

    Raises:
        ScanError: If an image does not lie on the grid of the labelmap, or a file is broken.
    """
    is_fraction = plan.contrast == FAT_FRACTION
    sources = (Contrast.FAT.value, Contrast.WATER.value) if is_fraction else (plan.contrast,)
    images = [read(source) for source in sources]
    check_grid(labelmap, images)
    if not is_fraction:
        return Pictures(images[0], labelmap)
    percent_zyx = fat_fraction(*images)
    percent_zyx *= _PERCENT
    signal_zyx = ~np.isnan(percent_zyx)
    percent_zyx[~signal_zyx] = 0
    percent = sitk.GetImageFromArray(percent_zyx)
    percent.CopyInformation(labelmap)
    return Pictures(percent, labelmap, signal_zyx)


def measure(
    plan: Plan, pictures: Pictures, shapes: Shapes | None = None
) -> dict[int, tuple[RegionFeatures, Row]]:
    """Measure all labels, of a fat fraction shapes whole and all else where there is signal.

    Args:
        plan: How.
        pictures: On what.
        shapes: Of the very same labels, measured for other plans; what is missing is added.

    Returns:
        By label what was measured, and what a row says beside it.
    """
    if pictures.signal_zyx is None:
        found = plan.region_features(pictures.image, pictures.labels, shapes)
        return {label: (region, {}) for label, region in found.items()}
    labels_zyx = sitk.GetArrayViewFromImage(pictures.labels)
    with_signal_zyx = np.where(pictures.signal_zyx, labels_zyx, np.uint8(0))
    with_signal = sitk.GetImageFromArray(with_signal_zyx)
    with_signal.CopyInformation(pictures.labels)
    whole = plan.of_classes({FeatureClass.SHAPE}).region_features(
        pictures.image, pictures.labels, shapes
    )
    parts = plan.of_classes({*FeatureClass} - {FeatureClass.SHAPE}).region_features(
        pictures.image, with_signal
    )
    n_voxels, n_with_signal = count_labels(labels_zyx), count_labels(with_signal_zyx)
    no_signal = RegionFeatures(n_voxels=0, reason=FeatureReason.NO_SIGNAL)
    return {
        label: (
            _joined(region, parts.get(label, no_signal)),
            {"share_with_signal": float(n_with_signal[label] / n_voxels[label])},
        )
        for label, region in whole.items()
    }


def _joined(shape: RegionFeatures, rest: RegionFeatures) -> RegionFeatures:
    return replace(
        rest,
        n_voxels=shape.n_voxels,
        values={**shape.values, **rest.values},
        reason=rest.reason or shape.reason,
    )


def _read_plan(entry: str, engine: Engine) -> Plan:
    contrast, _, path = entry.partition("=")
    if not path or contrast not in (*Contrast, FAT_FRACTION):
        raise SetupError(f"settings of radiomics: {entry!r} is not <contrast>=<parameter file>")
    parameters, settings = read_settings(Path(path), engine)
    return Plan(
        contrast=contrast,
        engine=engine,
        parameters=parameters,
        settings=settings,
        feature_names=settings.feature_names() if settings else _names_of_noise(parameters, path),
        digest=parameters_digest(parameters, engine),
    )


def _names_of_noise(parameters: dict[str, Any], source: str) -> tuple[str, ...]:
    """Have pyradiomics measure a block of noise; return the names of what it finds.

    Raises:
        SetupError: If something that is asked for is not among it. pyradiomics leaves out what it
            needs another package for, and features that it has given up.
    """
    voxels_zyx = np.random.default_rng(1).normal(100, 30, (_NOISE_SIZE,) * 3)
    labels_zyx = np.zeros(voxels_zyx.shape, np.uint8)
    labels_zyx[2:-2, 2:-2, 2:-2] = 1
    image, labelmap = (sitk.GetImageFromArray(each) for each in (voxels_zyx, labels_zyx))
    for each in (image, labelmap):
        each.SetSpacing((4.0, 4.0, 4.0))
    try:
        found = extract_by_pyradiomics(image, labelmap, parameters)[1]
    except (ValueError, RuntimeError, TypeError, ArithmeticError) as error:
        said = " ".join(str(error).split())[:200]
        raise SetupError(f"{source}: pyradiomics fails with these settings: {said}") from error
    if not found.values:
        raise SetupError(f"{source}: pyradiomics measures nothing with these ({found.reason})")
    names = tuple(found.values)
    missing = [
        asked for asked, pattern in _asked_for(parameters) if not filter_names(names, pattern)
    ]
    if missing:
        raise SetupError(f"{source}: pyradiomics gives nothing for {', '.join(missing)}")
    return names


def _asked_for(parameters: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Name what a file asks for, each with a pattern of the names of its features."""
    classes = parameters.get("featureClass") or {}
    for of_class, features in classes.items():
        yield f"featureClass.{of_class}", f"*_{of_class}_*"
        for feature in features or ():
            yield f"featureClass.{of_class}: {feature}", f"*_{of_class}_{feature}"
    if set(classes) != {"shape"}:
        for of_type in parameters.get("imageType") or {}:
            yield f"imageType.{of_type}", f"{_STARTS.get(of_type, of_type.lower())}*"

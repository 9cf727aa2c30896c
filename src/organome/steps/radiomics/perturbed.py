"""Scans measured again with their image or labels a little changed, for radiomics-stability."""

import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
import SimpleITK as sitk

from organome.compute.geometry.arrays import Floats
from organome.compute.labelmaps.volumes import check_grid, organ_ends
from organome.compute.radiomics.perturbation import grown, noisy, shifted, shrunk
from organome.domain.errors import ScanError, SetupError
from organome.domain.outcomes import Status
from organome.domain.radiomics_settings import Engine
from organome.domain.rows import shows_other_tissue
from organome.domain.scans import Scan
from organome.domain.stability_tables import Repeat
from organome.io.labelled import LabelledShard
from organome.io.runs import Run
from organome.io.tables.scan_lists import listed_shards, read_shard
from organome.steps.radiomics.plans import (
    Pictures,
    Plan,
    joint_feature_names,
    measurable,
    measure,
    read_for,
    read_plans,
    reader_of,
)

_LOG: Final = logging.getLogger(__name__)
_QUARTER: Final = (0.25, 0.25, 0.25)
_SEEDS: Final = (1, 2)

# Arrays (scans, versions, features) by repeat, contrast and organ.
Perturbed: TypeAlias = Mapping[tuple[Repeat, str, str], Floats]


def measure_perturbed(
    folder: Path, others: Sequence[Path], n_scans: int
) -> tuple[tuple[str, ...], Perturbed]:
    """Measure scans of a run as they are and perturbed, one scan of a participant.

    Args:
        folder: The run folder; its configuration says what is measured on which image.
        others: Run folders in which the same scans were labelled otherwise, by another fold of a
            model, on another contrast.
        n_scans: Scans to measure, from the first shard on.

    Returns:
        Names of features; and by repeat, contrast and organ an array (scans, versions, features),
        the first version being the original.

    Raises:
        SetupError: If the run measures no radiomics, or no scan of it is labelled.
    """
    run = Run(folder)
    plans = _plans(run)
    features = joint_feature_names(plans)
    labelled_by_others = [_by_identity(Run(other)) for other in others]
    found: dict[tuple[Repeat, str, str], list[Floats]] = defaultdict(list)
    n_done = n_failed = 0
    people = set[tuple[str, str]]()
    for scan, published in _labelled_scans(run):
        if n_done == n_scans:
            break
        person = (scan.cohort, scan.participant)
        if person in people:
            continue
        try:
            measured = list(_measured(scan, published, plans, labelled_by_others, features))
        except ScanError:
            n_failed += 1
            continue
        for key, versions in measured:
            found[key].append(versions)
        people.add(person)
        n_done += 1
    if not n_done:
        raise SetupError(f"{folder}: no scan of it is labelled yet")
    if n_failed:
        _LOG.warning("%d scans could not be read, and are left out", n_failed)
    return features, {key: np.stack(rows) for key, rows in found.items()}


def _plans(run: Run) -> tuple[Plan, ...]:
    config = run.config()
    settings = [f"{contrast}={path}" for contrast, path in run.parameter_files(config).items()]
    if not settings:
        raise SetupError(f"{run.folder}: radiomics.contrasts of its configuration names no image")
    return read_plans(settings, Engine(config["radiomics"]["engine"]))


Identity: TypeAlias = tuple[object, ...]
Others: TypeAlias = Mapping[Identity, tuple[Scan, LabelledShard]]


def _labelled_scans(run: Run) -> Iterator[tuple[Scan, LabelledShard]]:
    for _, path in listed_shards(run.scans):
        images, labelmaps = (
            run.results / step / path.stem for step in ("prepare_images", "segment_organs")
        )
        if labelmaps.is_dir() and images.is_dir():
            scans = read_shard(path)
            published = LabelledShard.open(images, labelmaps, scans)
            for scan in scans:
                if published.labelled[scan.scan].status is Status.DONE:
                    yield scan, published


def _identity(scan: Scan) -> Identity:
    of_visit = (scan.cohort, scan.participant, scan.instance)
    return (*of_visit, scan.array, scan.protocol, scan.station)


def _by_identity(run: Run) -> Others:
    found = {_identity(scan): (scan, published) for scan, published in _labelled_scans(run)}
    if not found:
        raise SetupError(f"{run.folder}: no scan of it is labelled yet")
    return found


def _measured(
    scan: Scan,
    published: LabelledShard,
    plans: Sequence[Plan],
    others: Sequence[Others],
    features: Sequence[str],
) -> Iterator[tuple[tuple[Repeat, str, str], Floats]]:
    """Measure all versions of a scan.

    Organs that are cut are left out, and fat and water where they are exchanged.
    """
    labelmap = published.read_labelmap(scan)
    ends = organ_ends(labelmap, published.seen_xyz(scan), published.round_xyz(scan))
    of_others = [_labelmap_of(by_identity, scan, labelmap) for by_identity in others]
    read = reader_of(published, scan)
    facts = published.prepared[scan.scan].facts
    for plan in plans:
        if plan.contrast not in measurable(published, scan):
            continue
        pictures = read_for(plan, read, labelmap)
        original = measure(plan, pictures)
        for repeat, changed in _versions(pictures, of_others):
            versions = [original, *(measure(plan, each) if each else {} for each in changed)]
            for organ in published.scheme.structures:
                if organ.label not in original or ends[organ.label].touches:
                    continue
                heights_mm = ends[organ.label].heights_mm
                if shows_other_tissue(plan.contrast, heights_mm, facts):
                    continue
                rows = [
                    [
                        version[organ.label][0].values.get(name, np.nan)
                        if organ.label in version
                        else np.nan
                        for name in features
                    ]
                    for version in versions
                ]
                yield (repeat, plan.contrast, organ.name), np.array(rows)


def _labelmap_of(others: Others, scan: Scan, labelmap: sitk.Image) -> sitk.Image | None:
    """Read what another run labelled, None where it has not labelled the scan."""
    found = others.get(_identity(scan))
    if found is None:
        return None
    theirs, published = found
    other = published.read_labelmap(theirs)
    check_grid(labelmap, [other])
    return other


def _versions(
    pictures: Pictures, of_others: Sequence[sitk.Image | None]
) -> Iterator[tuple[Repeat, list[Pictures | None]]]:
    image, labels = pictures.image, pictures.labels
    yield Repeat.MASK, [replace(pictures, labels=change(labels)) for change in (grown, shrunk)]
    moves = [[sign * part for part in _QUARTER] for sign in (1, -1)]
    yield Repeat.TRANSLATION, [replace(pictures, image=shifted(image, move)) for move in moves]
    noise = [noisy(image, labels, seed=seed) for seed in _SEEDS]
    yield Repeat.NOISE, [replace(pictures, image=each) for each in noise]
    if of_others:
        theirs = [None if each is None else replace(pictures, labels=each) for each in of_others]
        yield Repeat.LABELMAPS, theirs

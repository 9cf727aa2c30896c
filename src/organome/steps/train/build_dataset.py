"""build_dataset: cases for training -> nnU-Net's raw dataset, in one orientation and 40 organs.

Images are read by the readers of the pipeline, which refuse damage, and written again: nnU-Net
looks at arrays alone, so that all must run towards left, posterior, superior, as inference turns
them.
"""

import csv
import io
import json
import logging
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import numpy as np
import SimpleITK as sitk

from organome.domain.cases import Case, Role, Unlabelled
from organome.domain.errors import ScanError, SetupError
from organome.domain.fingerprints import digest_of
from organome.domain.organs import BACKGROUND, ORGANS
from organome.domain.outcomes import JsonValue
from organome.domain.scans import Modality
from organome.io.files.atomic import replace_folder, write_text_atomic
from organome.io.files.identity import input_identity
from organome.io.images.image_files import read_image, write_image
from organome.io.images.labelmaps import labelmap_identity
from organome.io.tables.cases import read_cases
from organome.io.tables.schemes import find_scheme
from organome.steps.train.nnunet import FILE_ENDING, IGNORE_LABEL, SOURCES, Folders
from organome.steps.train.references import organ_labelmap
from organome.steps.train.splits import SPLITS_FILE, deal_folds, write_splits

_logger = logging.getLogger(__name__)

VERSION: Final = 1  # raised when the same files would give another dataset
LEFT_OUT_FILE: Final = "left_out.tsv"
MAX_LEFT_OUT_SHARE: Final = 0.05


@dataclass(frozen=True, slots=True)
class DatasetSummary:
    """What the dataset is made of.

    Attributes:
        n_cases: Cases to train on.
        n_people: People.
        n_left_out: Cases that could not be read, by key and reason in ``left_out.tsv``.
        cases_by_contrast: Cases by contrast.
        cases_by_fold: Cases that each fold validates on.
    """

    n_cases: int
    n_people: int
    n_left_out: int
    cases_by_contrast: Mapping[str, int]
    cases_by_fold: Mapping[int, int]


def run(
    *,
    cases: Path,
    output: Path,
    modalities: Sequence[Modality] = tuple(Modality),
    n_folds: int = 5,
    seed: int = 1,
    n_processes: int = 1,
) -> DatasetSummary:
    """Build the dataset that nnU-Net is trained on.

    Args:
        cases: Table of cases.
        output: Folder of nnU-Net's folders.
        modalities: Kinds of scanner to learn from.
        n_folds: Folds of the cross-validation.
        seed: Seed of the dealing of people to folds.
        n_processes: Cases at a time.

    Raises:
        SetupError: No case is left; a dataset lacks organs and does not say what its background
            means; there are fewer people than folds; or too many cases cannot be read.
    """
    wanted = [
        case
        for case in read_cases(cases)
        if case.role is Role.TRAIN and case.modality in tuple(modalities)
    ]
    if not wanted:
        raise SetupError(f"{cases}: no case to train on of {' and '.join(modalities)}")
    _check_schemes(wanted)
    folder = Folders(output).raw
    growing = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(growing, ignore_errors=True)
    left_out = _write_cases(wanted, growing, n_processes)
    kept = [case for case in wanted if case.case not in left_out]
    folds = deal_folds(kept, n_folds=n_folds, seed=seed)
    write_splits(growing / SPLITS_FILE, folds)
    has_ignored = any(case.unlabelled is Unlabelled.IGNORE for case in kept)
    _write_description(growing, kept, has_ignored=has_ignored)
    _write_left_out(growing / LEFT_OUT_FILE, left_out)
    folder.parent.mkdir(parents=True, exist_ok=True)
    replace_folder(growing, folder)
    shutil.rmtree(growing, ignore_errors=True)  # where the older one lies now
    return DatasetSummary(
        n_cases=len(kept),
        n_people=len({case.person for case in kept}),
        n_left_out=len(left_out),
        cases_by_contrast=dict(sorted(Counter(case.contrast.value for case in kept).items())),
        cases_by_fold=dict(sorted(Counter(folds.values()).items())),
    )


def _check_schemes(cases: Sequence[Case]) -> None:
    """Refuse to take organs that nobody labelled for background.

    Raises:
        SetupError: A scheme lacks organs, and its dataset does not say ``unlabelled: ignore``; or
            it is about other structures than the 40 organs.
    """
    for dataset, word, unlabelled in {(one.dataset, one.scheme, one.unlabelled) for one in cases}:
        scheme = find_scheme(word)
        if scheme.structures != ORGANS:
            raise SetupError(f"dataset {dataset}: label scheme {word} is not about the 40 organs")
        n_missing = scheme.n_missing_organs
        if n_missing and unlabelled is Unlabelled.REFUSE:
            raise SetupError(
                f"dataset {dataset}: label scheme {word} lacks {n_missing} of the 40 organs, and a"
                " model would learn that they are background; set `unlabelled: ignore` (its"
                " background then teaches nothing), or take it as a test set (role: test)"
            )


def _write_cases(cases: Sequence[Case], folder: Path, n_processes: int) -> dict[str, str]:
    """Write images and labels; return which could not be, with the reason."""
    write = partial(_write_case, folder=folder)
    if n_processes == 1:
        outcomes = list(map(write, cases))
    else:
        # Not forked: ITK's threads do not survive a fork.
        with ProcessPoolExecutor(n_processes, mp_context=get_context("spawn")) as pool:
            outcomes = list(pool.map(write, cases, chunksize=4))
    left_out = {
        case.case: reason
        for case, reason in zip(cases, outcomes, strict=True)
        if reason is not None
    }
    for case, reason in left_out.items():
        _logger.warning('event=case_left_out case=%s reason="%s"', case, reason)
    if len(left_out) > MAX_LEFT_OUT_SHARE * len(cases):
        key, reason = next(iter(left_out.items()))
        raise SetupError(
            f"{len(left_out)} of {len(cases)} cases cannot be read, {key} for instance: {reason}"
        )
    return left_out


def _write_case(case: Case, *, folder: Path) -> str | None:
    """Write one case as nnU-Net reads it; return the reason where it cannot be."""
    try:
        image = read_image(Path(case.image))
        labels = organ_labelmap(case, find_scheme(case.scheme), image)
    except ScanError as error:
        return f"{error.reason}: {error}"
    if case.unlabelled is Unlabelled.IGNORE:
        labels = _without_background(labels)
    for kind, name, content in (
        ("imagesTr", f"{case.case}_0000", image),
        ("labelsTr", case.case, labels),
    ):
        path = folder / kind / f"{name}{FILE_ENDING}"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, sitk.DICOMOrient(content, "LPS"))
    return None


def _without_background(labels: sitk.Image) -> sitk.Image:
    """Mark what has no label as unknown: it may be any of the organs that nobody labelled."""
    voxels_zyx = sitk.GetArrayFromImage(labels)
    marked = sitk.GetImageFromArray(
        np.where(voxels_zyx == BACKGROUND, np.uint8(IGNORE_LABEL), voxels_zyx)
    )
    marked.CopyInformation(labels)
    return marked


def _write_description(folder: Path, cases: Sequence[Case], *, has_ignored: bool) -> None:
    labels = {"background": BACKGROUND} | {organ.name: organ.label for organ in ORGANS}
    # Of the files as delivered: a fold that was trained on others begins anew.
    sources: list[JsonValue] = [
        [case.case, case.scheme, input_identity(Path(case.image)), _reference_identity(case)]
        for case in cases
    ]
    description = {
        SOURCES: digest_of([VERSION, sources]),
        # Any name but CT: each image is z-scored by itself, MRI and CT alike.
        "channel_names": {"0": "MR_or_CT"},
        "labels": labels | ({"ignore": IGNORE_LABEL} if has_ignored else {}),
        "numTraining": len(cases),
        "file_ending": FILE_ENDING,
        "overwrite_image_reader_writer": "SimpleITKIO",
    }
    write_text_atomic(folder / "dataset.json", json.dumps(description, indent=1) + "\n")


def _reference_identity(case: Case) -> JsonValue:
    path = Path(case.reference)
    if not path.is_dir():
        return labelmap_identity(path)  # the same, packed or not
    return [[one.name, input_identity(one)] for one in sorted(path.iterdir())]


def _write_left_out(path: Path, left_out: Mapping[str, str]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerow(("case", "reason"))
    writer.writerows(left_out.items())
    write_text_atomic(path, text.getvalue())

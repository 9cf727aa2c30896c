"""Can this model be trained here: are its datasets there, and what their labels mean known?"""

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from organome.domain.cases import Role, Unlabelled
from organome.domain.errors import SetupError
from organome.domain.organs import ORGANS
from organome.io.runs import Run, is_run, labelled_schemes
from organome.io.tables.cases import CASES_FILE, read_cases
from organome.io.tables.schemes import SCHEME_SUFFIXES, find_scheme
from organome.steps.doctor.findings import Finding, fail, ok, skipped, warn
from organome.steps.doctor.software import check_device

_N_COPIES: Final = 2  # nnU-Net's dataset, and its prepared images; the latter take more


def check_training(run: Run, *, on_cluster: bool) -> Iterator[Finding]:
    """Check the configuration of a training, and what it names.

    Args:
        run: The run.
        on_cluster: Whether folds are jobs of a cluster; then a GPU is not looked for here.
    """
    try:
        config = run.config()
    except SetupError as error:
        yield fail("configuration", str(error), "correct it: docs/train.md")
        return
    yield ok("configuration", "every key is known")
    for dataset in config["datasets"]:
        yield _check_dataset(run.folder, dataset)
    if all(Role(one.get("role", Role.TRAIN)) is Role.TEST for one in config["datasets"]):
        yield fail("datasets", "all are of role test", "name one to train on")
    if not on_cluster:
        yield check_device("train.device", config["train"]["device"])
    yield _check_space(run)


def _check_dataset(folder: Path, dataset: Mapping[str, Any]) -> Finding:
    """Check whether a dataset is there; its images are looked for when it is listed."""
    subject, path = f"dataset {dataset['name']}", folder / dataset["path"]
    try:
        is_empty = path.is_dir() and next(path.iterdir(), None) is None
        if not path.exists() or is_empty:
            fact = "empty" if is_empty else "not there"
            return fail(subject, f"{path}: {fact}", "mount it, or correct its path")
    except OSError as error:
        return fail(subject, f"{path}: {error.strerror}", "mount it, or correct its path")
    for key in ("participants", "cases"):
        table = dataset.get(key)
        if table and not (folder / table).is_file():
            return fail(subject, f"{folder / table}: not there", f"correct its {key}")
    word = dataset["labels"]
    try:
        stated = find_scheme(str(folder / word) if Path(word).suffix in SCHEME_SUFFIXES else word)
        of_run = is_run(dataset["layout"], path)
        scheme = stated.without_missing(labelled_schemes(path, stated) if of_run else ())
    except SetupError as error:
        return fail(subject, str(error), "correct its labels")
    trains = Role(dataset.get("role", Role.TRAIN)) is Role.TRAIN
    n_missing = scheme.n_missing_organs
    unlabelled = Unlabelled(dataset.get("unlabelled", Unlabelled.REFUSE))
    if trains and scheme.structures != ORGANS:
        return fail(subject, f"{word} is not about the 40 organs", "correct its labels")
    if trains and n_missing and unlabelled is Unlabelled.REFUSE:
        fact = f"{word if scheme is stated else scheme.name} lacks {n_missing} of the 40 organs"
        return fail(subject, fact, "unlabelled: ignore, or role: test")
    return ok(subject, f"{path}: there, labelled as {word}")


def _check_space(run: Run) -> Finding:
    subject, path = "space for the training", run.folder / CASES_FILE
    if not path.is_file():
        return skipped(subject, "no case is listed yet")
    cases = [case for case in read_cases(path) if case.role is Role.TRAIN]
    sizes = [Path(case.image).stat().st_size for case in cases if Path(case.image).is_file()]
    if len(sizes) < len(cases):
        fact = f"{len(cases) - len(sizes)} of {len(cases)} images that are listed are not there"
        return fail("images", fact, "mount them, or delete cases.parquet to have them listed again")
    needed_gb, free_gb = _N_COPIES * sum(sizes) / 1e9, shutil.disk_usage(run.folder).free / 1e9
    fact = f"{len(cases)} images need more than {needed_gb:.1f} GB, {free_gb:.0f} GB free"
    return ok(subject, fact) if needed_gb < free_gb else warn(subject, fact, "free some")

"""list_cases: the datasets of a configuration -> a table of cases, and the lists of its test sets.

```
<output>/cases.parquet               every case, for training or for tests
<output>/test/scans.tsv              the test cases, as a cohort of kind folder reads them
<output>/test/references.tsv         what they are compared with
<output>/test/references/            labelmaps that were merged from masks, or packed in a run
<output>/schemes/<dataset>/          label scheme of a run that was made from one that lacks organs
```
"""

import csv
import logging
import os
import shutil
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from organome.cohorts.datasets import (
    META_FILES,
    WITHOUT_PEOPLE,
    FoundCase,
    covariates_of,
    find_cases,
    person_key,
    read_owners,
    read_people,
    stated_contrast,
)
from organome.cohorts.folder import parse_table
from organome.domain.cases import Case, Role, Unlabelled
from organome.domain.contrast_kinds import modality_of
from organome.domain.covariates import Covariates, Sex
from organome.domain.errors import ScanError, SetupError
from organome.domain.organs import ORGANS
from organome.domain.scans import Contrast
from organome.domain.schemes import MRSEGMENTATOR, LabelScheme
from organome.io.configs import read_config, read_schema
from organome.io.files.assets import asset
from organome.io.files.atomic import write_bytes_atomic
from organome.io.files.packs import packed_sizes
from organome.io.images.image_files import read_image
from organome.io.images.labelmaps import PACK, labelmap_path, write_labelmap
from organome.io.runs import is_run, labelled_schemes
from organome.io.tables.cases import (
    CASES_FILE,
    REFERENCES_FILE,
    SCANS_FILE,
    write_cases,
    write_references,
)
from organome.io.tables.parquet import parse_table as parse_parquet
from organome.io.tables.participants import tsv_lines
from organome.io.tables.scan_lists import listed_shards, read_shard
from organome.io.tables.schemes import find_scheme
from organome.steps.train.references import covered_scheme, organ_labelmap, packed_reference

_logger = logging.getLogger(__name__)

SCHEMA: Final = "workflow/schemas/train.schema.yaml"
_TABLES: Final = ("table", "annotations", "phantoms")


@dataclass(frozen=True, slots=True)
class CaseSummary:
    """How many cases were listed.

    Attributes:
        n_train: Cases for training.
        n_test: Cases for tests.
        n_people: People in all.
        by_dataset: Cases by dataset.
    """

    n_train: int
    n_test: int
    n_people: int
    by_dataset: Mapping[str, int]


def run(*, datasets: Path, output: Path) -> CaseSummary:
    """List the cases of all datasets of a configuration.

    Args:
        datasets: Configuration of a training (YAML); its paths are relative to where you stand.
        output: Folder for the tables.

    Raises:
        SetupError: The configuration is wrong, two datasets have one name, a dataset is not there
            or holds no case, or a person is in training and in test.
    """
    config = read_config(datasets, read_schema(asset(SCHEMA)))
    names = Counter(one["name"] for one in config["datasets"])
    if doubled := [name for name, n in names.items() if n > 1]:
        raise SetupError(
            f"{datasets}: datasets: name {doubled[0]} is there twice, and cases are named by it"
        )
    cases = [
        case
        for one in config["datasets"]
        for case in _cases_of(one, (output / "schemes").absolute())
    ]
    check_people(cases)
    write_cases(output / CASES_FILE, cases)
    tested = [case for case in cases if case.role is Role.TEST]
    if tested:
        _write_test(tested, output / "test")
    else:
        _remove_test(output / "test")
    counts = Counter(case.dataset for case in cases)
    _logger.info("event=cases_listed n_cases=%d n_test=%d", len(cases), len(tested))
    n_people = len({case.person for case in cases})
    return CaseSummary(len(cases) - len(tested), len(tested), n_people, dict(counts))


def check_people(cases: Iterable[Case]) -> None:
    """Refuse a person from whom a model would learn and on whom it would be tested.

    Raises:
        SetupError: If so, with how many.
    """
    roles: dict[str, set[Role]] = {}
    for case in cases:
        roles.setdefault(case.person, set()).add(case.role)
    n_leaks = sum(len(found) > 1 for found in roles.values())
    if n_leaks:
        raise SetupError(
            f"{n_leaks} participant(s) are in a dataset of role train and in one of role test: no"
            " test of a model on people that it learned from; take them out of one"
        )


def _cases_of(dataset: Mapping[str, Any], schemes: Path) -> Iterator[Case]:
    """List one dataset: its cases get their keys in the order of person, visit and contrast."""
    name, root = dataset["name"], Path(dataset["path"]).absolute()
    if not root.exists():
        raise SetupError(f"dataset {name}: {dataset['path']} is not there")
    contrast = Contrast(dataset["contrast"]) if dataset.get("contrast") else None
    found, people = _find(dataset, root, contrast)
    modality = dataset.get("modality")
    found = [one for one in found if modality in (None, modality_of(one.contrast))]
    if wanted := dataset.get("contrasts"):
        found = [one for one in found if one.contrast in wanted]
    if not found:
        raise SetupError(
            f"dataset {name}: no image with a reference in it, laid out as {dataset['layout']}"
            f"{f', of {modality}' if modality else ''}"
            f"{f', of {chr(32).join(wanted)}' if wanted else ''} (docs/train.md)"
        )
    sources: Iterable[LabelScheme] = ()
    if is_run(dataset["layout"], root):
        sources = labelled_schemes(root, find_scheme(dataset["labels"]))
    # Refused now, and not case by case.
    scheme = covered_scheme(dataset["labels"], sources, schemes / name)
    owners = _owners(dataset, {one.participant for one in found})
    owned = [(owners.get(one.participant, one.participant), one) for one in found]
    owned.sort(key=lambda of: (of[0], of[1].instance, of[1].array, of[1].image))
    base = root if root.is_dir() else root.parent
    for number, (participant, one) in enumerate(owned, start=1):
        known = covariates_of(people, one.participant, participant)
        yield Case(
            case=f"{name}_{number:05d}",
            dataset=name,
            role=Role(dataset.get("role", Role.TRAIN)),
            people=dataset.get("people") or name,
            participant=participant,
            instance=one.instance,
            array=one.array,
            contrast=one.contrast,
            image=str(base / one.image),
            reference=str(base / one.reference),
            scheme=scheme,
            station=one.station,
            unlabelled=Unlabelled(dataset.get("unlabelled", Unlabelled.REFUSE)),
            sex=known.sex,
            age_years=known.age_years,
        )


def _owners(dataset: Mapping[str, Any], names: Collection[str]) -> dict[str, str]:
    """Read whose the cases of a dataset are, where its layout does not say it.

    Raises:
        SetupError: The layout says it, or the table does not say it of all cases.
    """
    table = dataset.get("cases")
    if table is None:
        return {}
    name, layout = dataset["name"], dataset["layout"]
    if layout not in WITHOUT_PEOPLE:
        raise SetupError(f"dataset {name}: cases: layout {layout} says itself whose an image is")
    owners = read_owners(_rows(Path(table)), name=table)
    if n_missing := len(set(names) - owners.keys()):
        raise SetupError(
            f"dataset {name}: {n_missing} of {len(names)} cases are not in {table}, which says"
            " whose they are"
        )
    return owners


def _find(
    dataset: Mapping[str, Any], root: Path, contrast: Contrast | None
) -> tuple[list[FoundCase], Mapping[str, Covariates]]:
    layout, table = dataset["layout"], dataset.get("participants")
    if layout in _TABLES:
        of_phantoms = root / "nifti" if layout == "phantoms" else root
        lists = of_phantoms if of_phantoms.is_file() else of_phantoms / "scans.tsv"
        found = _from_table(lists, contrast)
        truth = root / "truth" / "covariates.parquet"
        people = _true_people(truth) if layout == "phantoms" and truth.is_file() else {}
    elif is_run(layout, root):
        found, people = list(_from_run(root)), {}
    else:
        found = find_cases(layout, _files(root), contrast)
        tables = sorted(root.glob(META_FILES.get(layout, "participants.tsv")))
        people = {key: one for path in tables for key, one in read_people(_rows(path)).items()}
    return found, read_people(_rows(Path(table))) if table else people


def _from_table(path: Path, contrast: Contrast | None) -> list[FoundCase]:
    """Read a list as a cohort of kind folder has it; rows without a labelmap are left out.

    Raises:
        SetupError: Neither a row nor the dataset says what an image shows.
    """
    rows = parse_table(tsv_lines(path), name=path.name, root=path.parent)
    n_unsaid = sum(row.contrast is None for row in rows if row.labelmap is not None)
    whose = f"{path.name}: DICOM ({n_unsaid} of its rows)"
    return [
        FoundCase(
            *(row.participant, row.contrast or stated_contrast(contrast, whose)),
            *(row.path, row.labelmap),
            instance=row.instance,
            array=row.array,
            station=row.station,
        )
        for row in rows
        if row.labelmap is not None
    ]


def _from_run(root: Path) -> Iterator[FoundCase]:
    """List what a run folder has labelled: every prepared image on the grid of its labelmap.

    Raises:
        SetupError: All images are gone.
    """
    n_labelled = n_images = 0
    for shard, path in listed_shards(root / "scans"):
        images = root / "results" / "prepare_images" / f"{shard:04d}"
        labelmaps = _labelmaps(root, shard)
        packed = packed_sizes(labelmaps / PACK)
        for scan in read_shard(path):
            reference = labelmap_path(labelmaps, scan.scan)
            if not reference.is_file() and reference.name not in packed:
                continue
            n_labelled += 1
            for contrast in Contrast:
                image = images / f"{scan.scan}_{contrast}.nii.gz"
                if image.is_file():
                    n_images += 1
                    yield FoundCase(
                        *(scan.participant, contrast, str(image), str(reference)),
                        instance=scan.instance,
                        array=scan.array,
                        station=scan.station,
                    )
    if n_labelled and not n_images:
        raise SetupError(
            f"{root}: {n_labelled} labelmaps, and all images are gone since they were made"
            " (keep_images: true keeps them)"
        )


def _labelmaps(root: Path, shard: int) -> Path:
    return root / "results" / "segment_organs" / f"{shard:04d}"


def _files(root: Path) -> list[str]:
    return [
        Path(folder, name).relative_to(root).as_posix()
        for folder, _, names in os.walk(root, followlinks=True)
        for name in names
    ]


def _rows(path: Path) -> list[dict[str, str]]:
    """Read a table with tabs, semicolons or commas between its cells.

    Raises:
        SetupError: It cannot be read, or a row has more cells than the header.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeError) as error:
        raise SetupError(f"{path}: the table cannot be read") from error
    head = lines[0] if lines else ""
    delimiter = next((one for one in "\t;," if one in head), "\t")
    made: list[dict[str, str]] = []
    rows = csv.DictReader(lines, delimiter=delimiter)
    for row in rows:
        if any(row.pop(None, ())):  # a delimiter too many at the end does no harm
            raise SetupError(f"{path}, line {rows.line_num}: more fields than columns")
        made.append(row)
    return made


def _true_people(path: Path) -> dict[str, Covariates]:
    rows = parse_parquet(path).to_pylist()
    return {
        person_key(row["participant"]): Covariates(
            sex=Sex(row["sex"]), age_years=round(row["age_years"], 2)
        )
        for row in reversed(rows)
    }


def _write_test(cases: Sequence[Case], folder: Path) -> None:
    """Write the lists of the test cases; folders of masks, and packs, become labelmaps first."""
    made = folder.absolute() / "references"
    shutil.rmtree(made, ignore_errors=True)  # of other cases, if there were more or fewer
    references, listed = {}, []
    for case in cases:
        references[case.case] = Path(case.reference)
        if not references[case.case].is_file():
            references[case.case] = made / f"{case.case}.nii.gz"
            try:
                case = _with_labelmap(case, references[case.case])
            except ScanError as error:  # evaluated, it is a row without a reference
                _logger.warning('event=reference_missing case=%s reason="%s"', case.case, error)
        listed.append(case)
    write_references(folder, listed, references=references)


def _remove_test(folder: Path) -> None:
    """Remove the lists of an earlier configuration: whom they name may teach now."""
    if not (folder / REFERENCES_FILE).is_file():
        return  # not of this step: a dataset may lie there
    shutil.rmtree(folder / "references", ignore_errors=True)
    (folder / SCANS_FILE).unlink(missing_ok=True)
    (folder / REFERENCES_FILE).unlink()
    with suppress(OSError):  # files of others lie there, too
        folder.rmdir()


def _with_labelmap(case: Case, path: Path) -> Case:
    """Write the reference of a case as one labelmap, and a scheme where organs are unlabelled.

    Raises:
        ScanError: Image or reference cannot be read.
        SetupError: The masks are not of the 40 organs.
    """
    if (content := packed_reference(Path(case.reference))) is not None:
        write_bytes_atomic(path, content)
        return case
    scheme = find_scheme(case.scheme)
    if scheme.structures != ORGANS:
        raise SetupError(
            f"dataset {case.dataset}: label scheme {case.scheme} is not about the 40 organs"
        )
    image = read_image(Path(case.image))
    write_labelmap(path, organ_labelmap(case, scheme, image), MRSEGMENTATOR)
    of_organs = covered_scheme(MRSEGMENTATOR.name, (scheme,), path.parent / case.dataset)
    return replace(case, scheme=of_organs)

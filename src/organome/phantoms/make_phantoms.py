"""Make a phantom cohort, delivered as a biobank would, with the truth beside it.

```
<output>/ukb/<12>/<1234567>_20201_2_0.zip      cohort phantom_ukb, kind ukb
<output>/ct/scans.tsv, ct/<1234567>/ct_2/      cohort phantom_ct, kind folder, DICOM series
<output>/bids/                                 cohort phantom_bids, kind bids
<output>/nifti/scans.tsv, images/, labelmaps/  cohort phantom_nifti, kind folder
<output>/truth/                                what is true; no step of the pipeline reads it
<output>/phantoms.json                         the arguments, and whether the cohort is complete
```
"""

import json
import multiprocessing
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import SimpleITK as sitk

from organome.domain.errors import SetupError
from organome.io.files.atomic import write_text_atomic
from organome.io.models.phantoms import PHANTOM_MARKER as MARKER
from organome.phantoms.delivery.cohort import (
    PRESETS,
    CohortPlan,
    Preset,
    Visit,
    VisitRecord,
    plan_visits,
)
from organome.phantoms.delivery.defects import Defect, Format
from organome.phantoms.delivery.listings import write_listings, write_truth
from organome.phantoms.delivery.visits import make_visit

VERSION: Final = 1  # raised when the same arguments give other files
TRUTH: Final = "truth"


@dataclass(frozen=True, slots=True)
class PhantomSummary:
    """What stands in the phantom folder.

    Attributes:
        n_participants: People, with MRI or CT.
        n_visits: Visits of them.
        n_defects: Visits in which something was planted.
        cohorts: Names of the cohorts delivered.
        made: False if all of it was there before.
    """

    n_participants: int
    n_visits: int
    n_defects: int
    cohorts: tuple[str, ...]
    made: bool


def run(
    *,
    output: Path,
    preset: Preset = "demo",
    n_participants: int | None = None,
    n_repeats: int | None = None,
    n_ct: int | None = None,
    formats: Sequence[Format] | None = None,
    defects: Sequence[Defect] | None = None,
    reduce: int | None = None,
    labelmaps: bool | None = None,
    seed: int | None = None,
    n_processes: int = 2,
    on_visit: Callable[[int, int], None] | None = None,
) -> PhantomSummary:
    """Make a phantom cohort, or find that it is there already.

    The same arguments give the same files, bit for bit, whatever the number of processes. A run
    that was killed is started over by the next one with the same arguments.

    Args:
        output: Folder for all of it; new, empty, or made by this step.
        preset: ``demo`` or ``tiny``; the other arguments, where given, replace its values.
        n_participants: Participants with MRI.
        n_repeats: So many of them are seen again at instance 3.
        n_ct: Further participants, with CT.
        formats: How all of it is delivered; each format is a cohort of its own.
        defects: Each is planted in one scan.
        reduce: In-plane pixels are so many times larger and fewer; 1 is the true matrix.
        labelmaps: Whether the nifti format comes with labelmaps, as if segmented before.
        seed: Another seed gives other people.
        n_processes: Visits made at the same time; 1 works in this process.
        on_visit: Called after each visit with how many are made, and of how many.

    Raises:
        SetupError: If the preset is unknown, numbers do not fit together, or the folder holds
            something else.
    """
    plan = _plan(
        preset,
        n_participants=n_participants,
        n_repeats=n_repeats,
        n_ct=n_ct,
        formats=None if formats is None else tuple(formats),
        defects=None if defects is None else tuple(defects),
        reduce=reduce,
        labelmaps=labelmaps,
        seed=seed,
    )
    visits = plan_visits(plan)
    made = not _is_complete(plan, output)
    if made:
        _start(plan, output)
        records = []
        for record in _make_visits(visits, plan, output, n_processes):
            records.append(record)
            if on_visit:
                on_visit(len(records), len(visits))
        write_listings(records, output)
        write_truth(records, output / TRUTH)
        _mark(plan, output, complete=True)
    return PhantomSummary(
        n_participants=len({visit.participant for visit in visits}),
        n_visits=len(visits),
        n_defects=sum(visit.defect is not None for visit in visits),
        cohorts=tuple(one.cohort for one in plan.formats),
        made=made,
    )


def _plan(preset: Preset, **given: Any) -> CohortPlan:
    if preset not in PRESETS:
        raise SetupError(f"unknown preset {preset}; there are {', '.join(PRESETS)}")
    return replace(
        PRESETS[preset], **{name: value for name, value in given.items() if value is not None}
    )


def _make_visits(
    visits: Sequence[Visit], plan: CohortPlan, output: Path, n_processes: int
) -> Iterator[VisitRecord]:
    make = partial(make_visit, plan=plan, output=output)
    if n_processes == 1:
        yield from map(make, visits)
        return
    # Not forked: ITK's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(n_processes, mp_context=context, initializer=_use_one_thread) as pool:
        yield from pool.map(make, visits)


def _use_one_thread() -> None:
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)


def _is_complete(plan: CohortPlan, output: Path) -> bool:
    marker = output / MARKER
    if not marker.exists():
        if output.exists() and any(output.iterdir()):
            raise SetupError(f"{output} is not empty and holds no {MARKER}; choose another folder")
        return False
    held = json.loads(marker.read_text())
    if held["arguments"] != _arguments(plan) or held["version"] != VERSION:
        raise SetupError(f"{output} holds phantoms of other arguments; remove it or choose another")
    return bool(held["complete"])


def _start(plan: CohortPlan, output: Path) -> None:
    """Claim the folder, and clear what a killed run left in it."""
    if (output / MARKER).exists():
        for name in (*Format, TRUTH):
            shutil.rmtree(output / name, ignore_errors=True)
    _mark(plan, output, complete=False)


def _mark(plan: CohortPlan, output: Path, *, complete: bool) -> None:
    held = {"version": VERSION, "arguments": _arguments(plan), "complete": complete}
    write_text_atomic(output / MARKER, json.dumps(held, indent=2, sort_keys=True) + "\n")


def _arguments(plan: CohortPlan) -> Any:
    return json.loads(json.dumps(asdict(plan)))  # as they read back: lists, plain strings

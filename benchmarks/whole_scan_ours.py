"""A step of Organome as a job runs it, with a stopwatch on each stage of a scan.

    python -m benchmarks.whole_scan_ours COMMAND FLAGS...
    python -m benchmarks.whole_scan_ours --logits IMAGE TRUTH MODEL FILE

Workers are forks of this process, or are spawned and run this file before their work; so they are
timed as well. CPU time of a stage is what its thread took, without the stages within. What is noted
goes to the file that the variable ``SEGMENTATION_STAGES`` names, a line at a time. The second form
writes logits that take the place of the network, see ``segmentation_ours``.
"""

import json
import os
import sys
import threading
import time
from collections import Counter
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import Any, Final

# Nothing else at the top: what is imported here would count as the start of every command and of
# each of its workers.
from benchmarks.segmentation_peers import LOGITS, STAGES

# By command: module, function or method, stage.
_STAGES: Final = {
    "prepare-images": (
        ("organome.io.files.archives", "_read_member", "unzip"),
        ("organome.steps.prepare.deliveries", "parse_files", "headers"),
        ("organome.steps.prepare.deliveries", "read_folder", "headers"),
        ("organome.steps.prepare.deliveries", "choose_series", "series"),
        ("organome.steps.prepare.deliveries", "stack_slices", "stack"),
        ("organome.steps.prepare.deliveries", "_without_copies", "copies"),
        ("organome.steps.prepare.prepare_images", "judge_slabs", "swaps"),
        ("organome.steps.prepare.prepare_images", "stitch", "stitch"),
        ("organome.steps.prepare.prepare_images", "write_image", "write"),
    ),
    "segment-organs": (
        ("organome.steps.segment.label_with_model", "read_published", "read"),
        ("organome.compute.inference.segmenter", "Segmenter.prepare", "prepare"),
        ("organome.compute.inference.segmenter", "Segmenter.infer", "labels"),
        ("organome.compute.inference.labelling", "_add", "network"),
        ("organome.steps.segment.labelling", "Labelling.organs", "organs"),
        ("organome.steps.segment.labelling", "check_sides", "sides"),
        ("organome.steps.segment.labelling", "write_labelmap", "write"),
    ),
    "measure-volumes": (
        ("organome.io.labelled", "read_published", "read"),
        ("organome.io.labelled", "read_labelmap", "read"),
        ("organome.steps.measure.measure_volumes", "measure_organs", "organs"),
    ),
    "measure-radiomics": (
        ("organome.io.labelled", "read_published", "read"),
        ("organome.io.labelled", "read_labelmap", "read"),
        ("organome.steps.radiomics.plans", "fat_fraction", "fat fraction"),
        ("organome.steps.radiomics.plans", "extract_features", "features"),
        ("organome.steps.radiomics.measure_radiomics", "organ_ends", "ends"),
    ),
    "draw-pictures": (
        ("organome.io.labelled", "read_published", "read"),
        ("organome.io.labelled", "read_labelmap", "read"),
        ("organome.steps.pictures.draw_pictures", "draw_overview", "overview"),
        ("organome.steps.pictures.draw_pictures", "draw_planes", "planes"),
        ("organome.steps.pictures.draw_pictures", "encode_webps", "encode"),
    ),
}
_COMMAND: Final = "WHOLE_SCAN_COMMAND"
_own = threading.local()


def main() -> None:
    """Run a command of Organome, or write logits."""
    if sys.argv[1] == "--logits":
        _write_logits(*map(Path, sys.argv[2:]))
        return
    from organome.cli.app import main as organome

    os.environ[_COMMAND] = sys.argv[1]
    _time_stages()
    sys.argv[0] = "organome"
    organome()


def _write_logits(image: Path, truth: Path, model: Path, target: Path) -> None:
    import numpy as np
    import SimpleITK as sitk
    from benchmarks.segmentation_cases import write_logits

    from organome.compute.inference.loading import load_segmenter
    from organome.io.images.image_files import read_image
    from organome.io.models.folders import read_model

    whole = read_image(image)
    prepared = load_segmenter(read_model(model), device="cpu").prepare(whole)
    labels = sitk.Resample(
        sitk.ReadImage(str(truth)), whole, sitk.Transform(), sitk.sitkNearestNeighbor, 0
    )
    labels_zyx = sitk.GetArrayFromImage(labels)
    nearest = (
        np.minimum((np.arange(n) + 0.5) * n_fine / n, n_fine - 1).astype(int)
        for n, n_fine in zip(prepared.voxels_zyx.shape, labels_zyx.shape, strict=True)
    )
    write_logits(target, labels_zyx[np.ix_(*nearest)])


def _time_stages() -> None:
    if LOGITS in os.environ:
        from benchmarks.segmentation_ours import fix_logits

        fix_logits()
    for module, name, stage in _STAGES.get(os.environ[_COMMAND], ()):
        owner: Any = import_module(module)
        *of_class, function = name.split(".")
        for one in of_class:
            owner = getattr(owner, one)
        setattr(owner, function, _timed(getattr(owner, function), stage))
    flush = os.fsync

    def counted(descriptor: Any) -> None:
        _note({"fsyncs": 1})
        flush(descriptor)

    vars(os)["fsync"] = counted


def _timed(function: Any, stage: str) -> Any:
    """Take the time of a function, but for what it calls that is timed as well."""

    @wraps(function)
    def timed(*arguments: Any, **keywords: Any) -> Any:
        if not hasattr(_own, "within"):
            _own.within, _own.spent = [], Counter()
        _own.within.append(0.0)
        began_s = time.thread_time()
        try:
            return function(*arguments, **keywords)
        finally:
            took_s = time.thread_time() - began_s
            _own.spent[stage] += took_s - _own.within.pop()
            if _own.within:
                _own.within[-1] += took_s
            else:
                _note(_own.spent)
                _own.spent.clear()

    return timed


def _note(found: Any) -> None:
    with Path(os.environ[STAGES]).open("a") as notes:
        notes.write(json.dumps(found) + "\n")  # one write of a line: appended whole


if STAGES in os.environ and __name__ == "__mp_main__":
    _time_stages()
if __name__ == "__main__":
    main()

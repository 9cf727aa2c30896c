"""What commands cost before they do anything: CPU seconds (user and system) of all processes.

    python -m benchmarks.startup [--turns N] [COMMAND...]

``imports`` is ``organome COMMAND --help``. ``job`` is the command on a cohort of one scan of 16^3
voxels whose labels are given, as the workflow calls it: nearly nothing but start-up, of workers,
too. Each is run once to warm the caches; the least of N turns counts.

The last line is one JSON object: ``imports`` and ``jobs``, CPU seconds by command, and their sums.
"""

import argparse
import json
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
import SimpleITK as sitk
from benchmarks.segmentation_meter import measure

ROOT: Final = Path(__file__).parents[1]
N_TURNS: Final = 3
_OF_SHARD: Final = "--shard=scans/0000.parquet --output={step} --work=work/{step}"
_OF_LABELLED: Final = f"{_OF_SHARD} --images=results/prepare_images/0000"
# In the order of the workflow: each reads what those before it have left.
JOBS: Final[Mapping[str, str]] = {
    "list-scans": "--kind=folder --cohort=phantom --root=scans.tsv --scans=scans --protocols ct",
    "prepare-images": f"{_OF_SHARD} --kind=folder",
    "segment-organs": f"{_OF_LABELLED} --source=labelmaps --contrasts ct",
    "measure-volumes": f"{_OF_LABELLED} --labelmaps=results/segment_organs/0000",
    "measure-radiomics": f"{_OF_LABELLED} --labelmaps=results/segment_organs/0000"
    f" --settings ct={ROOT}/config/radiomics/ct.yaml",
    "draw-pictures": f"{_OF_LABELLED} --labelmaps=results/segment_organs/0000",
    "collect-tables": "--scans=scans --results=results --output=results/tables --radiomics",
    "check-quality": "--tables=results/tables --output=results/quality"
    f" --thresholds={ROOT}/config/quality/default.yaml",
    "write-report": ". --output=results/report",
}
# What people call; they cost little beyond it.
OTHERS: Final = ("", "run", "status", "show", "doctor", "export", "rate", "withdraw")


def main() -> None:
    """Measure, and print a table and a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("commands", nargs="*")
    parser.add_argument("--turns", type=int, default=N_TURNS)
    asked = parser.parse_args()
    with TemporaryDirectory() as folder:
        make_cohort(Path(folder))
        costs: dict[str, dict[str, float]] = {"jobs": {}, "imports": {}}
        print(f"{'':<22} {'job':>6} {'imports':>8}")
        for command in [*JOBS, *OTHERS]:
            if asked.commands and command not in asked.commands and command not in JOBS:
                continue
            help_words = [*command.split(), "--help"]
            costs["imports"][command] = least(help_words, Path(folder), asked.turns)
            job = ""
            if command in JOBS:
                costs["jobs"][command] = least(job_words(command), Path(folder), asked.turns)
                job = f"{costs['jobs'][command]:.2f}"
            name = command or "organome"
            print(f"{name:<22} {job:>6} {costs['imports'][command]:8.2f}", flush=True)
    sums = {f"{kind}_sum": round(sum(spent.values()), 2) for kind, spent in costs.items()}
    rounded = {
        kind: {name: round(cpu_s, 2) for name, cpu_s in spent.items()}
        for kind, spent in costs.items()
    }
    print(json.dumps({**rounded, **sums}))


def make_cohort(folder: Path) -> None:
    """Write an image with its labelmap, and the list that names them."""
    voxels_zyx = np.random.default_rng(0).integers(0, 99, (16, 16, 16)).astype(np.int16)
    labels_zyx = np.zeros((16, 16, 16), np.uint8)
    labels_zyx[4:12, 4:12, 4:12] = 5
    for name, array in (("image", voxels_zyx), ("labels", labels_zyx)):
        sitk.WriteImage(sitk.GetImageFromArray(array), str(folder / f"{name}.nii.gz"))
    rows = (
        "participant\timage\tprotocol\tcontrast\tlabelmap",
        "1\timage.nii.gz\tct\tct\tlabels.nii.gz",
    )
    (folder / "scans.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")


def job_words(command: str) -> list[str]:
    """Return a command as its rule calls it; each call does all of it again."""
    step = f"results/{command.replace('-', '_')}/0000"
    return [command, *shlex.split(JOBS[command].replace("{step}", step))]


def least(words: Sequence[str], folder: Path, n_turns: int) -> float:
    """Return the CPU seconds of the cheapest of some turns, after one that does not count."""
    command = [str(Path(sys.executable).with_name("organome")), *words]
    outputs = [
        word.partition("=")[2] for word in words if word.startswith(("--output=", "--work="))
    ]
    spent_s = []
    for _ in range(1 + n_turns):
        for output in outputs:
            shutil.rmtree(folder / output, ignore_errors=True)
        spent_s.append(measure(command, environment={}, folder=folder).cpu_s)
    return min(spent_s[1:])


if __name__ == "__main__":
    main()

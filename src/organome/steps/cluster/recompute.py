"""recompute: one scan through all steps once more, in a folder beside, and compared bit by bit.

Snakemake runs it in ``work/recompute/<scan>/`` with the configuration of the run and a list of that
scan alone, or of all stations of its visit where these are scans of their own. What the run has
published is only read.
"""

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from organome.domain.errors import MachineFault, SetupError
from organome.domain.outcomes import Attempt, Outcome
from organome.domain.scans import Scan
from organome.domain.wording import counted
from organome.io.files.assets import asset
from organome.io.files.packs import read_packed
from organome.io.runs import Run, open_run
from organome.io.side_runs import make_side_run
from organome.io.tables.parquet import read_table
from organome.io.tables.scan_lists import read_shard, shard_path, write_shard
from organome.shards.work_folder import read_outcomes
from organome.steps.cluster.run_folders import STEPS

_BESIDE: Final = "measure_radiomics"
_PACK: Final = "labelmaps.zip"
_TABLES: Final = {
    "measure_volumes": ("scans.parquet", "organs.parquet"),
    _BESIDE: ("radiomics.parquet",),
}
_TAIL_LINES: Final = 15


@dataclass(frozen=True, slots=True)
class Recomputed:
    """What came out when a scan was done again.

    Attributes:
        scan: Its key.
        folder: Where the new results are; None where they were removed after the comparison.
        n_files: Files that were compared.
        n_rows: Rows of tables that were compared.
        n_not_kept: Files of the run that are gone, such as images that it does not keep.
        differences: What is other, a line each; None where nothing was compared.
    """

    scan: str
    folder: Path | None
    n_files: int = 0
    n_rows: int = 0
    n_not_kept: int = 0
    differences: tuple[str, ...] | None = None

    @property
    def holds(self) -> bool:
        """Whether nothing is other; else the command ends with exit code 3."""
        return not self.differences

    def __str__(self) -> str:
        """Write it as plain text."""
        lines = []
        if self.differences is not None:
            compared = f"{counted(self.n_files, 'file')} and {counted(self.n_rows, 'row')}"
            gone = f", {self.n_not_kept} not kept" if self.n_not_kept else ""
            found = "differs" if self.differences else "the same, bit by bit"
            lines = [f"{self.scan}: {found} ({compared}{gone})", *self.differences]
        if self.folder is not None:
            lines.append(f"recomputed: {self.folder}")
        return "\n".join(lines)


def run(
    scan: str, run_folder: Path = Path(), /, *, check: bool = False, cores: int = 1
) -> Recomputed:
    """Do one scan again from its files as delivered, on this machine.

    Args:
        scan: Its key: 0003-0017.
        run_folder: Run folder; where you stand, if not named.
        check: Compare outcomes, files and rows with those of the run bit by bit, then remove the
            new ones. Another kind of machine, or another release, may label a few voxels otherwise.
        cores: Cores to use.

    Raises:
        SetupError: No such scan is listed, the run has no configuration, or a step says that the
            set-up is wrong.
        MachineFault: A step failed for another reason.
    """
    place = open_run(run_folder)
    shard = scan.partition("-")[0]
    scans = _with_its_visit(place, scan, shard)
    folder = place.work / "recompute" / scan
    shutil.rmtree(folder, ignore_errors=True)
    beside = make_side_run(place, folder, {"keep_images": True})
    write_shard(shard_path(beside.scans, int(shard)), scans)
    with_radiomics = (place.results / _BESIDE / shard).is_dir()
    _do(beside, shard, with_radiomics=with_radiomics, cores=cores)
    if not check:
        return Recomputed(scan, folder)
    steps = (*STEPS, _BESIDE) if with_radiomics else STEPS
    comparison = _Comparison(place, beside, shard, scan)
    differences = tuple(line for step in steps for line in comparison.of_step(step))
    shutil.rmtree(folder)
    return Recomputed(
        scan, None, comparison.n_files, comparison.n_rows, comparison.n_not_kept, differences
    )


def _with_its_visit(place: Run, scan: str, shard: str) -> list[Scan]:
    """Return the scan, with the other stations of its visit where they are scans, too."""
    path = shard_path(place.scans, int(shard)) if shard.isdecimal() else Path()
    listed = read_shard(path) if path.is_file() else ()
    wanted = [one.identity[:-1] for one in listed if one.scan == scan]
    if not wanted:
        raise SetupError(
            f"that is not the key of a scan of {place.folder}: a key is shard and place, 0003-0017"
        )
    return [one for one in listed if one.identity[:-1] == wanted[0]]


def _do(beside: Run, shard: str, *, with_radiomics: bool, cores: int) -> None:
    last = ["measure_volumes", *([_BESIDE] if with_radiomics else [])]
    done = subprocess.run(
        [
            *("snakemake", "--snakefile", str(asset("Snakefile"))),
            *("--directory", str(beside.folder), "--cores", str(cores), "--quiet", "all", "--"),
            *(f"results/{step}/{shard}/ledger.parquet" for step in last),
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 0:
        return
    said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    words = [line for line in said if line.startswith("organome: ")]
    tail = "\n".join(words or said[-_TAIL_LINES:])
    kind = SetupError if words else MachineFault
    raise kind(f"{beside.folder}: the scan was not brought through:\n{tail}")


class _Comparison:
    """Compares what two runs have of one scan, and counts what was compared."""

    def __init__(self, place: Run, beside: Run, shard: str, scan: str) -> None:
        self._runs = (place, beside)
        self._shard, self._scan = shard, scan
        self.n_files = self.n_rows = self.n_not_kept = 0

    def of_step(self, step: str) -> Iterator[str]:
        """Yield what is other in a step."""
        decided = [self._decided(one, step) for one in self._runs]
        before, now = decided
        if now is None:
            yield f"{step}: not done again"
            return
        if before is None:
            self.n_not_kept += len(now[1].files)
        else:
            yield from (f"{step}: {line}" for line in _outcome_differences(before[0], now[0]))
            yield from self._file_differences(step, before[1], now[1])
        for name in _TABLES.get(step, ()):
            yield from self._row_differences(step, name)

    def _folder(self, one: Run, step: str) -> Path:
        return one.results / step / self._shard

    def _decided(self, one: Run, step: str) -> tuple[Outcome, Attempt] | None:
        work = one.work / step / self._shard
        return read_outcomes(work, self._folder(one, step)).get(self._scan)

    def _file_differences(self, step: str, before: Attempt, now: Attempt) -> Iterator[str]:
        for name in sorted({*before.files, *now.files}):
            old, new = (_content(self._folder(one, step), name) for one in self._runs)
            if old is None and name in before.files:
                self.n_not_kept += 1
                continue
            self.n_files += 1
            if old != new:
                yield f"{step}: {name} has other bytes"

    def _row_differences(self, step: str, name: str) -> Iterator[str]:
        paths = [self._folder(one, step) / name for one in self._runs]
        if not paths[0].is_file():
            yield f"{step}: the run has no {name} of this shard"
            return
        old, new = (read_table(path, scans=[self._scan]).to_pylist() for path in paths)
        self.n_rows += len(new)
        other = {
            key
            for one, two in zip(old, new, strict=False)
            for key in {*one, *two}
            if _written(one.get(key)) != _written(two.get(key))
        }
        if len(old) != len(new):
            yield f"{step}: {name} has {len(old)} rows, now {len(new)}"
        if other:
            yield f"{step}: {name}: other values in {', '.join(sorted(other))}"


def _outcome_differences(before: Outcome, now: Outcome) -> Iterator[str]:
    if before.fingerprint != now.fingerprint:
        yield "done from other files, by another model, release or settings (other fingerprint)"
    for name in ("step", "status", "reason", "fact"):
        if getattr(before, name) != getattr(now, name):
            yield f"other {name}: {getattr(before, name)}, now {getattr(now, name)}"
    facts = [{key: _written(value) for key, value in one.facts.items()} for one in (before, now)]
    if names := sorted(
        key for key in {*facts[0], *facts[1]} if facts[0].get(key) != facts[1].get(key)
    ):
        yield f"other facts: {', '.join(names)}"


def _content(folder: Path, name: str) -> bytes | None:
    path = folder / name
    return path.read_bytes() if path.is_file() else read_packed(folder / _PACK, name)


def _written(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)  # NaN equals itself

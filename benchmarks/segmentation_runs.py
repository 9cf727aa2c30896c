"""Runs an engine on a case, in a fresh process, and says what that cost."""

import json
import math
import shutil
import sys
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import psutil
from benchmarks.segmentation_cases import (
    REPOSITORY,
    SIZES,
    copy_model,
    draw_images,
    make_logits,
    make_tile,
    model_shape,
    model_spacing_zyx_mm,
    prepare_shard,
)
from benchmarks.segmentation_meter import GIB, CommandFailedError, measure, wait_for_memory
from benchmarks.segmentation_peers import (
    LOGITS,
    MRSEGMENTATOR,
    N_WORKERS,
    STAGES,
    SUFFIX,
    TILE,
    NoPeerError,
    make_environment,
)

OURS: Final = ("ours", "shard")
STAGE_NAMES: Final = ("start", "read", "prepare", "network", "export", "write")
SPARE_GIB: Final = 1.5
OURS_GIB: Final = 2.0
PROCESS_GIB: Final = 0.4
MOST_SHARE: Final = 0.7
N_LABELS: Final = 41


@dataclass(frozen=True, slots=True)
class Row:
    """What an engine cost in a case; seconds of CPU but for ``wall_s``, per scan but for start."""

    engine: str
    n_scans: int
    stages_s: Mapping[str, float]
    cpu_s: float
    wall_s: float
    peak_gib: float

    @property
    def steady_s(self) -> float:
        """CPU seconds a scan without start and network."""
        seen = self.stages_s["start"] + self.stages_s["network"]
        return (self.cpu_s - seen) / self.n_scans

    @property
    def all_s(self) -> float:
        """CPU seconds a scan without the network, start included."""
        return (self.cpu_s - self.stages_s["network"]) / self.n_scans


@dataclass(frozen=True, slots=True)
class Case:
    """Images of one size, the model that labels them, and what stands in place of its network.

    Attributes:
        network: ``real``; ``tiles``, of which all have the same logits; ``fixed``, the logits of
            the whole image, which no tile adds to.
        logits: File of those logits, None for the real network.
    """

    size: str
    model: str
    n_scans: int
    images: Path
    model_folder: Path
    network: str
    logits: Path | None

    @property
    def name(self) -> str:
        """As in ``station_phantom2.0_fixed``."""
        return f"{self.size}_{self.model}_{self.network}"


class Runs:
    """Runs engines on cases, in a folder."""

    def __init__(
        self,
        folder: Path,
        *,
        peers: Path,
        patience_s: float,
        reuse: Collection[str] = (),
    ) -> None:
        """Say where and how engines are run.

        Args:
            folder: For images, logits, labelmaps and rows.
            peers: Environment of mrsegmentator; made when it is first needed.
            patience_s: How long to wait for free memory.
            reuse: Engines, or ``levers``, whose rows are taken from the folder if they are there.
        """
        self.folder = folder
        self.reuse = reuse
        self.patience_s = patience_s
        self.peers = peers

    def case(self, size: str, model: str, network: str, *, n_scans: int) -> Case:
        """Make what a case needs, or take what is there."""
        model_folder = copy_model(self.folder, model)
        logits = None
        if network != "real":
            logits = self.folder / f"logits_{size}_{model}.npy"
            make_logits(logits, size, model_spacing_zyx_mm(model_folder))
            if network == "tiles":
                logits = make_tile(logits, model_folder)
        images = draw_images(self.folder, size, n_scans=n_scans)
        return Case(size, model, n_scans, images, model_folder, network, logits)

    def output(self, engine: str, case: Case) -> Path:
        """Where an engine writes its labelmaps."""
        return self.folder / "labels" / f"{case.name}_{engine}"

    def run(
        self,
        engine: str,
        case: Case,
        settings: Mapping[str, Any] | None = None,
        *,
        name: str | None = None,
    ) -> Row | str:
        """Measure an engine on a case, or say why not; a kept row is taken where it may be.

        Args:
            engine: One of ``ENGINES``.
            case: What it labels.
            settings: Of our own engine; its defaults if None.
            name: Of the folder of labelmaps; the engine's if None.
        """
        output = self.output(name or engine, case)
        kept = output.with_name(f"{output.name}.json")
        if ("levers" if name else engine) in self.reuse and kept.exists():
            return Row(**json.loads(kept.read_text()))
        row = self._measure(engine, case, settings or {}, output)
        if isinstance(row, Row):
            kept.write_text(json.dumps(asdict(row)))
        return row

    def _measure(
        self, engine: str, case: Case, settings: Mapping[str, Any], output: Path
    ) -> Row | str:
        n_workers = n_workers_of_peers(case)
        needed_gib = OURS_GIB if engine in OURS else needed_by_peers_gib(case, n_workers)
        needed_gib += SPARE_GIB
        free_gib = wait_for_memory(needed_gib, patience_s=self.patience_s)
        if free_gib < needed_gib:
            return f"not run: needs about {needed_gib:.0f} GiB, {free_gib:.0f} GiB are free"
        shutil.rmtree(output, ignore_errors=True)
        notes = output.with_name(f"{output.name}.jsonl")
        notes.parent.mkdir(exist_ok=True)
        notes.unlink(missing_ok=True)
        environment = {STAGES: str(notes)}
        if case.logits is not None:
            environment[TILE if case.network == "tiles" else LOGITS] = str(case.logits)
        flags = []
        if settings:
            flags += ["--settings", json.dumps(settings)]
        given = prepare_shard(case.images) if engine == "shard" else case.images
        try:
            command = self._command(engine, case)
            cost = measure(
                [*command, str(given), str(output), str(case.model_folder), *flags],
                environment=environment,
                folder=REPOSITORY,
            )
        except NoPeerError as error:
            return f"not run: {MRSEGMENTATOR} cannot be installed: {error}"
        except CommandFailedError as error:
            return f"failed: {str(error).splitlines()[-1] if str(error) else 'without a word'}"
        n_found = len(list(output.glob(f"*{SUFFIX}")))
        if n_found != case.n_scans:
            return f"failed: {n_found} labelmaps of {case.n_scans} images"
        stages_s = dict.fromkeys((*STAGE_NAMES, "infer", "done"), 0.0)
        for line in notes.read_text().splitlines():
            noted = json.loads(line)
            stages_s[noted["stage"]] += noted["cpu_s"]
        # Taking the processes down belongs to what comes once a process.
        stages_s["start"] += cost.cpu_s - stages_s.pop("done")
        if engine in OURS:
            stages_s["export"] = stages_s["infer"] - stages_s["network"]
        del stages_s["infer"]
        return Row(engine, case.n_scans, stages_s, cost.cpu_s, cost.wall_s, cost.peak_gib)

    def _command(self, engine: str, case: Case) -> list[str]:
        if engine in OURS:
            more = ["--shard"] if engine == "shard" else []
            return [sys.executable, "-m", "benchmarks.segmentation_ours", *more]
        n_workers = ["--n-workers", str(n_workers_of_peers(case))]
        if engine == "stock":
            return [sys.executable, "-m", "benchmarks.segmentation_peers", engine, *n_workers]
        peers = REPOSITORY / "benchmarks" / "segmentation_peers.py"
        return [str(make_environment(self.peers)), str(peers), engine, *n_workers]


def n_workers_of_peers(case: Case) -> int:
    """Workers of the peers for preprocessing, and as many for the export.

    nnU-Net's default, as far as there are scans for them, and fewer where they would need most of
    the memory of this machine.
    """
    most_gib = MOST_SHARE * psutil.virtual_memory().total / GIB
    n_workers = min(N_WORKERS, case.n_scans)
    while n_workers > 1 and needed_by_peers_gib(case, n_workers) > most_gib:
        n_workers -= 1
    return n_workers


def needed_by_peers_gib(case: Case, n_workers: int) -> float:
    """Tell about how much memory the peers need for a case, from the sizes of their arrays."""
    grid = SIZES[case.size]()
    n_model = math.prod(model_shape(grid, model_spacing_zyx_mm(case.model_folder)))
    n_native = math.prod(grid.size_xyz)
    # In the main process logits of a scan and their pickle; in each worker the pickle, the logits,
    # their copy in double precision (single by torch), what comes out, and some for the processes.
    logits = 2 * n_model * N_LABELS
    if case.model == "phantom":
        worker = 2 * logits + (4 + 2) * n_native * N_LABELS + 8 * n_native
    else:
        worker = 2 * logits + 4 * logits + 2 * n_native * N_LABELS + 24 * n_native
    arrays = 2 * logits + n_workers * (worker + 8 * n_native)
    return arrays / GIB + PROCESS_GIB * (1 + 2 * n_workers)

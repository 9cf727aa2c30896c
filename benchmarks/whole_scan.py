"""What a whole scan costs, from the archive to its rows, beside the programs people use for it.

    python -m benchmarks.whole_scan [--work DIR] [--cases ukb ct] [--network] [--dcm2niix FILE]
        [--no-peers]

A phantom of UK Biobank's matrix (six stations, 1,328 DICOM files, one zip) and a phantom CT go
through all steps by the commands that jobs run; images that no later step reads are not written, as
with ``keep_images: false``. Logits of a file take the place of the shipped phantom model's network,
and with ``--network`` it runs as well. Radiomics are of fat fraction and water, or of the CT.

Each command runs on a shard of one scan and on one of seven; a sixth of the difference is what a
scan costs, the rest of the first what a job costs before its first scan. CPU seconds are of all
processes (user and system); stages are those of the workers, ``other`` is what has no stage of its
own (checks, journal, moving files). Bytes are of all calls that read or write, those of pipes
included, without the logits of the file: each side reads them once, and nnU-Net sends as many bytes
through a pipe to the process that exports, which reaches no disk.

Peers, a process for each stage: zipfile, dcm2niix, a script with nibabel and scipy that stitches,
stock nnU-Net on the water image with the same logits, counting voxels with nibabel, and pyradiomics
for every eighth organ of each image, times eight. ``bytes`` is what unzipping the archive, and
deflating and inflating once what is published takes by itself, by the same libraries.

The last line is one JSON object, of the first of the cases: ``prepare_cpu_s``,
``all_but_network_cpu_s`` (preparation to radiomics, network left out), ``pictures_cpu_s`` (which
are on by default, and which no peer draws: in no sum), ``ratio_to_io`` (of the second over
``bytes``) and ``ratio_peers`` (how many times as long the peers take for it).
"""

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np
import SimpleITK as sitk
from benchmarks.segmentation_meter import CommandFailedError, Cost, measure
from benchmarks.segmentation_peers import LOGITS, STAGES

from organome.domain.outcomes import Status
from organome.domain.scans import Contrast, Scan, Source, scan_key
from organome.io.tables.ledgers import LEDGER, read_ledger
from organome.io.tables.scan_lists import write_shard

N_SCANS: Final = 7
EVERY_ORGAN: Final = 8
MIB: Final = 1 << 20
ROOT: Final = Path(__file__).parents[1]
MODEL: Final = ROOT / "models" / "phantom"
PRESETS: Final = ROOT / "config" / "radiomics"
SEED: Final = 3
N_TURNS_OF_BYTES: Final = 5
# From the archive to the rows, and what is drawn beside them: on by default, in no sum here.
TO_ROWS: Final = ("prepare-images", "segment-organs", "measure-volumes", "measure-radiomics")
PICTURES: Final = "draw-pictures"
STEPS: Final = (*TO_ROWS, PICTURES)


@dataclass(frozen=True)
class Case:
    """A scan, and how it is done.

    Attributes:
        name: What it is called in the table.
        source: The archive or the folder as delivered.
        truth: Its true labelmap.
        kind: Kind of the cohort.
        protocol: What was acquired.
        contrasts: Which image is labelled.
        radiomics: Parameter file by image.
    """

    name: str
    source: Path
    truth: Path
    kind: str
    protocol: str
    contrasts: tuple[str, ...]
    radiomics: Mapping[str, str]


@dataclass(frozen=True)
class StepCost:
    """What a scan costs in a step, and what its job costs before."""

    cpu_s: float
    start_s: float
    read_bytes: float
    written_bytes: float
    n_files: float
    n_fsyncs: float
    peak_gib: float
    stages: Mapping[str, float] = field(default_factory=dict)


def main() -> None:
    """Measure both scans and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--work", type=Path, help="keep phantoms and logits there")
    parser.add_argument("--cases", nargs="+", default=["ukb", "ct"], help="which scans")
    parser.add_argument("--network", action="store_true", help="run the shipped network, too")
    parser.add_argument("--dcm2niix", default=shutil.which("dcm2niix"), help="its program")
    parser.add_argument("--no-peers", action="store_true", help="Organome alone")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.work) as temporary:
        kept = arguments.work or Path(temporary)
        found = {}
        print(
            f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python"
            f" {platform.python_version()}; one thread per library; load of the machine before:"
            f" {os.getloadavg()[0]:.1f}"
        )
        for case in make_cases(kept):
            if case.name not in arguments.cases:
                continue
            folder = Path(temporary) / case.name
            logits = kept / f"{case.name}.npy"
            costs = measure_ours(case, folder, logits)
            _print_ours(case.name, costs)
            of_network_s = costs["segment-organs"].stages.get("network", 0.0)
            all_s = sum(costs[step].cpu_s for step in TO_ROWS) - of_network_s
            line = {"prepare_cpu_s": costs["prepare-images"].cpu_s, "all_but_network_cpu_s": all_s}
            line["pictures_cpu_s"] = costs[PICTURES].cpu_s
            line["ratio_to_io"] = all_s / measure_bytes(case, folder)
            if arguments.network:
                line["network_cpu_s"] = measure_network(case, folder)
            if not arguments.no_peers and arguments.dcm2niix:
                peers = measure_peers(case, folder, logits, arguments.dcm2niix)
                _print_peers(case.name, peers)
                line["ratio_peers"] = sum(one.cpu_s for one in peers.values()) / all_s
            found[case.name] = {name: round(value, 3) for name, value in line.items()}
            print(case.name, json.dumps(found[case.name]), flush=True)
        print(json.dumps(next(iter(found.values()))))


def make_cases(folder: Path) -> list[Case]:
    """Make the phantoms, or find them."""
    phantoms = folder / "phantoms"
    flags = {"n-participants": 1, "n-repeats": 0, "n-ct": 1, "reduce": 1, "seed": SEED}
    words = [f"--{name}={value}" for name, value in flags.items()]
    words += ["--formats", "ukb", "ct", "--defects", "--labelmaps=false", f"--output={phantoms}"]
    _run("make-phantoms", *words)
    (archive,) = (phantoms / "ukb").rglob("*.zip")
    (series,) = (phantoms / "ct").rglob("ct_2")
    (dixon,) = (phantoms / "truth").rglob("*_dixon.nii.gz")
    (ct,) = (phantoms / "truth").rglob("*_ct.nii.gz")
    of_dixon = {"fat_fraction": "dixon", "water": "mr"}
    return [
        Case("ukb", archive, dixon, "ukb", "dixon", ("water", "in_phase"), of_dixon),
        Case("ct", series, ct, "folder", "ct", ("ct",), {"ct": "ct"}),
    ]


def measure_ours(case: Case, folder: Path, logits: Path) -> dict[str, StepCost]:
    """Bring shards through all steps; the results of the one of a single scan stay in ``1``."""
    costs: dict[str, StepCost] = {}
    for n_scans in (1, N_SCANS):
        _list(case, folder / str(n_scans), n_scans)
    for step in STEPS:
        if step == "segment-organs" and not logits.exists():
            image = folder / "1" / "prepare-images" / f"{scan_key(0, 0)}_{case.contrasts[0]}.nii.gz"
            words = [str(image), str(case.truth), str(MODEL), str(logits)]
            measure(_ours("--logits", *words), environment={})
        environment = {LOGITS: str(logits)} if step == "segment-organs" else {}
        _step(case, folder / "1", step, environment)  # compiles what is not compiled yet
        few = _step(case, folder / "1", step, environment)
        many = _step(case, folder / str(N_SCANS), step, environment)
        costs[step] = _per_scan(few, many)
    segmenting, n_bytes = costs["segment-organs"], logits.stat().st_size
    read_bytes = segmenting.read_bytes - n_bytes
    return costs | {"segment-organs": replace(segmenting, read_bytes=read_bytes)}


@dataclass(frozen=True)
class _Run:
    cost: Cost
    n_files: int
    stages: Counter[str]


def _step(case: Case, shard: Path, step: str, environment: Mapping[str, str]) -> _Run:
    """Run a step on a shard."""
    output, notes = shard / step, shard / "notes.jsonl"
    for place in (output, shard / "work"):
        shutil.rmtree(place, ignore_errors=True)
    notes.write_text("")
    command = _ours(step, *_flags(case, shard, step))
    cost = measure(command, environment={STAGES: str(notes), **environment})
    stages: Counter[str] = Counter()
    for line in notes.read_text().splitlines():
        noted = json.loads(line)
        if "stage" in noted:  # logits of the file, read in the midst of labels
            noted = {"network": noted["cpu_s"], "labels": -noted["cpu_s"]}
        stages.update(noted)
    for outcome in read_ledger(output / LEDGER).values():
        if outcome.status is not Status.DONE:
            raise CommandFailedError(f"{step}: {outcome.scan} {outcome.reason} {outcome.fact}")
    return _Run(cost, sum(one.is_file() for one in output.rglob("*")), stages)


def _flags(case: Case, shard: Path, step: str) -> list[str]:
    flags: dict[str, object] = {
        "shard": shard / "scans.parquet",
        "output": shard / step,
        "work": shard / "work",
    }
    lists: dict[str, Sequence[str]] = {}
    if step == "prepare-images":
        flags |= {"kind": case.kind}
        lists = {"labelled": case.contrasts}
    else:
        flags |= {"images": shard / "prepare-images"}
    if step == "segment-organs":
        flags |= {"model": MODEL, "device": "cpu", "n-threads": 1}
        lists = {"contrasts": case.contrasts}
    if step in ("measure-volumes", "measure-radiomics", PICTURES):
        flags |= {"labelmaps": shard / "segment-organs"}
    if step == "measure-radiomics":
        lists = {
            "settings": [f"{image}={PRESETS / name}.yaml" for image, name in case.radiomics.items()]
        }
    words = [f"--{name}={value}" for name, value in flags.items()]
    return words + [word for name, values in lists.items() for word in (f"--{name}", *values)]


def _per_scan(few: _Run, many: _Run) -> StepCost:
    def share(name: str) -> float:
        few_one, many_one = float(getattr(few.cost, name)), float(getattr(many.cost, name))
        return (many_one - few_one) / (N_SCANS - 1)

    stages = {
        stage: (many.stages[stage] - few.stages[stage]) / (N_SCANS - 1) for stage in many.stages
    }
    n_fsyncs, cpu_s = stages.pop("fsyncs"), share("cpu_s")
    return StepCost(
        cpu_s=cpu_s,
        start_s=few.cost.cpu_s - cpu_s,
        read_bytes=share("read_bytes"),
        written_bytes=share("written_bytes"),
        n_files=(many.n_files - few.n_files) / (N_SCANS - 1),
        n_fsyncs=n_fsyncs,
        peak_gib=many.cost.peak_gib,
        stages={**stages, "other": cpu_s - sum(stages.values())},
    )


def _list(case: Case, shard: Path, n_scans: int) -> None:
    shard.mkdir(parents=True)
    contrast = Contrast.CT if case.kind == "folder" else None
    scans = []
    for number in range(n_scans):
        source = case.source
        if case.kind == "ukb":  # an archive is known by its name
            source = shard / f"{1_000_000 + number}_20201_2_0.zip"
            source.hardlink_to(case.source)
        sources = (Source(str(source), contrast),)
        participant = str(1_000_000 + number)
        scans.append(
            Scan(scan_key(0, number), "phantom", participant, "2", "0", case.protocol, sources)
        )
    write_shard(shard / "scans.parquet", scans)


def measure_bytes(case: Case, folder: Path) -> float:
    """Measure what handling the bytes takes by itself, in CPU seconds, start left out.

    Both are the least of several: the start varies by as much as the bytes of a CT take.
    """
    images, labelmaps = (folder / "1" / step for step in STEPS[:2])
    words = ["bytes", str(case.source), str(images), str(labelmaps)]
    nothing = [words[0], str(folder / "1" / "notes"), *words[2:]]
    Path(nothing[1]).mkdir()
    empty = folder / "empty"
    empty.mkdir()
    start = _peer("bytes", nothing[1], str(empty), str(empty))
    start_s, all_s = (
        min(measure(command, environment={}).cpu_s for _ in range(N_TURNS_OF_BYTES))
        for command in (start, _peer(*words))
    )
    cost_s = all_s - start_s
    print(f"{case.name} bytes alone: {cost_s:.2f} CPU s", flush=True)
    return cost_s


def measure_network(case: Case, folder: Path) -> float:
    """Run the shipped network on one scan; return its CPU seconds."""
    run = _step(case, folder / "1", "segment-organs", {})
    network_s = run.stages["network"]
    print(f"{case.name} the shipped network: {network_s:.1f} CPU s", flush=True)
    return network_s


def measure_peers(case: Case, folder: Path, logits: Path, dcm2niix: str) -> dict[str, Cost]:
    """Do one scan the peers' way, stage by stage."""
    place = folder / "peers"
    dicom, series, images, model_input, labels = (
        place / name for name in ("dicom", "series", "images", "input", "labels")
    )
    for one in (dicom, series, images, model_input):
        one.mkdir(parents=True)
    costs: dict[str, Cost] = {}
    if case.kind == "ukb":
        costs["zipfile"] = measure(_peer("unpack", str(case.source), str(dicom)), environment={})
    else:
        dicom = case.source
    convert = [dcm2niix, "-z", "y", "-b", "n", "-f", "%s_", "-o", str(series), str(dicom)]
    costs["dcm2niix"] = measure(convert, environment={})
    if case.kind == "ukb":
        costs["nibabel: stitch"] = measure(
            _peer("stitch", str(series), str(images)), environment={}
        )
    prepared = folder / "1" / "prepare-images"
    key = scan_key(0, 0)
    by_name = {one: prepared / f"{key}_{one}.nii.gz" for one in (*case.contrasts[:1], "fat")}
    # What Organome prepared: the logits are on its grid.
    (model_input / "scan.nii.gz").symlink_to(by_name[case.contrasts[0]])
    stock = [sys.executable, "-m", "benchmarks.segmentation_peers", "stock"]
    stock += [str(model_input), str(labels), str(MODEL), "--n-workers", "1"]
    notes = {STAGES: str(place / "stock.jsonl"), LOGITS: str(logits)}
    cost, n_bytes = measure(stock, environment=notes), logits.stat().st_size
    costs["nnU-Net, stock"] = replace(
        cost,
        read_bytes=cost.read_bytes - 2 * n_bytes,
        written_bytes=cost.written_bytes - n_bytes,
    )
    labelmap = folder / "1" / "segment-organs" / f"{key}_labels.nii.gz"
    measured = [str(path) for path in by_name.values() if path.exists()]
    costs["nibabel: volumes"] = measure(_peer("volumes", str(labelmap), *measured), environment={})
    organs = np.unique(sitk.GetArrayFromImage(sitk.ReadImage(str(labelmap))))[1::EVERY_ORGAN]
    for image, preset in case.radiomics.items():
        path = by_name["fat" if image == "fat_fraction" else image]
        words = [str(labelmap), str(path), str(PRESETS / f"{preset}.yaml")]
        cost = measure(_peer("radiomics", *words, ",".join(map(str, organs))), environment={})
        costs[f"pyradiomics: {image}"] = replace(
            cost, cpu_s=EVERY_ORGAN * cost.cpu_s, wall_s=EVERY_ORGAN * cost.wall_s
        )
    return costs


def _print_ours(name: str, costs: Mapping[str, StepCost]) -> None:
    print(
        f"\n{name:<22} CPU s/scan  start s  read MiB  written MiB  files  fsyncs  peak GiB  stages"
    )
    for step, cost in costs.items():
        stages = ", ".join(f"{stage} {spent_s:.2f}" for stage, spent_s in cost.stages.items())
        print(
            f"  {step:<20} {cost.cpu_s:10.2f} {cost.start_s:8.2f} {cost.read_bytes / MIB:9.0f}"
            f" {cost.written_bytes / MIB:12.0f} {cost.n_files:6.1f} {cost.n_fsyncs:7.1f}"
            f" {cost.peak_gib:9.2f}  {stages}",
            flush=True,
        )


def _print_peers(name: str, costs: Mapping[str, Cost]) -> None:
    print(f"{name}, the peers' way   CPU s  read MiB  written MiB  peak GiB")
    for stage, cost in costs.items():
        print(
            f"  {stage:<24} {cost.cpu_s:8.1f} {cost.read_bytes / MIB:9.0f}"
            f" {cost.written_bytes / MIB:12.0f} {cost.peak_gib:9.2f}",
            flush=True,
        )


def _ours(*words: str) -> list[str]:
    return [sys.executable, "-m", "benchmarks.whole_scan_ours", *words]


def _peer(*words: str) -> list[str]:
    return [sys.executable, "-m", "benchmarks.whole_scan_peers", *words]


def _run(*words: str) -> None:
    measure([str(Path(sys.executable).with_name("organome")), *words], environment={})


if __name__ == "__main__":
    main()

"""What radiomics costs: this engine beside pyradiomics, flash-radiomics, and reading the files.

    python -m benchmarks.radiomics
    python -m benchmarks.radiomics --sizes station --no-shard

Phantoms of 40 labels: a station 224x174x44 (26 of them in view), the six stitched 224x174x370, a
CT 512x512x300. Every run is a fresh process on one core that reads both files and measures; what is
counted is CPU time (of user and system), for a machine may have other work. Engines take three
turns. The least of their runs counts; beside each ratio stand the least and greatest of the turns.

- naive: pyradiomics 3.0.1, ``execute`` on the whole image label by label, as its own example does.
- cropped: the same on the label's box with a margin of one voxel, and without ``additionalInfo``.
- flash: flash-radiomics 1.0.0, likewise on the box; it writes an HDF5 file for every label.
- mirp, zrad, fastrad: on the box, 3 labels of the station, of which all is estimated; their
  numbers of features are printed, for the first two have those of the IBSI. mirp measures no shape
  here: Moran's I, which belongs to it, would take nearly all of its time. What cannot be installed
  or run says so in its place.

But for the station, whose labels the first three measure all, peers have a sample of the labels:
the middle one of each of so many equal parts of the labels by size. Two ratios are printed: one for
these labels alone, in all engines; and an estimate for all labels, in which the others take the
mean of their sample for every label. In the JSON, ``ratio_..._ct`` is the estimate,
``ratio_..._same_labels_ct`` what was measured. All of it takes about a quarter of an hour on two
free cores.

Values are compared with those of pyradiomics. Cropped it has the same values as naive, so that bins
of 5 and 32 bins are compared with it alone, on such samples. The last line is one JSON object.
"""

import argparse
import json
import math
import os
import platform
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import SimpleITK as sitk
from benchmarks.radiomics_engines import (
    BINNINGS,
    PACKAGES,
    EngineRun,
    make_environment,
    run_engine,
)
from benchmarks.radiomics_phantoms import (
    SIZES,
    draw_phantom,
    labels_by_size,
    only_labels,
    sample_by_size,
)
from benchmarks.radiomics_scaling import scaling
from benchmarks.radiomics_shard import measure_shard

from organome.io.images.image_files import write_image

PEERS: Final = ("naive", "cropped", *PACKAGES)
OF_STATION: Final = {"mirp": 3, "zrad": 3, "fastrad": 3}  # labels: seconds for one
N_SAMPLED: Final = {"stitched": 8, "ct": 4}
N_COMPARED: Final = {"station": 26, "stitched": 8, "ct": 4}
ROUNDS: Final = 3
EQUAL: Final = 1e-6
ZERO: Final = 1e-9
Figures = dict[str, float]


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=list(PEERS))
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--work", type=Path, help="keep phantoms and other programs there")
    parser.add_argument("--no-equality", action="store_true", help="leave out the other bins")
    parser.add_argument("--no-scaling", action="store_true")
    parser.add_argument("--no-shard", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.work or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        print(f"{platform.machine()}, {os.cpu_count()} cores; load {_load()} at the start")
        figures: Figures = {}
        for size in arguments.sizes:
            figures |= _compare_size(folder, size, arguments.peers, arguments.rounds)
            if not arguments.no_equality:
                figures |= _compare_values(folder, size)
        if not arguments.no_scaling:
            figures |= scaling()
        if not arguments.no_shard:
            figures |= measure_shard(folder, arguments.rounds)
        print(f"load {_load()} at the end")
    print(json.dumps(_summary(figures)))


def _load() -> str:
    return " ".join(f"{load:.1f}" for load in os.getloadavg())


def _summary(figures: Figures) -> Figures:
    summary = dict(figures)
    for name, start, choose in (
        ("equal_share_min", "equal_share_", min),
        ("max_rel_diff", "max_rel_diff_", max),
    ):
        found = [
            value
            for key, value in figures.items()
            if key.startswith(start) and not key.endswith("flash")
        ]
        if found:
            summary[name] = choose(found)
    return {key: float(f"{value:.4g}") for key, value in summary.items()}


def _compare_size(folder: Path, size: str, peers: Sequence[str], rounds: int) -> Figures:
    paths = draw_phantom(folder, size)
    labelmap = sitk.ReadImage(str(paths[1]))
    labels = labels_by_size(labelmap)
    sample = sample_by_size(labels, min(N_SAMPLED.get(size, len(labels)), len(labels)))
    sampled = folder / f"{size}_sampled.nii.gz"
    write_image(sampled, only_labels(labelmap, sample))
    runs: dict[str, list[EngineRun]] = {}
    for _ in range(rounds):
        _take_turn(runs, "ours", paths, labels)
        if len(sample) < len(labels):
            _take_turn(runs, "ours on the sample", (paths[0], sampled), sample)
        for peer in peers:
            if peer not in OF_STATION:
                _take_turn(runs, peer, paths, sample, folder)
            elif size == "station":
                _take_turn(runs, peer, paths, sample_by_size(labels, OF_STATION[peer]), folder)
    n_sampled = f"{len(sample)} of " if len(sample) < len(labels) else ""
    extent = "x".join(map(str, labelmap.GetSize()))
    print(f"\n{size} {extent}, {n_sampled}{len(labels)} labels, load {_load()}")
    print(
        "  engine               CPU s  labels    MB  features  ratio  ratio, all labels (turns)"
        "  equal, worst"
    )
    return _tell(runs, size, len(labels))


def _take_turn(
    runs: dict[str, list[EngineRun]],
    engine: str,
    paths: tuple[Path, Path],
    labels: Sequence[int],
    folder: Path | None = None,
) -> None:
    if engine in runs and not runs[engine]:
        return  # it did not run the first time
    found = runs.setdefault(engine, [])
    try:
        python = None
        if engine in PACKAGES and folder is not None:
            python = make_environment(folder / "peers", engine)
        run = run_engine(
            engine.split()[0],
            paths,
            binning="width25",
            labels=labels,
            repetitions=5 if engine.startswith("ours") else 1,
            python=python,
        )
    except RuntimeError as error:
        print(f"  {engine}: {error}")
    else:
        found.append(run)


def _tell(runs: Mapping[str, Sequence[EngineRun]], size: str, n_labels: int) -> Figures:
    figures: Figures = {}
    all_ours = [run.cpu_s for run in runs["ours"]]
    ours_s = min(all_ours)
    same_s = _least_s(runs.get("ours on the sample", runs["ours"]))
    for engine, found in runs.items():
        if not found:
            print(f"  {engine:18} does not run here")
            continue
        cpu_s, n = _least_s(found), len(found[0].values)
        peak_mb = max(run.peak_mb for run in found)
        n_features = max(map(len, found[0].values.values()))
        n_refused = sum(not of_label for of_label in found[0].values.values())
        line = f"  {engine:18} {cpu_s:8.3f} {n:7} {peak_mb:5.0f} {n_features:9}"
        if not engine.startswith("ours"):
            share = n_labels / n
            turns = [run.cpu_s * share / ours for run, ours in zip(found, all_ours, strict=False)]
            estimate = cpu_s * share / ours_s
            same = "-" if engine in OF_STATION else f"{cpu_s / same_s:.1f}"
            line += f" {same:>6} {estimate:9.1f} ({min(turns):.1f}-{max(turns):.1f})"
            figures[f"ratio_{engine}_{size}"] = estimate
            figures[f"ratio_{engine}_{size}_least"] = min(turns)
            figures[f"ratio_{engine}_{size}_most"] = max(turns)
            if engine not in OF_STATION:
                figures[f"ratio_{engine}_same_labels_{size}"] = cpu_s / same_s
                equal, worst, where = equality(found[0].values, runs["ours"][0].values)
                line += f"  {equal:.4f}, {worst:.1e} {where}"
                figures[f"equal_share_{size}_{engine}"] = equal
                figures[f"max_rel_diff_{size}_{engine}"] = worst
        print(line + f"  {n_refused} labels refused" * bool(n_refused))
    read_s = min(run.read_s for run in runs["ours"])
    print(f"  reading both files {read_s:.3f} s; ours / reading {ours_s / read_s:.2f}", flush=True)
    peak_mb = max(run.peak_mb for run in runs["ours"])
    return figures | {
        f"ratio_read_{size}": ours_s / read_s,
        f"ours_cpu_s_{size}": ours_s,
        f"ours_cpu_s_{size}_most": max(all_ours),
        f"ours_peak_mb_{size}": peak_mb,
    }


def _least_s(runs: Sequence[EngineRun]) -> float:
    return min(run.cpu_s for run in runs)


def _compare_values(folder: Path, size: str) -> Figures:
    """Compare values for other bins with cropped pyradiomics."""
    paths = draw_phantom(folder, size)
    labels = labels_by_size(sitk.ReadImage(str(paths[1])))
    sample = sample_by_size(labels, min(N_COMPARED[size], len(labels)))
    figures: Figures = {}
    for binning in BINNINGS:
        if binning == "width25":
            continue
        try:
            ours, theirs = (
                run_engine(engine, paths, binning=binning, labels=sample, repetitions=1)
                for engine in ("ours", "cropped")
            )
        except RuntimeError as error:
            print(f"  {binning}: {error}")
            continue
        share, worst, where = equality(theirs.values, ours.values)
        print(
            f"  {binning}: {len(sample)} of {len(labels)} labels, ours (all labels) "
            f"{ours.cpu_s:.2f} s, cropped {theirs.cpu_s:.2f} s; equal {share:.4f}, "
            f"worst {worst:.1e} {where}",
            flush=True,
        )
        figures |= {
            f"equal_share_{size}_{binning}": share,
            f"max_rel_diff_{size}_{binning}": worst,
        }
    return figures


def equality(
    theirs: Mapping[str, Mapping[str, float]], ours: Mapping[str, Mapping[str, float]]
) -> tuple[float, float, str]:
    """Share of our values that are theirs, the greatest relative difference, and where it is."""
    n, n_equal, worst, where = 0, 0, 0.0, ""
    for label, reference in theirs.items():
        for name, value in reference.items():
            if name not in ours[label]:
                continue  # flash-radiomics has more features
            found = ours[label][name]
            n += 1
            if (math.isnan(found) and math.isnan(value)) or abs(found - value) <= ZERO:
                n_equal += 1
                continue
            relative = abs(found - value) / max(abs(value), ZERO)
            n_equal += relative <= EQUAL
            if not relative <= worst:
                worst, where = relative, f"{name} of {label}"
    return (n_equal / n if n else math.nan), worst, where


if __name__ == "__main__":
    main()

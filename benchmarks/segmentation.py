"""What segmentation costs: this engine beside stock nnU-Net and mrsegmentator 2.0.0.

    python -m benchmarks.segmentation
    python -m benchmarks.segmentation --sizes station --models phantom2.0 --networks fixed

Images are phantoms: a station 224x174x44 (2.232x2.232x4.5 mm), the six stitched 224x174x370
(3 mm slices), a CT 512x512x300 (0.8x0.8x1.5 mm). Models are the shipped phantom model, and copies
of it whose plans have MRSegmentator's own scale of grid (2 and 1.5 mm) and its resampling of
logits (nnU-Net's default); what these copies label has no meaning, what they cost has. In rows
``tiles`` the network says the same of every tile, in all engines: all else alone, sums over tiles
included. In rows ``fixed`` they are left out, too: the sums are replaced by logits of the image.

Every row is a fresh process with one thread per library. CPU seconds are those of all its
processes; stages are timed in the engines' own functions, in the workers too; ``rest`` is
what no timer saw, mostly the hand-over between processes. ``start`` is what comes once a process:
importing, loading, ending; a shard has hundreds of scans, so ratios leave it and the network out on
both sides, and ``with_start`` figures have it.
Memory is the peak of the proportional set sizes of all processes together.

On a GPU ``benchmarks.segmentation_gpu`` measures.

A run that does not fit into what is free is not started, and the table says so. The last line is
one JSON object.
"""

import argparse
import json
import os
import platform
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final

import torch
from benchmarks.segmentation_agreement import Agreement, compare
from benchmarks.segmentation_cases import MODELS, REPOSITORY, SIZES
from benchmarks.segmentation_levers import LEVERS, line_of_lever
from benchmarks.segmentation_peers import MRSEGMENTATOR, SUFFIX
from benchmarks.segmentation_runs import OURS, STAGE_NAMES, Case, Row, Runs, n_workers_of_peers

ENGINES: Final = ("stock", "mrsegmentator", "ours")
REUSABLE: Final = (*ENGINES, "shard", "levers")
NETWORKS: Final = ("tiles", "fixed", "real")
N_SCANS: Final = {"station": 6, "stitched": 1, "ct": 1}
N_SHARD_SCANS: Final = {"station": 32, "stitched": 8, "ct": 4}
N_LEVER_SCANS: Final = {"station": 3, "stitched": 1, "ct": 1}
# The network is run at the shipped model's own grid: at 2 mm it takes minutes a scan on a CPU.
REAL_MODELS: Final = ("phantom",)
SHARD_MODEL: Final = "phantom2.0"


def main() -> None:
    """Print a table of what each engine costs, one of how labels agree, and the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument(
        "--repeats", type=int, default=1, help="runs of each row; the median is printed"
    )
    parser.add_argument("--n-scans", type=int, help="of each size; 6 stations, 1 of the others")
    parser.add_argument(
        "--shards", action=argparse.BooleanOptionalAction, default=True, help="whole shards of ours"
    )
    parser.add_argument(
        "--levers", action=argparse.BooleanOptionalAction, default=True, help="settings of ours"
    )
    parser.add_argument("--work", type=Path, help="keep images, logits and labels there")
    parser.add_argument(
        "--reuse", nargs="*", choices=REUSABLE, default=(), help="take kept rows of these"
    )
    parser.add_argument(
        "--patience-s", type=float, default=600.0, help="how long to wait for free memory"
    )
    parser.add_argument("--peers", type=Path, default=REPOSITORY / ".venv" / "peers")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.work or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        print_machine()
        if arguments.reuse:
            print(f"rows of {' and '.join(arguments.reuse)} are kept from an earlier run here")
        runs = Runs(
            folder,
            peers=arguments.peers / MRSEGMENTATOR,
            reuse=arguments.reuse,
            patience_s=arguments.patience_s,
        )
        figures = compare_engines(runs, arguments)
        figures |= run_shards(runs, arguments) if arguments.shards else {}
        figures |= compare_levers(runs, arguments) if arguments.levers else {}
    print(json.dumps({name: float(f"{value:.6g}") for name, value in figures.items()}))


def print_machine() -> None:
    """Print what everything ran on."""
    libraries = ", ".join(
        f"{name} {version(name)}" for name in ("torch", "nnunetv2", "SimpleITK", "numba")
    )
    print(
        f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}, {libraries}; one thread per library\n"
        f"instructions: {torch.backends.cpu.get_cpu_capability()}, "
        f"bfloat16 {'yes' if torch.cpu._is_avx512_bf16_supported() else 'no'}\n"
        f"{MRSEGMENTATOR} runs on these too (installed without its pins); "
        "load of the machine before: " + " ".join(f"{load:.1f}" for load in os.getloadavg())
    )


def compare_engines(runs: Runs, arguments: argparse.Namespace) -> dict[str, float]:
    """Run all cases; print a line per engine and case."""
    print(
        "workers: processes for preprocessing, and as many for the export\n"
        "size     model      network engine        workers  n  start |   read prepare network  "
        "export   write    rest | steady s  wall s peak GiB spread\n"
        "                                                     CPU s | CPU s per scan"
    )
    rows: dict[tuple[str, str], Row] = {}
    agreements: dict[str, list[Agreement]] = {}
    for network in arguments.networks:
        for model in arguments.models:
            if network == "real" and model not in REAL_MODELS:
                continue
            for size in arguments.sizes:
                n_scans = arguments.n_scans or N_SCANS[size]
                case = runs.case(size, model, network, n_scans=n_scans)
                for engine in arguments.engines:
                    row, spread = _median(
                        [runs.run(engine, case) for _ in range(arguments.repeats)]
                    )
                    n_workers = 1 if engine in OURS else n_workers_of_peers(case)
                    shown = f"{size:8} {model:10} {network:7} {engine:13} {n_workers:7} "
                    print(f"{shown}{line_of(row)} {spread}", flush=True)
                    if isinstance(row, Row):
                        rows[case.name, engine] = row
                agreements[case.name] = _agree(runs, case, arguments.engines)
    return figures_of(rows, agreements)


def _median(rows: Sequence[Row | str]) -> tuple[Row | str, str]:
    """Return the row with the median of the steady seconds, and how far all lie apart."""
    done = sorted((row for row in rows if isinstance(row, Row)), key=lambda row: row.steady_s)
    if len(done) < len(rows):
        return next(row for row in rows if isinstance(row, str)), ""
    middle = done[len(done) // 2]
    return middle, f"{100 * (done[-1].steady_s - done[0].steady_s) / middle.steady_s:.0f} %"


def run_shards(runs: Runs, arguments: argparse.Namespace) -> dict[str, float]:
    """Print what whole shards cost, as a job runs them; start-up is in the seconds a scan."""
    print(
        "shards by `organome segment-organs`, network fixed, start and end of all processes in\n"
        "size     model         n  CPU s a scan  wall s a scan  peak GiB"
    )
    figures: dict[str, float] = {}
    for size in arguments.sizes:
        case = runs.case(size, SHARD_MODEL, "fixed", n_scans=N_SHARD_SCANS[size])
        row = runs.run("shard", case)
        if isinstance(row, str):
            print(f"{size:8} {SHARD_MODEL:10} {row}", flush=True)
            continue
        wall_s = row.wall_s / row.n_scans
        print(
            f"{size:8} {SHARD_MODEL:10} {row.n_scans:4} {row.all_s:13.2f} {wall_s:14.2f} "
            f"{row.peak_gib:9.2f}",
            flush=True,
        )
        figures |= {f"shard_cpu_s_{size}": row.all_s, f"shard_peak_gib_{size}": row.peak_gib}
    return figures


def compare_levers(runs: Runs, arguments: argparse.Namespace) -> dict[str, float]:
    """Print what settings change in labels, with the real network of the shipped model."""
    print(
        "settings of this engine, shipped model, beside its defaults\n"
        "size     setting    CPU s a scan  network  labels"
    )
    figures: dict[str, float] = {}
    for size in arguments.sizes:
        case = runs.case(size, "phantom", "real", n_scans=arguments.n_scans or N_LEVER_SCANS[size])
        for lever, settings in LEVERS.items():
            row = runs.run("ours", case, settings, name=f"ours-{lever}")
            if isinstance(row, str):
                print(f"{size:8} {lever:10} {row}", flush=True)
                continue
            network_s = row.stages_s["network"] / row.n_scans
            text, found = line_of_lever(
                runs.output(f"ours-{lever}", case), runs.output("ours-default", case)
            )
            seconds = row.steady_s + network_s
            print(f"{size:8} {lever:10} {seconds:12.2f} {network_s:8.2f}  {text}", flush=True)
            figures |= {f"lever_{lever}_{name}_{size}": value for name, value in found.items()}
    return figures


def line_of(row: Row | str) -> str:
    """Write what an engine cost."""
    if isinstance(row, str):
        return row
    shown = [row.stages_s[stage] / row.n_scans for stage in STAGE_NAMES[1:]]
    rest = (row.cpu_s - sum(row.stages_s.values())) / row.n_scans
    return (
        f"{row.n_scans:2} {row.stages_s['start']:6.1f} | "
        + " ".join(f"{seconds:7.2f}" for seconds in (*shown, rest))
        + f" | {row.steady_s:8.2f} {row.wall_s / row.n_scans:7.1f} {row.peak_gib:8.2f}"
    )


def _agree(runs: Runs, case: Case, engines: Iterable[str]) -> list[Agreement]:
    stock = runs.output("stock", case)
    found = []
    for engine in engines:
        if engine == "stock" or not stock.exists():
            continue
        one = [
            compare(path, stock / path.name, case.logits if case.network == "fixed" else None)
            for path in sorted(runs.output(engine, case).glob(f"*{SUFFIX}"))
        ]
        if one:
            worst = min(one, key=lambda each: each.dice_min)
            print(f"    {engine} and stock: {line_of_agreement(one, worst)}", flush=True)
            found += one if engine in OURS else []
    return found


def line_of_agreement(all_scans: list[Agreement], worst: Agreement) -> str:
    """Write how labels agree, over all scans of a case."""
    share = min(each.share for each in all_scans)
    text = f"{100 * share:.4f} % of voxels equal, least Dice {worst.dice_min:.5f} ({worst.worst})"
    n_differing = sum(each.n_differing for each in all_scans)
    right = [each for each in all_scans if each.n_true_here is not None]
    if n_differing and right:
        n_here = sum(each.n_true_here or 0 for each in right)
        n_stock = sum(each.n_true_stock or 0 for each in right)
        exact = min(each.dice_exact or 0.0 for each in right)
        stock_exact = min(each.dice_stock_exact or 0.0 for each in right)
        text += (
            f"; of {n_differing} that differ the exact label is here in {n_here}, in stock in "
            f"{n_stock}; least Dice with it {exact:.5f} here, {stock_exact:.5f} stock"
        )
    return text


def figures_of(
    rows: Mapping[tuple[str, str], Row], agreements: Mapping[str, list[Agreement]]
) -> dict[str, float]:
    """Work out the ratios, by case and the least of each size at MRSegmentator's scale."""
    figures: dict[str, float] = {}
    least: dict[str, list[float]] = defaultdict(list)
    for (case, engine), row in rows.items():
        figures[f"{engine}_cpu_s_{case}"] = row.steady_s
        figures[f"{engine}_peak_gib_{case}"] = row.peak_gib
        ours = rows.get((case, "ours"))
        size, model, network = case.split("_")
        at_scale = network == "tiles" and model != "phantom"
        if engine == "ours" and at_scale and size == "ct":
            least["export_ct"].append(-row.stages_s["export"] / row.n_scans)
        if engine in OURS or ours is None:
            continue
        figures[f"ratio_{engine}_{case}"] = row.steady_s / ours.steady_s
        figures[f"ratio_{engine}_with_start_{case}"] = row.all_s / ours.all_s
        figures[f"memory_ratio_{engine}_{case}"] = ours.peak_gib / row.peak_gib
        if at_scale:
            least[f"{engine}_{size}"].append(row.steady_s / ours.steady_s)
            if engine == "stock":
                least[f"memory_{size}"].append(-ours.peak_gib / row.peak_gib)
    for size in SIZES:
        if least[f"stock_{size}"]:
            figures[f"cpu_ratio_{size}"] = min(least[f"stock_{size}"])
            figures[f"memory_ratio_{size}"] = -min(least[f"memory_{size}"])
        if least[f"mrsegmentator_{size}"]:
            figures[f"ratio_mrsegmentator_{size}"] = min(least[f"mrsegmentator_{size}"])
    if least["export_ct"]:
        figures["export_cpu_s_ct"] = -min(least["export_ct"])
    scans = [one for of_case in agreements.values() for one in of_case]
    if scans:
        figures["agreement_min"] = min(one.share for one in scans)
        figures["dice_min"] = min(one.dice_min for one in scans)
        exact = [one.dice_exact for one in scans if one.dice_exact is not None]
        if exact:
            figures["dice_exact_min"] = min(exact)
    return figures


if __name__ == "__main__":
    main()

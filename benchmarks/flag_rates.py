"""How often flags of organs fire where nothing is wrong: phantoms with their true labels.

    python benchmarks/flag_rates.py [--n 100] [--run RUN ...]

Bodies with a body mass index evenly spread over 16 to 50, their true labels on the grid of stitched
stations as UK Biobank's, with half of the in-plane matrix: sides and orientation are checked as
segment_organs does. Every flag is false. With ``--run`` the flags in the tables of finished runs
are counted, too; there the labels are those of a model. The last line is one JSON object.
"""

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow.parquet as pq

from organome.compute.sides.laterality import check_sides
from organome.compute.sides.orientation import orientation_flags
from organome.domain.organs import ORGANS
from organome.phantoms.bodies.anatomy import draw_body
from organome.phantoms.rendering.fields_of_view import stitched_grid
from organome.phantoms.rendering.render import truth_labelmap

BMI: Final = (16.0, 50.0)


def main() -> None:
    """Print the rates."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--n", type=int, default=100, help="bodies")
    parser.add_argument("--run", type=Path, action="append", default=[], help="run folder")
    arguments = parser.parse_args()
    counted: dict[str, Counter[str]] = {"true labels": _of_phantoms(arguments.n)}
    counted |= {f"run {place}": _of_run(one) for place, one in enumerate(arguments.run)}
    print(f"{'labels':14} {'flag':34} {'fired':>7} {'of':>7} {'%':>6}")
    figures: dict[str, dict[str, float]] = {}
    for labels, counts in counted.items():
        for name in sorted(name for name in counts if not name.startswith("n ")):
            n = counts["n scans" if "scans" in name else "n organs"]
            pct = 100 * counts[name] / max(n, 1)
            print(f"{labels:14} {name:34} {counts[name]:7} {n:7} {pct:6.2f}")
            figures.setdefault(labels, {})[name] = round(pct, 2)
    print(json.dumps({"n_bodies": arguments.n, "pct": figures}))


def _of_phantoms(n_bodies: int) -> Counter[str]:
    counts = Counter({"side_suspect": 0, "scans with side_suspect": 0, "scans turned": 0})
    grid = stitched_grid(reduce=2)
    for seed, bmi in enumerate(np.linspace(*BMI, n_bodies).tolist()):
        body = draw_body(seed, bmi_kg_m2=bmi, spacing_xyz_mm=(4.0, 4.0, 5.0))
        labels = truth_labelmap(body, grid)
        sides = check_sides(labels, ORGANS)
        findings = [one for one in sides.values() if one is not None]
        counts.update(["n scans"], **{"n organs": len(sides), "side_suspect": len(findings)})
        counts.update(f"side_suspect: {one}" for one in findings)
        counts["scans with side_suspect"] += bool(findings)
        counts["scans turned"] += bool(orientation_flags(labels, ORGANS, sides))
    return counts


def _of_run(run: Path) -> Counter[str]:
    tables = run / "results/tables"
    columns = ["scan", "side_suspect", "side_finding"]
    rows = pq.read_table(tables / "organs", columns=columns).to_pylist()
    scans = pq.read_table(tables / "scans", columns=["status", "flags"]).to_pylist()
    flags = [(one["flags"] or "").split(";") for one in scans if one["status"] == "done"]
    odd = [one for one in rows if one["side_suspect"]]
    counts = Counter(f"side_suspect: {one['side_finding']}" for one in odd)
    counts.update(f"scans with {name}" for of_scan in flags for name in of_scan if name)
    counts["scans with side_suspect"] = len({one["scan"] for one in odd})
    counts["side_suspect"] = len(odd)
    counts["n scans"] = len(flags)
    counts["n organs"] = sum(one["side_suspect"] is not None for one in rows)
    return counts


if __name__ == "__main__":
    main()

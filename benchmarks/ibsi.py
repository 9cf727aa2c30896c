"""The consensus of the IBSI's first part: how many values are met, and what its features cost.

    python -m benchmarks.ibsi

Reads ../shared/data/ibsi: the digital phantom, the CT phantom, and the values agreed on for the
former and for configurations A to E of the latter. A value counts as met within the tolerance given
beside it, or, without one, if it rounds to the value. The second table is CPU time of one core, all
labels of a phantom, least of some runs that take turns: today's 107 features, and with those of the
IBSI in the volume, in all aggregations, or in the volume with Moran's I and Geary's C.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Final

import SimpleITK as sitk
from benchmarks.radiomics_phantoms import SIZES, draw_phantom

from organome.compute.radiomics.extraction import extract_features
from organome.domain.ibsi_features import Extent
from organome.domain.radiomics_settings import IbsiSettings, RadiomicsSettings

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from doubles.ibsi import CONFIGURATIONS, as_agreed, consensus, measure, pyradiomics_tags

ROUNDS: Final = 5
KINDS: Final = {
    "107": IbsiSettings(),
    "+ IBSI 3D": IbsiSettings((Extent.VOLUME,)),
    "+ IBSI all": IbsiSettings(tuple(Extent)),
    "+ IBSI 3D, autocorrelation": IbsiSettings((Extent.VOLUME,), autocorrelation=True),
}


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="*", choices=SIZES, default=list(SIZES))
    arguments = parser.parse_args()
    print("Values met, of those agreed on")
    for configuration in CONFIGURATIONS:
        print_agreement(configuration)
    print("\nCPU seconds, all labels of a phantom")
    for size in arguments.sizes:
        print_cost(size)


def print_agreement(configuration: str) -> None:
    """Print how many values a configuration meets, by family."""
    agreed, region = consensus(configuration), measure(configuration)
    met, asked = Counter[str](), Counter[str]()
    for name, value in region.values.items():
        tag = name.removeprefix("original_ibsi_")
        if tag != name:
            family = tag.split("_")[0]
            asked[family] += 1
            met[family] += agreed[tag].includes(value)
    tags = pyradiomics_tags("2_5D" if configuration in ("A", "B") else "3D")
    for name, tag in tags.items():
        value = as_agreed(name, region.values[f"original_{name}"], region.n_voxels)
        asked["pyradiomics"] += 1
        met["pyradiomics"] += agreed[tag].includes(value)
    added = sum(n for family, n in asked.items() if family != "pyradiomics")
    n_met = sum(n for family, n in met.items() if family != "pyradiomics")
    families = ", ".join(f"{family} {met[family]}/{n}" for family, n in asked.items())
    print(f"  {configuration:8} IBSI {n_met}/{added}: {families}")


def print_cost(size: str) -> None:
    """Print what each kind of features costs on a phantom."""
    with tempfile.TemporaryDirectory() as folder:
        paths = draw_phantom(Path(folder), size)
        image, labelmap = (sitk.ReadImage(str(path)) for path in paths)
    best = dict.fromkeys(KINDS, float("inf"))
    for _ in range(ROUNDS):
        for kind, ibsi in KINDS.items():
            settings = replace(RadiomicsSettings(), ibsi=ibsi)
            begin = time.process_time()
            extract_features(image, labelmap, settings)
            best[kind] = min(best[kind], time.process_time() - begin)
    today = best["107"]
    said = ", ".join(
        f"{kind} {seconds:.3f} ({seconds / today:.2f})" for kind, seconds in best.items()
    )
    print(f"  {size:8} {said}")


if __name__ == "__main__":
    main()

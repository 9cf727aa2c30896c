"""The phantoms of the IBSI's first part, its configurations, and the values agreed on.

Source: Zwanenburg et al. 2020, Radiology 295; phantoms and tables lie beside the repository where
they are there at all (the CT phantom must not be passed on for commercial use).
"""

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import SimpleITK as sitk

from doubles.places import SHARED_DATA
from organome.compute.radiomics.extraction import RegionFeatures, extract_features
from organome.domain.features import IBSI_CODES
from organome.domain.ibsi_features import DIRECTED, PLAIN_TAGS, TEXTURE_NAMES, describe_tag
from organome.domain.radiomics_parameters import read_parameters

FOLDER: Final = SHARED_DATA / "ibsi"
DIGITAL: Final = "digital"


def _file(setting: Mapping[str, Any], **own: Any) -> dict[str, Any]:
    return {
        "setting": setting,
        "organome": {"processing": "ibsi", "ibsiAutocorrelation": True, **own},
    }


_SLICES: Final = ["2D", "2_5D"]
_CUBES: Final = {"resampledPixelSpacing": [2, 2, 2], "interpolator": "sitkLinear"}
_SPLINE: Final = _CUBES | {"interpolator": "sitkBSpline"}
_SQUARES: Final = {"resampledPixelSpacing": [2, 2, 0], "interpolator": "sitkLinear"}
# Parameter files, by the name of the configuration.
CONFIGURATIONS: Final[Mapping[str, dict[str, Any]]] = {
    DIGITAL: _file({"binWidth": 1}, ibsiFeatures=["2D", "2_5D", "3D"]),
    "A": _file(
        {"binWidth": 25, "resegmentRange": [-500, 400], "force2D": True}, ibsiFeatures=_SLICES
    ),
    "B": _file(
        _SQUARES | {"binCount": 32, "resegmentRange": [-500, 400], "force2D": True},
        ibsiFeatures=_SLICES,
    ),
    "C": _file(
        _CUBES | {"binWidth": 25, "resegmentRange": [-1000, 400]},
        ibsiFeatures=["3D"],
        ivhBinWidth=2.5,
    ),
    "D": _file(_CUBES | {"binCount": 32}, ibsiFeatures=["3D"], outlierSigma=3),
    "E": _file(
        _SPLINE | {"binCount": 32, "resegmentRange": [-1000, 400]},
        ibsiFeatures=["3D"],
        outlierSigma=3,
        ivhBinCount=1000,
    ),
}


@dataclass(frozen=True, slots=True)
class Agreed:
    """A value that was agreed on, to three digits, with the tolerance given beside it."""

    value: float
    tolerance: float

    def includes(self, found: float) -> bool:
        """Return whether a value lies within; without a tolerance, all that rounds to it does."""
        exact = 10 ** (math.floor(math.log10(abs(self.value))) - 2) / 2 if self.value else 0.0
        return abs(found - self.value) <= (self.tolerance or exact) * (1 + 1e-9) + 1e-12


def consensus(configuration: str) -> dict[str, Agreed]:
    """Read the values of a configuration, by tag."""
    name = "digital_phantom" if configuration == DIGITAL else f"ct_config_{configuration.lower()}"
    with Path(FOLDER / f"consensus_{name}.csv").open(encoding="utf-8") as file:
        return {
            row["tag"].strip(): Agreed(float(row["reference value"]), float(row["tolerance"]))
            for row in csv.DictReader(file, delimiter=";")
            if row["reference value"]
        }


def phantom(configuration: str) -> tuple[sitk.Image, sitk.Image]:
    """Read the phantom of a configuration and its mask."""
    name = DIGITAL if configuration == DIGITAL else "ct"
    image = sitk.ReadImage(str(FOLDER / f"{name}_phantom_image.nii.gz"), sitk.sitkInt16)
    mask = sitk.ReadImage(str(FOLDER / f"{name}_phantom_mask.nii.gz"), sitk.sitkUInt8)
    return image, mask


@cache
def measure(configuration: str) -> RegionFeatures:
    """Measure the phantom as a configuration says."""
    settings = read_parameters(CONFIGURATIONS[configuration], source=configuration)
    return extract_features(*phantom(configuration), settings)[1]


def as_agreed(name: str, value: float, n_voxels: int) -> float:
    """Turn a feature of pyradiomics into the IBSI's, where the definitions differ."""
    if name == "firstorder_Kurtosis":
        return value - 3
    if name.endswith("AxisLength"):
        return value * math.sqrt(n_voxels / (n_voxels - 1))
    return value


_FAMILIES: Final = {"glcm": "cm", "glrlm": "rlm", "glszm": "szm", "ngtdm": "ngt", "gldm": "ngl"}
_PLAIN: Final = [*PLAIN_TAGS[: PLAIN_TAGS.index("ih_mean")], "ih_entropy", "ih_uniformity"]


def pyradiomics_tags(extent: str) -> dict[str, str]:
    """Find the tag of each feature of pyradiomics that has a code.

    Args:
        extent: Of its textures: ``3D``, or ``2_5D`` with ``force2D``.
    """
    plain = {describe_tag(tag)[1]: tag for tag in _PLAIN}
    textures = {
        (family, describe_tag(tag)[1].split(",")[0]): tag
        for family, names in TEXTURE_NAMES.items()
        for name in names
        for tag in [f"{family}_{name}_{extent}{'_avg' if family in DIRECTED else ''}"]
    }
    return {
        f"{of_class}_{name}": textures[_FAMILIES[of_class], code]
        if of_class in _FAMILIES
        else plain[code]
        for of_class, codes in IBSI_CODES.items()
        for name, code in codes.items()
    }

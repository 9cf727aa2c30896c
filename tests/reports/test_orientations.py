"""How an image is stored changes no organ; a header that mirrors or overturns a body is flagged."""

from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from organome.domain.flags import Flag
from organome.domain.organs import ORGAN_BY_NAME
from organome.domain.outcomes import Outcome
from organome.steps.listing import list_scans
from organome.steps.measure import measure_volumes
from organome.steps.prepare import prepare_images
from organome.steps.segment import segment_organs

SIZE_XYZ = (60, 24, 40)
AFFINE = np.array([[-5.0, 0, 0, 150], [0, -5, 0, 60], [0, 0, 6, 900], [0, 0, 0, 1]])  # LPS
FLIPS = list(product((False, True), repeat=3))
# Index x grows to the left of the body, z to the head.
BOXES = {
    "spine": np.s_[28:32, 14:18, :],
    "left_kidney": np.s_[38:44, 12:18, 16:22],
    "right_kidney": np.s_[16:22, 12:18, 16:20],
    "liver": np.s_[8:26, 4:11, 18:26],
    "spleen": np.s_[44:52, 4:11, 20:26],
    "left_lung": np.s_[36:52, 4:16, 27:39],
    "right_lung": np.s_[8:24, 4:16, 27:39],
    "left_hip": np.s_[34:44, 6:14, 2:10],
    "right_hip": np.s_[16:26, 6:14, 2:10],
}


def _labels() -> Any:
    labels = np.zeros(SIZE_XYZ, np.uint8)
    for name, box in BOXES.items():
        labels[box] = ORGAN_BY_NAME[name].label
    return labels


def _save(path: Path, voxels: Any, flips: tuple[bool, ...], signs: Any = (1, 1, 1)) -> None:
    """Save with axes flipped, in array and affine alike; signs are errors of the header."""
    affine = AFFINE.copy()
    for axis, is_flipped in enumerate(flips):
        if is_flipped:
            affine[:3, 3] += affine[:3, axis] * (voxels.shape[axis] - 1)
            affine[:3, axis] *= -1
            voxels = np.flip(voxels, axis)
    nib.save(nib.Nifti1Image(voxels, np.diag([*signs, 1]) @ affine), path)


def _run(folder: Path, files: Mapping[str, tuple[str, str]]) -> dict[str, tuple[Any, Any]]:
    """Take scans from list to volumes; facts of labelling and measuring by participant."""
    lines = ["participant\tinstance\tprotocol\tcontrast\timage\tlabelmap"]
    lines += [f"{name}\t0\tmr\tt1\t{image}\t{labels}" for name, (image, labels) in files.items()]
    (folder / "scans.tsv").write_text("\n".join(lines) + "\n")
    list_scans.run(kind="folder", cohort="c", root=folder / "scans.tsv", scans=folder / "scans")
    common: dict[str, Any] = {"shard": folder / "scans" / "0000.parquet"}
    images, labels, volumes = (folder / one for one in ("images", "labels", "volumes"))
    prepare_images.run(output=images, work=folder / "w1", kind="folder", **common)
    labelled = segment_organs.run(
        images=images, output=labels, work=folder / "w2", source="labelmaps", **common
    )
    measured = measure_volumes.run(
        images=images, labelmaps=labels, output=volumes, work=folder / "w3", **common
    )
    return {
        name: (_facts(one), _facts(other))
        for name, one, other in zip(sorted(files), labelled, measured, strict=True)
    }


def _facts(outcome: Outcome) -> Any:
    assert outcome.reason is None, outcome.fact
    return outcome.facts


@pytest.mark.odd_input(
    "N-71",
    make="one image and labelmap in eight storages, left-handed ones among them; the image in one "
    "and the labelmap in another",
    source="own",
    outcome="the same volume for the left and for the right organ, no side suspect",
)
@pytest.mark.odd_input(
    "N-72",
    make="a header whose first or third axis, or both, have the wrong sign",
    source="own",
    outcome="flags `mirrored`, `upside_down`; `side_finding` of each organ",
)
def test_left_and_right_whatever_the_storage(tmp_path: Path) -> None:
    voxels = np.random.default_rng(0).integers(0, 500, SIZE_XYZ).astype(np.int16)
    files: dict[str, tuple[str, str]] = {}
    for place, flips in enumerate(FLIPS):
        _save(tmp_path / f"i{place}.nii.gz", voxels, flips)
        _save(tmp_path / f"l{place}.nii.gz", _labels(), flips)
        files[f"a{place}"] = (f"i{place}.nii.gz", f"l{place}.nii.gz")
    _save(tmp_path / "ib.nii.gz", voxels, FLIPS[1])
    _save(tmp_path / "lb.nii.gz", _labels(), FLIPS[6])
    files["b"] = ("ib.nii.gz", "lb.nii.gz")
    for name, signs in (("m", (-1, 1, 1)), ("u", (1, 1, -1)), ("r", (-1, 1, -1))):
        _save(tmp_path / f"i{name}.nii.gz", voxels, FLIPS[0], signs)
        _save(tmp_path / f"l{name}.nii.gz", _labels(), FLIPS[0], signs)
        files[f"x{name}"] = (f"i{name}.nii.gz", f"l{name}.nii.gz")
    found = _run(tmp_path, files)
    expected = {name: _labels()[box].size * 0.15 for name, box in BOXES.items()}
    for name, (labelled, measured) in found.items():
        organs = measured["organs"]
        for organ, volume_ml in expected.items():
            assert organs[organ]["volume_observed_ml"] == pytest.approx(volume_ml), (name, organ)
        suspect = {one for one, facts in labelled["sides"].items() if facts["finding"]}
        flags = set(labelled.get("flags", ())) - {Flag.LABELMAP_TURNED}
        if name[0] in "ab":
            assert not suspect
            assert not flags
        else:
            is_mirrored = name in ("xm", "xr")
            assert bool(suspect) is is_mirrored
            assert (Flag.MIRRORED in flags) is is_mirrored
            assert (Flag.UPSIDE_DOWN in flags) is (name in ("xu", "xr"))

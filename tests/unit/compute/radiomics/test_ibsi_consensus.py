"""The consensus of the IBSI's first part: its own processing, its own features.

Source: Zwanenburg et al. 2020, Radiology 295; configurations A to E of its CT phantom, and the
digital phantom.
"""

import pytest

from doubles.ibsi import (
    CONFIGURATIONS,
    DIGITAL,
    FOLDER,
    as_agreed,
    consensus,
    measure,
    pyradiomics_tags,
)

pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason="the phantoms of the IBSI are not beside the repository"
)
N_ADDED = {DIGITAL: 482, "A": 346, "B": 346, "C": 210, "D": 210, "E": 210}


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_every_value_agreed_on_is_met(configuration: str) -> None:
    agreed, region = consensus(configuration), measure(configuration)
    assert region.reason is None
    added = {
        name.removeprefix("original_ibsi_"): value
        for name, value in region.values.items()
        if name.startswith("original_ibsi_")
    }
    assert len(added) == len(agreed.keys() & added.keys()) == N_ADDED[configuration]
    outside = {tag: value for tag, value in added.items() if not agreed[tag].includes(value)}
    assert not outside


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_features_of_pyradiomics_that_have_a_code_meet_it(configuration: str) -> None:
    # The mesh of pyradiomics and its names; kurtosis and axes by their stated other definitions.
    agreed, region, tags = consensus(configuration), measure(configuration), _tags(configuration)
    assert len(tags) == 102
    outside = {}
    for name, tag in tags.items():
        value = as_agreed(name, region.values[f"original_{name}"], region.n_voxels)
        if not agreed[tag].includes(value):
            outside[name] = value
    assert not outside


def _tags(configuration: str) -> dict[str, str]:
    return pyradiomics_tags("2_5D" if configuration in ("A", "B") else "3D")

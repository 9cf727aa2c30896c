from datetime import datetime

import numpy as np
import pytest

from organome.domain.organs import ORGAN_BY_NAME
from organome.phantoms.bodies.anatomy import Body
from organome.phantoms.bodies.people import Covariates
from organome.phantoms.delivery.cohort import Visit


@pytest.fixture(scope="session")
def body() -> Body:
    """A block of muscle with a liver in it, over all stations."""
    tissue_zyx = np.full((60, 10, 12), ORGAN_BY_NAME["left_gluteus_maximus"].label, np.uint8)
    tissue_zyx[35:45, 2:8, 2:6] = ORGAN_BY_NAME["liver"].label
    return Body(
        covariates=Covariates("female", 57.9, 1.684, 71.25),
        tissue_zyx=tissue_zyx,
        spacing_xyz_mm=(30.0, 30.0, 20.0),
        origin_xyz_mm=(-165.0, -135.0, -480.0),
        volumes_ml={"liver": 4320.0},
    )


@pytest.fixture(scope="session")
def visit() -> Visit:
    return Visit(
        participant="1234567",
        instance="2",
        body_seed=5,
        sex="female",
        years_later=0.0,
        started=datetime(2015, 1, 5, 8, 30),
        with_ct=False,
    )

"""Headers of small series, as they would come from DICOM files."""

from collections.abc import Callable, Sequence

import pytest

from organome.domain.headers import Header
from organome.domain.scans import DIXON_CONTRASTS, Contrast

MakeSeries = Callable[..., list[Header]]
SUFFIXES = dict(zip(DIXON_CONTRASTS, ("in", "opp", "F", "W"), strict=True))


@pytest.fixture
def make_series() -> MakeSeries:
    """A function that makes the headers of one axial series."""

    def make(
        *,
        number: int = 1,
        description: str = "Dixon_noBH_in",
        image_type: tuple[str, ...] = ("ORIGINAL",),
        uid: str | None = None,
        time: str = "20200101120000",
        n: int = 10,
        step_mm: float = 3.0,
        first_z_mm: float = 0.0,
        size_xy: tuple[int, int] = (16, 12),
        x_mm: float = 0.0,
        instances: Sequence[int] | None = None,
        modality: str = "MR",
    ) -> list[Header]:
        return [
            Header(
                file=f"{number}.{index}.dcm",
                series_uid=uid or f"1.2.{number}",
                series_number=number,
                series_description=description,
                series_time=time,
                image_type=image_type,
                instance_number=instances[index] if instances else index + 1,
                modality=modality,
                size_xy=size_xy,
                spacing_xy_mm=(2.0, 2.0),
                position_xyz_mm=(x_mm, 0.0, first_z_mm + index * step_mm),
                orientation=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
            )
            for index in range(n)
        ]

    return make


@pytest.fixture
def make_station(make_series: MakeSeries) -> Callable[..., list[Header]]:
    """A function that makes the four series of a station; station 1 is at the head."""

    def make(
        station: int,
        *,
        first_series: int | None = None,
        time: str = "20200101120000",
        contrasts: Sequence[Contrast] = DIXON_CONTRASTS,
        **changes: object,
    ) -> list[Header]:
        start = first_series or 4 * (station - 1) + 1
        return [
            header
            for contrast in contrasts
            for header in make_series(
                number=start + DIXON_CONTRASTS.index(contrast),
                description=f"Dixon_BH_17s_{SUFFIXES[contrast]}",
                time=time,
                **({"first_z_mm": -24.0 * station} | changes),
            )
        ]

    return make

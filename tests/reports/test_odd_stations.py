"""Stations that stay scans of their own: one volume per organ and visit, nothing counted twice.

Source: readings of our own code; the station layout of UK Biobank, whose slices and rows differ.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from organome.compute.geometry.arrays import Voxels
from organome.compute.geometry.grids import Grid
from organome.compute.labelmaps.ownership import Ownership
from organome.compute.labelmaps.volumes import measure_organs
from organome.domain.organs import ORGAN_BY_NAME, ORGANS
from organome.domain.outcomes import Outcome, Reason, Status
from organome.domain.rows import organ_rows, scan_row
from organome.domain.scans import Scan
from organome.domain.schemes import MRSEGMENTATOR
from organome.domain.tables import ORGAN_ROWS
from organome.domain.volume_bounds import implausible_size
from organome.io.labelled import LabelledShard
from organome.io.tables.parquet import rows_to_arrow
from organome.phantoms.bodies.anatomy import draw_body
from organome.phantoms.rendering.fields_of_view import station_grids, stitched_grid
from organome.phantoms.rendering.render import truth_labelmap
from organome.steps.collect.parts import ORGAN_COLUMNS, OrganValue, visit_rows
from organome.steps.measure.measure_volumes import MeasureVolumes

SPACING_XYZ_MM = (4.0, 4.0, 3.0)
LIVER, SPLEEN, COLON = (ORGAN_BY_NAME[name].label for name in ("liver", "spleen", "colon"))


@dataclass(frozen=True, kw_only=True)
class InMemory(LabelledShard):
    """A shard whose labelmaps are at hand; images show nothing that matters here."""

    stations: Mapping[str, sitk.Image]

    def read_labelmap(self, scan: Scan) -> sitk.Image:
        return self.stations[scan.scan]

    def read_image(self, scan: Scan, contrast: str) -> sitk.Image:
        return self.stations[scan.scan]


def visit_of(
    stations: Sequence[sitk.Image], numbers: Sequence[int], *, failed: int | None = None
) -> dict[str, Any]:
    """Measure stations that are scans of their own; return the row of the visit."""
    scans = [
        Scan(f"0000-{place:04d}", "demo", "01", "2", "0", "dixon", (), station=number)
        for place, number in enumerate(numbers)
    ]
    labelled = {
        scan.scan: Outcome(scan.scan, "segment", Status.DONE, "l", facts={"contrast": "water"})
        for scan in scans
    }
    if failed is not None:
        key = scans[failed].scan
        fault = Outcome(key, "prepare", Status.FAILED, "f", Reason.SLICES_MISSING, "one")
        labelled[key] = fault
    prepared = {
        key: one if one.status is Status.FAILED else replace(one, facts={"flags": []})
        for key, one in labelled.items()
    }
    at_hand = {scan.scan: one for scan, one in zip(scans, stations, strict=True)}
    shard = InMemory(Path(), Path(), prepared, labelled, MRSEGMENTATOR, stations=at_hand)
    step = MeasureVolumes(scans, shard)
    rows, values = [], {}
    for scan in sorted(scans, key=lambda one: one.station or 0):
        outcome = labelled[scan.scan]
        if outcome.status is Status.DONE:
            facts = json.loads(json.dumps(step.run_scan(scan, outcome, Path)))
            outcome = replace(outcome, facts=facts)
        of_scan = (scan, outcome, (prepared[scan.scan], labelled[scan.scan]))
        rows.append(scan_row(*of_scan))
        organs = rows_to_arrow(ORGAN_ROWS, list(organ_rows(*of_scan))).to_pylist()
        values[scan.scan] = [OrganValue(*(row[name] for name in ORGAN_COLUMNS)) for row in organs]
    (row,) = visit_rows(rows, values)
    return {name: value for name, value in row.items() if name != "scan"}


def on_grid(
    voxels_zyx: Voxels, low_mm: float = 0.0, spacing_mm: Sequence[float] = SPACING_XYZ_MM
) -> sitk.Image:
    image = sitk.GetImageFromArray(voxels_zyx)
    image.SetSpacing(spacing_mm)
    image.SetOrigin((0.0, 0.0, low_mm))
    return image


def body() -> sitk.Image:
    """A liver over both seams, a spleen on one side of the first, a colon that is cut below."""
    labels_zyx = np.zeros((100, 60, 70), np.uint8)
    z, y, x = np.indices(labels_zyx.shape)
    labels_zyx[((z - 52) / 34) ** 2 + ((y - 28) / 18) ** 2 + ((x - 20) / 14) ** 2 < 1] = LIVER
    labels_zyx[((z - 80) / 12) ** 2 + ((y - 30) / 10) ** 2 + ((x - 50) / 10) ** 2 < 1] = SPLEEN
    labels_zyx[:30, 20:40, 45:60] = COLON
    return on_grid(labels_zyx)


CUTS = ((62, 100), (28, 74), (0, 38))  # slices of the stations, from head to foot


def cut(whole: sitk.Image) -> list[sitk.Image]:
    return [whole[:, :, low:high] for low, high in CUTS]


def volumes_ml(labelmap: sitk.Image) -> dict[str, float]:
    return {
        ORGANS[label - 1].name: measure.volume_observed_ml
        for label, measure in measure_organs(labelmap).items()
    }


@pytest.mark.odd_input(
    "V-130",
    make="`stations: separate`: an organ that goes over two seams, so that each station cuts it",
    source="own",
    outcome="one volume per visit, dealt out at the midline of each seam; cut only at outer faces",
)
def test_an_organ_over_seams_has_one_volume() -> None:
    truth = volumes_ml(body())
    row = visit_of(cut(body()), (1, 2, 3))
    assert row["liver_volume_ml"] == pytest.approx(truth["liver"], rel=1e-9)
    assert row["spleen_volume_ml"] == pytest.approx(truth["spleen"], rel=1e-9)
    assert (row["colon_volume_ml"], row["colon_na_reason"]) == (None, "truncated")


def test_stations_in_any_order_give_the_same_bytes() -> None:
    rows = [
        visit_of([cut(body())[at] for at in order], [at + 1 for at in order])
        for n, order in enumerate(permutations(range(3)))
    ]
    assert rows[0]["liver_volume_ml"] is not None
    assert all(repr(row) == repr(rows[0]) for row in rows)


@pytest.mark.odd_input(
    "V-131",
    make="`stations: separate`, and a station lacks, or failed",
    source="own",
    outcome="organs that reach its space are `truncated`; all others keep their volume",
)
@pytest.mark.parametrize("failed", [0, 1, 2])
@pytest.mark.parametrize("is_listed", [True, False])
def test_where_a_station_lacks_organs_are_cut(failed: int, is_listed: bool) -> None:
    places = [place for place in range(3) if is_listed or place != failed]
    row = visit_of(
        [cut(body())[place] for place in places],
        [place + 1 for place in places],
        failed=failed if is_listed else None,
    )
    assert (row["liver_volume_ml"], row["liver_na_reason"]) == (None, "truncated")
    spleen_is_whole = failed != 0
    assert (row["spleen_volume_ml"] is not None) == spleen_is_whole
    assert (row["spleen_na_reason"] is None) == spleen_is_whole


def test_a_stray_at_an_outer_face_does_not_cost_a_liver() -> None:
    stations = cut(body())
    labels_zyx = sitk.GetArrayFromImage(stations[0])
    labels_zyx[labels_zyx == LIVER] = 0
    labels_zyx[-1, 5:7, 5:7] = LIVER
    row = visit_of([on_grid(labels_zyx, 62 * 3.0), *stations[1:]], (1, 2, 3))
    assert row["liver_volume_ml"] > 0.8 * volumes_ml(body())["liver"]


def test_what_a_station_shows_in_the_space_of_another_is_not_counted() -> None:
    stations = cut(body())
    labels_zyx = sitk.GetArrayFromImage(stations[0])
    labels_zyx[0:5, 2:20, 2:20] = ORGAN_BY_NAME["gallbladder"].label
    row = visit_of([on_grid(labels_zyx, 62 * 3.0), *stations[1:]], (1, 2, 3))
    assert row["gallbladder_volume_ml"] is None
    assert row["gallbladder_na_reason"] == "removed_or_missed"  # says the station that owns there


@pytest.mark.odd_input(
    "V-132",
    make="`stations: separate`, a narrower station whose side face cuts a muscle",
    source="own; fields of view of UK Biobank",
    outcome="`truncated`, unless a wider station shows what goes on there",
)
@pytest.mark.parametrize(("column", "reason"), [(0, "truncated"), (3, None)])
def test_an_organ_at_the_edge_of_a_narrower_station_is_cut(column: int, reason: str | None) -> None:
    labels_zyx = np.zeros((100, 60, 70), np.uint8)
    labels_zyx[10:60, 20:40, 5 + column : 35] = LIVER
    wide = on_grid(labels_zyx)
    upper, lower = wide[:, :, 40:], wide[5:65, :, :50]
    row = visit_of([upper, lower], (1, 2))
    assert row["liver_na_reason"] == reason
    assert (row["liver_volume_ml"] is None) == (reason is not None)


@pytest.mark.parametrize("flipped", [False, True])
def test_every_place_is_owned_once(flipped: bool) -> None:
    """Shares of stations with other slices, half a voxel apart, add up to 1 along the body."""
    upper = on_grid(np.zeros((20, 6, 6), np.uint8), 61.0, (4.0, 4.0, 4.5))
    middle = on_grid(np.zeros((30, 6, 6), np.uint8), 0.0)
    lower = on_grid(np.zeros((12, 6, 4), np.uint8), -31.5, (4.0, 4.0, 3.5))
    stations = [upper, middle, lower]
    if flipped:
        stations[1] = sitk.DICOMOrient(middle, "RSA")
    grids = [Grid.of(one) for one in stations]
    length_mm = np.zeros((6, 6))
    for place, grid in enumerate(grids):
        ownership = Ownership.of((grid, None), [(one, None) for one in grids if one is not grid])
        assert ownership is not None
        share_zyx = grid.to_lps(ownership.share_zyx)
        assert share_zyx.min() >= 0
        length_mm[:, : share_zyx.shape[2]] += (
            share_zyx.sum(axis=0) * stations[place].GetSpacing()[grid.body_axis]
        )
    top_mm, bottom_mm = 61.0 + 19.5 * 4.5, -31.5 - 3.5 / 2
    np.testing.assert_allclose(length_mm[:, :4], top_mm - bottom_mm, atol=1e-3)
    np.testing.assert_allclose(length_mm[:, 4:], top_mm + 1.5, atol=1e-3)


def test_stations_that_lie_askew_are_not_fused() -> None:
    upper, lower = body()[:, :, 40:], body()[:, :, :50]
    tilted = sitk.Image(lower)
    tilted.SetDirection(sitk.Euler3DTransform((0.0, 0.0, 0.0), 0.1, 0.0, 0.0).GetMatrix())
    row = visit_of([upper, tilted], (1, 2))
    assert (row["liver_volume_ml"], row["liver_na_reason"]) == (None, "truncated")


def stations_of(whole: sitk.Image) -> list[sitk.Image]:
    """Cut a labelmap into the stations of UK Biobank: their heights, overlaps, rows and columns."""
    here, stations = Grid.of(whole), []
    for grid in station_grids(reduce=4):
        station = grid.onto(np.zeros(grid.size_xyz[::-1], np.uint8))
        faces_xyz = here.faces_xyz(Grid.of(station))
        assert faces_xyz is not None
        low, high = np.rint(faces_xyz + 0.5).astype(int).T
        high = np.minimum(high, whole.GetSize())
        stations.append(whole[tuple(map(slice, np.maximum(low, 0).tolist(), high.tolist()))])
    return stations


def test_a_phantom_in_six_stations_has_the_volumes_of_one_in_a_piece() -> None:
    whole = truth_labelmap(draw_body(3, spacing_xyz_mm=(8.0, 8.0, 6.0)), stitched_grid(reduce=4))
    row = visit_of(stations_of(whole), range(1, 7))
    errors = {}
    for label, measure in measure_organs(whole).items():
        name = ORGANS[label - 1].name
        if not measure.touches and not implausible_size(name, measure.volume_observed_ml):
            assert row[f"{name}_na_reason"] is None, name
            errors[name] = row[f"{name}_volume_ml"] / measure.volume_observed_ml - 1
        elif measure.touches:
            assert row[f"{name}_na_reason"] == "truncated"
    assert len(errors) > 25
    assert max(map(abs, errors.values())) < 1e-6  # 0.01 is asked for


def _line(low_mm: float, n: int, height_mm: float) -> Grid:
    return Grid(
        (2, 2, n),
        (4.0, 4.0, height_mm),
        (0.0, 0.0, low_mm + height_mm / 2),
        (1, 0, 0, 0, 1, 0, 0, 0, 1),
    )


@pytest.mark.odd_input(
    "V-180",
    make="`stations: separate`: three stations at one place; some that end at one height, of other "
    "slices; one inside of another",
    source="own",
    outcome="what stations own adds up to what they saw together, once; equal ones share it",
)
@pytest.mark.parametrize(
    "stations",
    [
        [_line(0, 30, 4), _line(0, 60, 2), _line(0, 40, 3)],
        [_line(0, 30, 4), _line(0.3, 10, 8), _line(0.3, 20, 3)],
        [_line(0, 30, 4), _line(50, 10, 2), _line(58, 4, 1)],
        [_line(0, 20, 4), _line(60, 20, 3), _line(62, 10, 5)],
    ],
)
def test_no_place_is_owned_twice_however_stations_lie(stations: list[Grid]) -> None:
    owned_ml = 0.0
    for at, grid in enumerate(stations):
        others = [(other, None) for place, other in enumerate(stations) if place != at]
        ownership = Ownership.of((grid, None), others)
        assert ownership is not None
        owned_ml += float(ownership.share_zyx.sum()) * float(np.prod(grid.spacing_mm))
    assert owned_ml == pytest.approx(120 * 64, rel=1e-5)

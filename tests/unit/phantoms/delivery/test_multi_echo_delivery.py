"""From planted fat fractions through archive, fit and the labels of another grid to numbers."""

from pathlib import Path

import pytest
import SimpleITK as sitk

from organome.compute.dixon.slice_measures import SliceMaps, measure_on_slices
from organome.domain.contrasts import PDFF_MAPS, pdff_map_name
from organome.domain.organs import ORGAN_BY_NAME
from organome.domain.scans import Scan, Source
from organome.io.images.image_files import read_published_slice
from organome.phantoms.bodies.anatomy import Body
from organome.phantoms.delivery.cohort import Visit
from organome.phantoms.delivery.multi_echo_delivery import deliver_multi_echo
from organome.phantoms.rendering.fields_of_view import station_grids
from organome.phantoms.rendering.render import truth_labelmap
from organome.steps.prepare.slices import write_slices

LIVER, MUSCLE = "liver", "left_gluteus_maximus"
LIVER_MM = 300.0  # a height at which the phantom has one


@pytest.mark.parametrize(("pdff_pct", "r2star_per_s"), [(0, 20), (5, 100), (20, 60), (40, 100)])
def test_planted_fat_fractions_are_found_with_labels_of_the_dixon_grid(
    tmp_path: Path, body: Body, visit: Visit, pdff_pct: float, r2star_per_s: float
) -> None:
    path = deliver_multi_echo(
        body,
        visit,
        folder=tmp_path,
        field="20254",
        pdff_pct={LIVER: pdff_pct, MUSCLE: 20.0},
        r2star_per_s=r2star_per_s,
        height_mm=LIVER_MM,
        reduce=3,
    )
    scan = Scan("0000-0000", "c", "1", "2", "0", "dixon", (Source(str(path)),))
    facts = write_slices(
        scan, frame_uid="", place=lambda name: tmp_path / name, check_root=lambda: None
    )
    assert (facts["pdff_liver_n_slices"], facts["pdff_liver_flags"]) == (1, [])
    maps = SliceMaps(*(_read(tmp_path, which) for which in PDFF_MAPS))
    labelmap = truth_labelmap(body, station_grids()[2])
    labels = {name: ORGAN_BY_NAME[name].label for name in (LIVER, MUSCLE)}
    measures = measure_on_slices(labelmap, [maps], list(labels.values()))
    for name, planted_pct in ((LIVER, pdff_pct), (MUSCLE, 20.0)):
        measure = measures[labels[name]]
        assert measure.n_voxels > 200
        assert measure.median_pct == pytest.approx(planted_pct, abs=1.0)
        assert measure.mean_pct == pytest.approx(planted_pct, abs=1.0)
        assert measure.r2star_median_per_s == pytest.approx(r2star_per_s, abs=3.0)


def _read(folder: Path, which: str) -> sitk.Image:
    return read_published_slice(folder / f"{pdff_map_name('liver', 1, which)}.nii.gz")

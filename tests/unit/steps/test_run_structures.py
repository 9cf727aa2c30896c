"""Runs whose label scheme has structures of its own, from images to cohort tables."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import SimpleITK as sitk
import yaml

from doubles.measured import cohort, scan_of
from doubles.models import tiny_plans
from doubles.plans import CONFIGURATION, write_model
from doubles.releases import scheme_dataset, tiny_weights
from organome.domain.errors import SetupError
from organome.domain.organs import BODY_COMPOSITION, ORGANS
from organome.domain.outcomes import Reason, Status
from organome.domain.scans import Contrast, Scan, Source
from organome.domain.schemes import BODY_COMPOSITION_SCHEME, MRSEGMENTATOR, LabelScheme
from organome.domain.tables import ORGAN_ROWS, with_structures
from organome.io.images.image_files import write_image
from organome.io.models.folders import model_digest
from organome.io.tables.parquet import read_structures, read_table, rows_to_arrow, write_table
from organome.io.tables.scan_lists import write_shard
from organome.io.tables.schemes import find_scheme
from organome.phantoms.bodies.anatomy import draw_body
from organome.phantoms.rendering.render import SampledGrid, render_dixon
from organome.steps.canary import make_canary
from organome.steps.collect import collect_tables
from organome.steps.measure import measure_volumes
from organome.steps.prepare import prepare_images
from organome.steps.radiomics import measure_radiomics
from organome.steps.segment import segment_organs

GRID = SampledGrid((40, 30, 24), (10.0, 10.0, 10.0), (-195.0, -145.0, 120.0))


def write_model_of(folder: Path, scheme: LabelScheme) -> Path:
    """Write a tiny network with one output for each class of a scheme."""
    write_model(
        folder,
        plans=tiny_plans(spacing_zyx_mm=(10.0, 10.0, 10.0)),  # a tile or two a scan
        dataset=scheme_dataset(scheme),
        configuration=CONFIGURATION,
        weights=tiny_weights(n_outputs=len(scheme.classes) + 1, n_folds=1),
    )
    return folder


@dataclass(frozen=True)
class PhantomRun:
    """Two Dixon scans of a phantom, a CT, and a file that is not there, on their way to tables."""

    folder: Path

    def at(self, step: str) -> Path:
        return self.folder / "results" / step / "0000"

    def places(self, step: str) -> dict[str, Path]:
        return {
            "shard": self.folder / "scans" / "0000.parquet",
            "output": self.at(step),
            "work": self.folder / "work" / step,
        }

    def prepare(self) -> None:
        body = draw_body(1)
        scans = [
            self._scan(place, render_dixon(body, GRID, np.random.default_rng(place)))
            for place in range(2)
        ]
        hounsfield = np.random.default_rng(9).normal(40, 9, (12, 15, 20)).astype(np.int16)
        scans.append(self._scan(2, {Contrast.CT: sitk.GetImageFromArray(hounsfield)}))
        scans.append(self._scan(3, {}))
        write_shard(self.folder / "scans" / "0000.parquet", scans)
        prepare_images.run(**self.places("prepare_images"), kind="folder")

    def segment(self, model: Path, scheme: str) -> Sequence[Any]:
        return segment_organs.run(
            **self.places("segment_organs"),
            images=self.at("prepare_images"),
            model=model,
            scheme=scheme,
            contrasts=(Contrast.WATER, Contrast.CT),
            device="cpu",
        )

    def measure(self) -> None:
        measure_volumes.run(
            **self.places("measure_volumes"),
            images=self.at("prepare_images"),
            labelmaps=self.at("segment_organs"),
        )

    def collect(self) -> Path:
        collect_tables.run(
            scans=self.folder / "scans",
            results=self.folder / "results",
            output=self.folder / "tables",
        )
        return self.folder / "tables"

    def _scan(self, place: int, images: dict[Contrast, sitk.Image]) -> Scan:
        sources = []
        for contrast in (Contrast.WATER, Contrast.FAT, Contrast.CT):
            path = self.folder / "files" / f"{place}_{contrast}.nii.gz"
            if contrast in images:
                write_image(path, images[contrast])
                sources.append(Source(str(path), contrast))
        return Scan(
            scan=f"0000-{place:04d}",
            cohort="c",
            participant=f"p{place}",
            instance="2",
            array="0",
            protocol="ct" if Contrast.CT in images else "dixon",
            sources=tuple(sources) or (Source(str(path), Contrast.WATER),),
        )


@pytest.fixture(scope="module")
def body_composition(tmp_path_factory: pytest.TempPathFactory) -> PhantomRun:
    run = PhantomRun(tmp_path_factory.mktemp("body_composition"))
    run.prepare()
    model = write_model_of(run.folder / "models" / "body", BODY_COMPOSITION_SCHEME)
    run.segment(model, "body_composition")
    run.measure()
    return run


def rows(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return found


NAMES = [one.name for one in BODY_COMPOSITION]


def test_each_scan_has_ten_rows_whatever_became_of_it(body_composition: PhantomRun) -> None:
    organs = rows(body_composition.collect() / "organs")
    assert [(row["scan"], row["label"], row["organ"]) for row in organs] == [
        (f"0000-{place:04d}", label, name)
        for place in range(4)
        for label, name in enumerate(NAMES, start=1)
    ]
    regions = {row["organ"]: (row["region"], row["side"]) for row in organs}
    assert regions["visceral_fat"] == ("adipose_tissue", "none")
    assert regions["left_oblique_muscle"] == ("musculoskeletal", "left")
    assert {row["scheme"] for row in organs} == {"body_composition", None}


def test_the_network_labels_mri_and_its_volumes_stand_in_the_table(
    body_composition: PhantomRun,
) -> None:
    organs = rows(body_composition.collect() / "organs")
    done = [row for row in organs if row["status"] == "done"]
    assert {row["scan"] for row in done} == {"0000-0000", "0000-0001"}
    assert all(row["n_voxels"] is not None for row in done)
    total_ml = sum(row["volume_observed_ml"] or 0.0 for row in done if row["scan"] == "0000-0000")
    assert total_ml > 0
    assert {row["model_digest"] for row in done} == {
        model_digest(body_composition.folder / "models" / "body")
    }


def test_ct_is_refused_with_a_reason(body_composition: PhantomRun) -> None:
    (ct,) = (
        row for row in rows(body_composition.collect() / "scans") if row["scan"] == "0000-0002"
    )
    assert (ct["status"], ct["reason"]) == (Status.FAILED, Reason.CONTRAST_MISSING)
    assert ct["fact"] == "has ct; label scheme body_composition is for mri only"


def test_visits_and_dictionary_follow(body_composition: PhantomRun) -> None:
    tables = body_composition.collect()
    visits = pq.read_table(tables / "visits")
    per_organ = [name for name in visits.column_names if name.endswith(("_ml", "_na_reason"))]
    assert per_organ == [f"{name}_{what}" for name in NAMES for what in ("volume_ml", "na_reason")]
    assert visits.num_rows == 4
    dictionary = json.loads((tables / "dictionary.json").read_text())["tables"]
    assert "10 rows per scan" in dictionary["organs"]["row"]
    columns = {column["name"]: column for column in dictionary["organs"]["columns"]}
    assert columns["organ"]["levels"] == NAMES
    named = [column["name"] for column in dictionary["visits"]["columns"]]
    assert named == visits.column_names


def test_radiomics_follow(body_composition: PhantomRun, tmp_path: Path) -> None:
    settings = tmp_path / "firstorder.yaml"
    settings.write_text(yaml.safe_dump({"featureClass": {"firstorder": None}}))
    measure_radiomics.run(
        shard=body_composition.folder / "scans" / "0000.parquet",
        output=tmp_path / "radiomics" / "0000",
        work=tmp_path / "work",
        images=body_composition.at("prepare_images"),
        labelmaps=body_composition.at("segment_organs"),
        settings=[f"water={settings}"],
    )
    found = rows(tmp_path / "radiomics" / "0000" / "radiomics.parquet")
    assert [row["organ"] for row in found] == NAMES * 4


def test_a_canary_names_what_the_run_measures(body_composition: PhantomRun, tmp_path: Path) -> None:
    made = make_canary.run(
        images=body_composition.at("prepare_images"),
        labelmaps=body_composition.at("segment_organs"),
        output=tmp_path / "canary",
        n_scans=1,
    )
    (scan,) = made.canary.scans
    assert scan.volumes_ml
    assert set(scan.volumes_ml) <= set(NAMES)


def test_a_model_of_another_scheme_is_refused_before_a_scan_is_touched(
    body_composition: PhantomRun, tmp_path: Path
) -> None:
    model = body_composition.folder / "models" / "body"
    run = PhantomRun(tmp_path)
    with pytest.raises(SetupError, match=r"body has 10 classes, .* mrsegmentator has 40"):
        run.segment(model, "mrsegmentator")
    assert not run.at("segment_organs").exists()


FILE = {
    "name": "trunk",
    "classes": {
        1: {"class": "fat", "becomes": "fat"},
        2: {"class": "left lobe", "becomes": "liver"},
        3: {"class": "right lobe", "becomes": "liver"},
        4: {"class": "table", "becomes": None},
    },
    "structures": ["liver", {"name": "fat", "region": "adipose_tissue"}, "thymus"],
}


def test_a_scheme_file_makes_structures_of_any_model(
    body_composition: PhantomRun, tmp_path: Path
) -> None:
    file = tmp_path / "trunk.yaml"
    file.write_text(yaml.safe_dump(FILE))
    scheme = find_scheme(str(file))
    run = PhantomRun(tmp_path)
    for part in ("scans", "results/prepare_images"):
        (tmp_path / part).parent.mkdir(exist_ok=True)
        (tmp_path / part).symlink_to(body_composition.folder / part)
    run.segment(write_model_of(tmp_path / "models" / "trunk", scheme), str(file))
    file.unlink()  # what the labels mean is published with them
    run.measure()
    organs = rows(run.collect() / "organs")
    assert len(organs) == 4 * 3
    of_first = [row for row in organs if row["scan"] == "0000-0000"]
    assert [(row["organ"], row["label"], row["region"]) for row in of_first] == [
        *(("liver", 1, "gastrointestinal_tract"), ("fat", 2, "adipose_tissue")),
        ("thymus", 3, "other"),
    ]
    assert of_first[2]["na_reason"] == "not_in_scheme"
    assert {row["scheme"] for row in of_first} == {scheme.name}
    assert scheme.name.startswith("trunk@")
    ct = [row for row in organs if row["scan"] == "0000-0002"]
    assert {row["status"] for row in ct} == {"done"}  # the file names no modality


def test_shards_of_other_structures_than_most_are_not_measured(tmp_path: Path) -> None:
    """One shard never stops the tables, and a table has the same organs for all scans."""
    made = cohort(tmp_path, [[scan_of("001")], [scan_of("002")], [scan_of("003")]])
    path = tmp_path / "results" / "measure_volumes" / "0001" / "organs.parquet"
    ten = read_table(path).slice(0, 10).to_pylist()
    table = with_structures(ORGAN_ROWS, BODY_COMPOSITION)
    write_table(path, rows_to_arrow(table, ten))
    collect_tables.run(**made, output=tmp_path / "tables")
    organs = rows(tmp_path / "tables" / "organs")
    assert len(organs) == 3 * 40
    assert {row["scan"] for row in organs if row["na_reason"] == "shard_differs"} == {"0001-0000"}


def test_tables_say_their_structures_unless_these_are_the_40_organs(tmp_path: Path) -> None:
    write_table(tmp_path / "40.parquet", rows_to_arrow(ORGAN_ROWS, []))
    assert read_structures(tmp_path / "40.parquet") == ORGANS
    assert b"organome.structures" not in pq.read_schema(tmp_path / "40.parquet").metadata
    table = with_structures(ORGAN_ROWS, BODY_COMPOSITION)
    write_table(tmp_path / "10.parquet", rows_to_arrow(table, []))
    assert read_structures(tmp_path / "10.parquet") == BODY_COMPOSITION
    assert MRSEGMENTATOR.structures is ORGANS

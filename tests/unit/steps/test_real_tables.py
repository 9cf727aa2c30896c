"""A cohort of real scans that are segmented already, from its sheet to its tables."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from doubles.places import SHARED_DATA
from doubles.schemes import merged
from organome.domain.organs import N_ORGANS, ORGANS
from organome.domain.scans import Stations
from organome.domain.schemes import TOTALSEGMENTATOR_CT
from organome.io.tables.parquet import read_table
from organome.steps.collect import collect_tables
from organome.steps.listing import list_scans
from organome.steps.measure import measure_volumes
from organome.steps.prepare import prepare_images
from organome.steps.segment import segment_organs

REAL = SHARED_DATA / "real"

pytestmark = pytest.mark.skipif(
    not REAL.is_dir(), reason="the shared test data are not beside the repository"
)


def tables_of(
    run: Path, *, image: str, labelmap: str, protocol: str, scheme: str
) -> dict[str, list[dict[str, Any]]]:
    """Run one scan as a folder cohort through all steps."""
    (run / "cohort").mkdir(parents=True)
    (run / "cohort" / "scans.tsv").write_text(
        "participant\tprotocol\tcontrast\timage\tlabelmap\n"
        f"p01\t{protocol}\t{protocol}\t{REAL / image}\t{REAL / labelmap}\n"
    )
    list_scans.run(
        kind="folder",
        cohort="real",
        root=run / "cohort" / "scans.tsv",
        scans=run / "scans",
        shard_size=10,
        stations=Stations.STITCH,
        protocols=[protocol],
    )
    shard, results, work = run / "scans" / "0000.parquet", run / "results", run / "work"
    images, labelmaps, measured = (
        results / step / "0000" for step in ("prepare_images", "segment_organs", "measure_volumes")
    )
    prepare_images.run(shard=shard, output=images, work=work / "p", kind="folder")
    segment_organs.run(
        shard=shard,
        images=images,
        output=labelmaps,
        work=work / "s",
        source="labelmaps",
        scheme=scheme,
    )
    measure_volumes.run(
        shard=shard, images=images, labelmaps=labelmaps, output=measured, work=work / "m"
    )
    collect_tables.run(scans=run / "scans", results=results, output=run / "tables")
    return {
        table: pa.concat_tables(
            read_table(part) for part in sorted((run / "tables" / table).iterdir())
        ).to_pylist()
        for table in ("scans", "organs", "visits")
    }


def test_ct_gives_the_volumes_of_the_reference_exactly(tmp_path: Path) -> None:
    tables = tables_of(
        tmp_path,
        image="example_ct_sm.nii.gz",
        labelmap="example_seg_fast.nii.gz",
        protocol="ct",
        scheme="totalsegmentator_ct",
    )
    statistics = json.loads((REAL / "example_seg_fast_statistics.json").read_text())
    organs = {row["organ"]: row for row in tables["organs"]}
    assert len(tables["organs"]) == len(organs) == N_ORGANS
    for source, label in TOTALSEGMENTATOR_CT.organ_labels.items():
        organ = ORGANS[label - 1].name
        if organ in merged(TOTALSEGMENTATOR_CT):
            continue
        row, reference = organs[organ], statistics[TOTALSEGMENTATOR_CT.classes[source]]
        if reference["volume"] == 0.0:
            assert row["na_reason"] in ("not_found", "outside_view"), (organ, row["na_reason"])
            assert row["volume_observed_ml"] is None
        else:
            assert row["volume_observed_ml"] == reference["volume"] / 1000
            assert row["volume_ml"] == (None if row["truncated"] else row["volume_observed_ml"])
            assert row["intensity_mean"] == pytest.approx(reference["intensity"], abs=1e-4)
    (visit,) = tables["visits"]
    assert visit["pancreas_volume_ml"] == statistics["pancreas"]["volume"] / 1000
    assert (visit["liver_volume_ml"], visit["liver_na_reason"]) == (None, "truncated")


def test_mr_is_measured_under_its_own_scheme(tmp_path: Path) -> None:
    tables = tables_of(
        tmp_path,
        image="example_mr_sm.nii.gz",
        labelmap="example_seg_mr.nii.gz",
        protocol="t1",
        scheme="totalsegmentator_mr",
    )
    (scan,) = tables["scans"]
    assert (scan["status"], scan["contrast"], scan["scheme"]) == (
        *("done", "t1", "totalsegmentator_mr"),
    )
    found = [row for row in tables["organs"] if row["n_voxels"]]
    assert len(found) == 21
    assert {row["na_reason"] for row in tables["organs"]} == {*(None, "truncated", "outside_view")}
    assert all(row["volume_observed_ml"] == row["n_voxels"] * 27 / 1000 for row in found)


def test_labelmap_read_with_a_smaller_scheme_fails_the_scan(tmp_path: Path) -> None:
    tables = tables_of(
        tmp_path,
        image="example_ct_sm.nii.gz",
        labelmap="example_seg_fast.nii.gz",
        protocol="ct",
        scheme="totalsegmentator_mr",
    )
    (scan,) = tables["scans"]
    assert (scan["reason"], scan["failed_step"]) == ("label_unknown", "segment_organs")
    assert {row["na_reason"] for row in tables["organs"]} == {"label_unknown"}
    assert len(tables["organs"]) == N_ORGANS

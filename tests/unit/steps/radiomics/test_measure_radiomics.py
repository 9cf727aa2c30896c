import math
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from doubles import radiomics_peak
from doubles.features import measure_features, unexplained
from doubles.measurable import MeasurableShard
from organome.compute.radiomics.extraction import RegionFeatures
from organome.compute.radiomics.textures import Intensities
from organome.domain.errors import MachineFault, SetupError
from organome.domain.features import feature_names
from organome.domain.outcomes import FeatureReason, Outcome, Reason, Status
from organome.domain.radiomics_settings import Engine, TextureSettings
from organome.domain.radiomics_tables import feature_columns
from organome.domain.scans import Scan
from organome.io.images.image_files import read_image, write_image
from organome.io.labelled import LabelledShard
from organome.io.tables.parquet import read_table
from organome.shards.run import run_shard
from organome.shards.work_folder import read_outcomes
from organome.steps.radiomics import measure_radiomics
from organome.steps.radiomics.measure_radiomics import measured_rows, peak_bytes, run
from organome.steps.radiomics.plans import read_plans
from organome.steps.radiomics.region_rows import region_values

CONTRASTS = ("fat", "water")
CONTRAST = "original_glcm_Contrast"
FACTS = {
    "prepare_images": {"contrasts": CONTRASTS},
    "segment_organs": {"contrast": "water", "scheme": "amos22"},
}


class Shard(MeasurableShard):
    """A shard whose images are noise, with three organs."""

    def __init__(self, folder: Path, n_scans: int = 2) -> None:
        super().__init__(folder, FACTS, n_scans=n_scans)
        for place, scan in enumerate(self.scans):
            chance = np.random.default_rng(place)
            for contrast in CONTRASTS:
                voxels_zyx = chance.normal(400, 80, (14, 15, 16)).astype(np.int16)
                voxels_zyx[10:] = 0
                write_image(
                    self.images / f"{scan.scan}_{contrast}.nii.gz", on_2_mm_grid(voxels_zyx)
                )
            labels_zyx = np.zeros((14, 15, 16), np.uint8)
            labels_zyx[1:8, 3:9, 3:9] = 5
            labels_zyx[6:12, 10:14, 10:14] = 1
            labels_zyx[13, 0, 0] = 2
            path = self.labelmaps / f"{scan.scan}_labels.nii.gz"
            write_image(path, on_2_mm_grid(labels_zyx))

    def parameters(self, text: str = "setting: {binWidth: 20}") -> Path:
        path = self.folder / "parameters.yaml"
        path.write_text(text)
        return path

    def measure(
        self, *contrasts: str, output: str = "output", n_processes: int = 1, **more: Any
    ) -> tuple[Outcome, ...]:
        self.write_ledgers()
        path = self.folder / "parameters.yaml"
        return run(
            shard=self.listing,
            images=self.images,
            labelmaps=self.labelmaps,
            output=self.folder / output,
            work=self.folder / "work" / output,
            settings=[
                f"{name}={path if path.exists() else self.parameters()}" for name in contrasts
            ],
            n_processes=n_processes,
            **more,
        )

    def rows(self, output: str = "output") -> list[dict[str, Any]]:
        table = read_table(self.folder / output / "radiomics.parquet")
        rows: list[dict[str, Any]] = table.to_pylist()
        return rows


def on_2_mm_grid(voxels_zyx: Any) -> sitk.Image:
    image = sitk.GetImageFromArray(voxels_zyx)
    image.SetSpacing((2.0, 2.0, 2.0))
    return image


def row_of(
    rows: Sequence[dict[str, Any]], organ: str, contrast: str, scan: str = "0000-0000"
) -> dict[str, Any]:
    key = (organ, contrast, scan)
    (row,) = (row for row in rows if (row["organ"], row["contrast"], row["scan"]) == key)
    return row


def test_every_scan_has_a_row_for_each_organ_and_contrast(tmp_path: Path) -> None:
    shard = Shard(tmp_path, n_scans=3)
    shard.prepared["0000-0001"] = shard.labelled["0000-0001"] = Outcome(
        "0000-0001", "prepare_images", Status.FAILED, "f", Reason.ARCHIVE_EMPTY, "no member"
    )
    outcomes = shard.measure("water", "ct")
    assert [outcome.status for outcome in outcomes] == ["done", "failed", "done"]
    rows = shard.rows()
    assert len(rows) == 3 * 40 * 2
    assert row_of(rows, "liver", "water", "0000-0001")["na_reason"] == "archive_empty"
    assert row_of(rows, "liver", "ct")["na_reason"] == "contrast_missing"
    assert row_of(rows, "liver", "water")["na_reason"] is None
    assert row_of(rows, "right_kidney", "water")["na_reason"] == "single_voxel"
    assert row_of(rows, "pancreas", "water")["na_reason"] == "not_found"
    assert row_of(rows, "colon", "water")["na_reason"] == "not_in_scheme"
    assert row_of(rows, "pancreas", "water")["n_voxels"] == 0
    assert row_of(rows, "colon", "water")["n_voxels"] is None


def test_rows_say_which_organs_are_cut_by_the_image(tmp_path: Path) -> None:
    shard = Shard(tmp_path, n_scans=1)
    shard.measure("water")
    cut = {row["organ"]: row["truncated"] for row in shard.rows()}
    assert (cut["liver"], cut["right_kidney"], cut["pancreas"]) == (False, True, None)


LEVELS = {"original": Intensities(0, 2, 3, n_levels=4)}
ONE_LEVEL = {"original": Intensities(0, 1, 1, n_levels=1)}
GLCM, NGTDM = "original_glcm_MCC", "original_ngtdm_Busyness"
VOLUME, MEAN, ENTROPY = (
    *("original_shape_VoxelVolume", "original_firstorder_Mean", "original_firstorder_Entropy"),
)
LOG = "log-sigma-9-0-mm-3D_firstorder_Mean"


@pytest.mark.parametrize(
    ("region", "asked_for", "reason", "features"),
    [
        # No value at all.
        (RegionFeatures(1, reason=FeatureReason.SINGLE_VOXEL), [MEAN, GLCM], "single_voxel", None),
        # Not a number.
        (
            RegionFeatures(9, {MEAN: 1.0, GLCM: math.nan, NGTDM: math.inf}, None, LEVELS),
            [MEAN, GLCM, NGTDM],
            "undefined",
            "original=undefined",
        ),
        # A filter that does not fit, beside something undefined.
        (
            RegionFeatures(9, {MEAN: 1.0, GLCM: math.nan}, None, LEVELS),
            [MEAN, GLCM, LOG],
            "undefined",
            "log-sigma-9-0-mm-3D=image_too_small;original=undefined",
        ),
        # One grey level: the texture is null, though pyradiomics has constants.
        (
            RegionFeatures(9, {MEAN: 1.0, ENTROPY: 0.0, GLCM: 1.0}, None, ONE_LEVEL),
            [MEAN, ENTROPY, GLCM],
            "one_grey_level",
            "original=one_grey_level",
        ),
        # Too many: what needs no levels is there.
        (
            RegionFeatures(
                9,
                {VOLUME: 9.0, MEAN: 1.0},
                FeatureReason.TOO_MANY_LEVELS,
                {"original": Intensities(0, 9, 9999, 10000, too_many_levels=True)},
            ),
            [VOLUME, MEAN, ENTROPY, GLCM],
            "too_many_levels",
            "original=too_many_levels",
        ),
        # A shape without a fat fraction.
        (
            RegionFeatures(9, {VOLUME: 9.0}, FeatureReason.NO_SIGNAL),
            [VOLUME, MEAN],
            "no_signal",
            "original=no_signal",
        ),
        # All there that is asked for; another image's filter is not.
        (RegionFeatures(9, {MEAN: 1.0}, None, LEVELS), [MEAN], None, None),
    ],
)
def test_what_is_null_has_a_reason(
    region: RegionFeatures, asked_for: list[str], reason: str | None, features: str | None
) -> None:
    row = region_values(region, asked_for, asked_for)
    assert (row["na_reason"], row.get("na_features")) == (reason, features)
    assert unexplained({**dict.fromkeys(asked_for), **row}, asked_for) == []
    row = region_values(region, asked_for, [*asked_for, "wavelet-HHH_firstorder_Mean"])
    if features is not None or reason is None:
        assert "wavelet-HHH=not_in_settings" in row["na_features"].split(";")
    assert row["na_reason"] == reason


def test_reasons_are_said_of_classes_and_features_where_they_differ() -> None:
    region = RegionFeatures(9, {GLCM: 1.0, ENTROPY: 0.0, MEAN: math.nan}, None, ONE_LEVEL)
    row = region_values(region, [MEAN, ENTROPY, GLCM], [MEAN, ENTROPY, GLCM, VOLUME])
    assert row["na_features"].split(";") == [
        f"{ENTROPY}=one_grey_level",
        f"{MEAN}=undefined",
        "original_glcm=one_grey_level",
        "original_shape=not_in_settings",
    ]


def test_no_feature_of_a_table_is_null_without_a_reason(tmp_path: Path) -> None:
    shard = Shard(tmp_path, n_scans=1)
    text = "imageType: {Original: {}, LoG: {sigma: [2.0, 40.0]}}"
    (tmp_path / "water.yaml").write_text(text)
    (tmp_path / "fat_fraction.yaml").write_text("setting: {binWidth: 200}")
    shard.write_ledgers()
    outcomes = run(
        shard=shard.listing,
        images=shard.images,
        labelmaps=shard.labelmaps,
        output=tmp_path / "output",
        work=tmp_path / "work",
        settings=[f"{name}={tmp_path / name}.yaml" for name in ("water", "fat_fraction")],
    )
    assert [outcome.status for outcome in outcomes] == ["done"]
    rows = shard.rows()
    names = feature_columns(list(rows[0]))
    assert [left for row in rows if (left := unexplained(row, names))] == []
    water, fraction = (row_of(rows, "liver", image) for image in ("water", "fat_fraction"))
    assert water["na_features"] == "log-sigma-40-0-mm-3D=image_too_small"
    assert water["n_grey_levels"] > 10
    assert water["intensity_min"] == water["original_firstorder_Minimum"]
    assert water["intensity_p999"] <= water["intensity_max"] == water["original_firstorder_Maximum"]
    assert fraction["na_reason"] == "one_grey_level"
    assert fraction[CONTRAST] is None
    assert fraction["original_firstorder_Mean"] > 0
    assert (water["share_with_signal"], fraction["share_with_signal"]) == (None, 1)


def test_a_scan_is_not_measured_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shard = Shard(tmp_path, n_scans=3)
    shard.measure("water", output="whole")
    measured: list[str] = []

    def cut_off_at_the_third(scan: Scan, *more: Any) -> Any:
        measured.append(scan.scan)
        if len(measured) == 3:
            raise KeyboardInterrupt
        return rows_of(scan, *more)

    def run_here(step: Any, *, workers: Any, **more: Any) -> Any:
        return run_shard(step, **more)  # worker processes would not see the patch

    rows_of = measure_radiomics.measured_rows
    monkeypatch.setattr(measure_radiomics, "run_shard", run_here)
    monkeypatch.setattr(measure_radiomics, "measured_rows", cut_off_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        shard.measure("water")
    shard.measure("water")
    assert measured == ["0000-0000", "0000-0001", "0000-0002", "0000-0002"]
    whole, resumed = (
        (tmp_path / name / "radiomics.parquet").read_bytes() for name in ("whole", "output")
    )
    assert whole == resumed


def test_the_number_of_files_does_not_depend_on_the_number_of_scans(tmp_path: Path) -> None:
    shard = Shard(tmp_path, n_scans=3)
    shard.measure("water")
    published = {path.name for path in (tmp_path / "output").iterdir()}
    assert published == {"journal.jsonl", "ledger.parquet", "radiomics.parquet", "radiomics.zip"}


def test_packed_rows_serve_the_next_run(tmp_path: Path) -> None:
    shard = Shard(tmp_path, n_scans=3)
    shard.measure("water")
    before = (tmp_path / "output" / "radiomics.parquet").read_bytes()
    kept = read_outcomes(tmp_path / "none", tmp_path / "output")
    labels_zyx = np.zeros((14, 15, 16), np.uint8)
    labels_zyx[1:8, 3:9, 3:9] = 1
    write_image(shard.labelmaps / "0000-0001_labels.nii.gz", on_2_mm_grid(labels_zyx))
    shard.measure("water")
    after = read_outcomes(tmp_path / "none", tmp_path / "output")
    assert [key for key in kept if kept[key] != after[key]] == ["0000-0001"]
    assert row_of(shard.rows(), "spleen", "water", "0000-0001")["n_voxels"] == 7 * 6 * 6
    assert (tmp_path / "output" / "radiomics.parquet").read_bytes() != before


@pytest.mark.parametrize("at_share", [0.3, 0.99])
def test_rows_that_were_damaged_in_the_pack_are_measured_again(
    tmp_path: Path, at_share: float
) -> None:
    shard = Shard(tmp_path, n_scans=3)
    shard.measure("water")
    before = (tmp_path / "output" / "radiomics.parquet").read_bytes()
    pack = tmp_path / "output" / "radiomics.zip"
    content = bytearray(pack.read_bytes())
    content[int(at_share * len(content))] ^= 0x10
    pack.write_bytes(content)
    for _ in range(2):
        with suppress(MachineFault):
            shard.measure("water")
    assert (tmp_path / "output" / "radiomics.parquet").read_bytes() == before


def test_order_of_settings_does_not_matter(tmp_path: Path) -> None:
    shard = Shard(tmp_path, n_scans=1)
    shard.measure("water", "fat", output="one")
    shard.measure("fat", "water", output="other")
    assert shard.rows("one") == shard.rows("other")


def test_an_image_of_two_plans_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard, read, real = Shard(tmp_path, n_scans=1), list[str](), LabelledShard.read_image

    def noted(published: LabelledShard, scan: Scan, contrast: str) -> sitk.Image:
        read.append(contrast)
        return real(published, scan, contrast)

    monkeypatch.setattr(LabelledShard, "read_image", noted)
    shard.write_ledgers()
    published = LabelledShard.open(shard.images, shard.labelmaps, shard.scans)
    settings = [f"{contrast}={shard.parameters()}" for contrast in ("fat_fraction", "water")]
    plans = read_plans(settings, Engine.NATIVE)
    assert len(list(measured_rows(shard.scans[0], published, plans))) == 2 * 40
    assert read == ["fat", "water"]


def test_numbers_are_those_of_the_image(tmp_path: Path) -> None:
    shard = Shard(tmp_path)
    shard.measure("fat", "water")
    for contrast in CONTRASTS:
        image = read_image(shard.images / f"0000-0001_{contrast}.nii.gz")
        labelmap = read_image(shard.labelmaps / "0000-0001_labels.nii.gz")
        expected = measure_features(image, labelmap, TextureSettings(bin_width=20))[5]
        row = row_of(shard.rows(), "liver", contrast, "0000-0001")
        assert {name: row[name] for name in feature_names()} == expected.values
        assert row["n_voxels"] == 7 * 6 * 6


def test_fat_fraction_is_an_image_of_its_own_in_percent(tmp_path: Path) -> None:
    shard = Shard(tmp_path)
    shard.measure("fat_fraction")
    shard.measure("water", output="water")
    liver = row_of(shard.rows(), "liver", "fat_fraction")
    assert 45 < liver["original_firstorder_Mean"] < 55
    # What has no signal has no fat fraction, but a shape: that of the whole organ.
    spleen, water = (
        row_of(shard.rows(output), "spleen", image)
        for output, image in (("output", "fat_fraction"), ("water", "water"))
    )
    assert (spleen["n_voxels"], spleen["share_with_signal"]) == (6 * 4 * 4, 4 / 6)
    for name in feature_names():
        if "_shape_" in name:
            assert spleen[name] == water[name]
    gone = row_of(shard.rows(), "right_kidney", "fat_fraction")
    assert (gone["n_voxels"], gone["share_with_signal"]) == (1, 0)
    assert gone["na_reason"] == "no_signal"


def test_processes_change_no_byte(tmp_path: Path) -> None:
    shard = Shard(tmp_path, n_scans=4)
    shard.measure("water", output="alone")
    for n_processes in (2, 3):
        shard.measure("water", output=f"by {n_processes}", n_processes=n_processes)
    tables = {path.read_bytes() for path in tmp_path.glob("*/radiomics.parquet")}
    assert len(list(tmp_path.glob("*/radiomics.parquet"))) == 3
    assert len(tables) == 1


def test_error_of_a_scan_comes_back_from_its_process(tmp_path: Path) -> None:
    shard = Shard(tmp_path)
    path = shard.images / "0000-0001_water.nii.gz"
    write_image(path, on_2_mm_grid(np.arange(1000, dtype=np.int16).reshape(10, 10, 10)))
    outcomes = shard.measure("water", n_processes=2)
    assert [outcome.reason for outcome in outcomes] == [None, Reason.LABELMAP_OFF_GRID]
    assert row_of(shard.rows(), "liver", "water", "0000-0001")["na_reason"] == "labelmap_off_grid"


def test_scan_without_any_wanted_contrast_fails(tmp_path: Path) -> None:
    shard = Shard(tmp_path)
    assert {outcome.reason for outcome in shard.measure("ct")} == {Reason.CONTRAST_MISSING}


def test_changed_settings_measure_again_and_change_the_digest(tmp_path: Path) -> None:
    shard = Shard(tmp_path)
    shard.measure("water")
    first = row_of(shard.rows(), "liver", "water")
    shard.parameters("# the same\nsetting: {binWidth: 20}")
    shard.measure("water")
    assert row_of(shard.rows(), "liver", "water") == first
    shard.parameters("setting: {binWidth: 10}")
    shard.measure("water")
    second = row_of(shard.rows(), "liver", "water")
    assert second["settings_digest"] != first["settings_digest"]
    assert second[CONTRAST] != first[CONTRAST]


def test_both_engines_give_the_same_table(tmp_path: Path) -> None:
    pytest.importorskip("radiomics", reason="pyradiomics is not installed (make setup)")
    shard = Shard(tmp_path, n_scans=1)
    shard.measure("water", output="native")
    shard.measure("water", output="other", engine=Engine.PYRADIOMICS)
    ours, theirs = (row_of(shard.rows(output), "liver", "water") for output in ("native", "other"))
    assert set(ours) == set(theirs)
    for name in feature_names():
        assert ours[name] == pytest.approx(theirs[name], rel=1e-6, abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(("contrast", "preset"), [("water", "mr"), ("fat_fraction", "dixon")])
def test_memory_of_a_process_stays_within_its_bound(
    tmp_path: Path, contrast: str, preset: str
) -> None:
    program = Path(radiomics_peak.__file__)
    setting = f"{contrast}={program.parents[2] / 'config' / 'radiomics' / preset}.yaml"
    said = subprocess.run(
        [sys.executable, str(program), str(tmp_path), setting],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    n_rows, peak = map(int, said.split())
    assert n_rows == 40
    assert peak <= peak_bytes(math.prod(radiomics_peak.SIZE_ZYX))


def test_rows_are_of_the_structures_of_the_scheme(tmp_path: Path) -> None:
    shard = Shard(tmp_path)
    facts = {"contrast": "water", "scheme": "body_composition"}
    shard.labelled = {
        scan: replace(outcome, facts=facts) for scan, outcome in shard.labelled.items()
    }
    shard.measure("water")
    rows = shard.rows()
    assert len(rows) == 2 * 10
    assert row_of(rows, "left_oblique_muscle", "water")["n_voxels"] == 7 * 6 * 6


@pytest.mark.parametrize(
    "settings", [[], ["water"], ["haste=a.yaml"], ["water=gone.yaml"]], ids=str
)
def test_settings_that_cannot_be_read_stop_the_job(tmp_path: Path, settings: list[str]) -> None:
    shard = Shard(tmp_path)
    with pytest.raises(SetupError):
        run(
            shard=shard.listing,
            images=shard.images,
            labelmaps=shard.labelmaps,
            output=tmp_path / "output",
            work=tmp_path / "work",
            settings=settings,
        )

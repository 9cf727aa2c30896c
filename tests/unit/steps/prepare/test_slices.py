"""Slices of several echoes beside a Dixon scan: what is wrong with them costs it nothing."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from doubles.dicom_files import encode_slice
from organome.domain.outcomes import Outcome, Status
from organome.domain.scans import Scan, Source
from organome.io.tables.parquet import read_table
from organome.io.tables.scan_lists import write_shard
from organome.steps.prepare import prepare_images

Files = dict[str, bytes]
MakeFiles = Callable[..., Files]
Pack = Callable[[Path, Mapping[str, bytes]], Path]


def _echoes() -> Files:
    chance = np.random.default_rng(0)
    return {
        f"{number}.dcm": encode_slice(
            chance.integers(900, 1000, (16, 16)).astype(np.uint16),
            syntax="1.2.840.10008.1.2.1",
            SOPInstanceUID=f"1.2.5.{number}",
            SeriesInstanceUID="1.2.5",
            InstanceNumber=number,
            ImageType=["ORIGINAL", "PRIMARY", "M"],
            EchoTime=1.2 + 2 * number,
            MagneticFieldStrength=1.5,
            SliceThickness=10.0,
            PixelSpacing=[4.0, 4.0],
            ImagePositionPatient=[0.0, 0.0, 100.0],
            ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
        )
        for number in range(6)
    }


def _run(folder: Path, *paths: Path) -> Outcome:
    sources = tuple(Source(str(path)) for path in paths)
    scan = Scan("0000-0000", "c", "1000004", "2", "0", "dixon", sources)
    write_shard(folder / "scans" / "0000.parquet", [scan])
    (outcome,) = prepare_images.run(
        shard=folder / "scans" / "0000.parquet",
        output=folder / "results" / "0000",
        work=folder / "work" / "0000",
        kind="ukb",
    )
    return outcome


def test_maps_lie_beside_the_images_and_change_nothing_of_them(
    tmp_path: Path, make_ukb: MakeFiles, pack: Pack
) -> None:
    dixon = pack(tmp_path / "1000004_20201_2_0.zip", make_ukb())
    alone = _run(tmp_path / "alone", dixon)
    slices = pack(tmp_path / "1000004_20254_2_0.zip", _echoes())
    outcome = _run(tmp_path / "both", dixon, slices)
    assert {name: outcome.facts[name] for name in alone.facts} == alone.facts
    assert outcome.facts["pdff_liver_n_echoes"] == 6
    names = {path.name for path in (tmp_path / "both" / "results" / "0000").glob("*pdff*")}
    assert names == {
        f"0000-0000_pdff_liver_1_{which}.nii.gz" for which in ("pdff", "r2star", "fat_evidence")
    }
    (row,) = read_table(tmp_path / "both" / "results" / "0000" / "headers.parquet").to_pylist()
    assert row["pdff_liver_protocol"] == "pdff_liver_ideal"
    assert row["pdff_liver_flags"] == "pdff_t1_weighted"  # its headers have no flip angle
    assert row["pdff_pancreas_protocol"] is None


def test_slices_that_cannot_be_read_cost_the_scan_nothing(
    tmp_path: Path, make_ukb: MakeFiles, pack: Pack
) -> None:
    dixon = pack(tmp_path / "1000004_20201_2_0.zip", make_ukb())
    broken = tmp_path / "1000004_20260_2_0.zip"
    broken.write_bytes(b"PK\3\4 cut short")
    outcome = _run(tmp_path, dixon, broken, tmp_path / "1000004_20254_2_0.zip")
    assert outcome.status is Status.DONE
    assert outcome.facts["pdff_liver_na_reason"] == "file_missing"
    assert outcome.facts["pdff_pancreas_na_reason"] == "archive_broken"

import os
import pty
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from organome.domain.errors import SetupError
from organome.domain.organs import ORGANS
from organome.steps.compare import compare, repeatability
from organome.steps.compare.volumes import one_a_visit, read_volumes

MAIN = "from organome.cli.app import main; main()"
VOLUME = "original_shape_VoxelVolume"
Volumes = Iterable[tuple[str, str, str, str, float | None]]


def run_of(folder: Path, volumes: Volumes, protocol: str = "dixon") -> Path:
    """Write the tables of a run: participant, instance, array, organ, volume."""
    names = ["participant", "instance", "array", "organ", "volume_ml"]
    rows = pd.DataFrame(list(volumes), columns=names)
    rows["protocol"], rows["status"] = protocol, "done"
    rows["station"] = pd.array([None] * len(rows), dtype="Int8")
    table = folder / "results" / "tables" / "organs"
    table.mkdir(parents=True)
    rows.to_parquet(table / "0000.parquet", index=False)
    return folder


def liver(*ml: float | None, instance: str = "2", array: str = "0") -> list[tuple[Any, ...]]:
    return [(f"id{n}", instance, array, "liver", one) for n, one in enumerate(ml)]


def read(folder: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(next(folder.rglob(f"{name}.csv"))).set_index("organ", drop=False)


def test_bias_limits_and_counts_are_those_worked_by_hand(tmp_path: Path) -> None:
    """Differences 10, 20, 30; one liver has no number here, one none there."""
    run = run_of(tmp_path / "run", [*liver(1010, 1020, 1030, None, 1500, 7)])
    other = tmp_path / "ukb.csv"
    other.write_text("eid,21080-2.0\nid0,1000\nid1,1000\nid2,1000\nid3,1200\nid4,\nsomebody,1300\n")
    found = compare.run(run, other=other, output=tmp_path / "out")
    row = read(tmp_path / "out", "comparison").loc["liver"]
    assert (row["n"], row["n_null"], row["n_null_other"]) == (3, 1, 1)
    assert (row["bias_ml"], row["mean_other_ml"]) == pytest.approx((20.0, 1000.0))
    assert row["upper_ml"] == pytest.approx(20 + 1.959964 * 10)
    assert row["bias_pct"] == pytest.approx(np.mean([10 / 10.05, 20 / 10.1, 30 / 10.15]))
    assert (found.n_visits, found.n_only_ours, found.n_only_theirs) == (5, 1, 1)
    assert found.n_organs == 1
    for ending in ("png", "svg"):
        assert (tmp_path / "out" / "figures" / f"bland_altman.{ending}").stat().st_size > 1000


def test_nobody_is_named_in_what_is_written(tmp_path: Path) -> None:
    names = ("Ashgrove-1", "Ashgrove-2", "Ashgrove-3")
    run = run_of(
        tmp_path / "run", [(who, "2", "0", "liver", 900.0 + n) for n, who in enumerate(names)]
    )
    other = run_of(tmp_path / "other", [(who, "2", "0", "liver", 901.0) for who in names])
    compare.run(run, other=other, output=tmp_path / "out")
    written = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert len(written) == 6
    assert not [path for path in written if b"Ashgrove" in path.read_bytes()]


def test_another_unit_is_refused_and_not_reported_as_bias(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", liver(1500, 1400, 1300))
    other = tmp_path / "ukb.csv"
    other.write_text("eid,21080-2.0\nid0,1.5\nid1,1.4\nid2,1.3\n")
    with pytest.raises(SetupError, match="another unit"):
        compare.run(run, other=other, output=tmp_path / "out")
    compare.run(run, other=other, output=tmp_path / "out", unit="l")
    assert read(tmp_path / "out", "comparison").loc["liver", "bias_ml"] == pytest.approx(0)


def test_which_visit_is_meant_must_be_known(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", [*liver(1000, 1100), *liver(1000, instance="3")])
    other = tmp_path / "other.csv"
    other.write_text("participant,organ,volume_ml\nid0,liver,1000\n")
    with pytest.raises(SetupError, match="which visit"):
        compare.run(run, other=other, output=tmp_path / "out")
    other.write_text("participant,organ,volume_ml\nid1,liver,1000\n")
    compare.run(run, other=other, output=tmp_path / "out")
    assert read(tmp_path / "out", "comparison").loc["liver", "n"] == 1


def statistics(folder: Path, *names: str) -> Path:
    """Write statistics of TotalSegmentator under these names: a liver of 1000 mL each."""
    folder.mkdir()
    for name in names:
        (folder / f"{name}.json").write_text('{"liver": {"volume": 1e6}}')
    return folder


def test_a_visit_in_the_name_of_one_file_matches_no_less_of_the_others(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", liver(1000, 1100, 1200))
    other = statistics(tmp_path / "other", "id0", "id1_2", "id2", "stranger")
    found = compare.run(run, other=other, output=tmp_path / "out")
    assert (found.n_visits, found.n_only_ours, found.n_only_theirs) == (3, 0, 1)
    row = read(tmp_path / "out", "comparison").loc["liver"]
    assert (row["n"], row["bias_ml"]) == (3, pytest.approx(100))


def test_files_of_one_visit_with_it_and_without_are_refused(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", liver(1000, 1100))
    other = statistics(tmp_path / "other", "id0", "id0_2", "id1")
    with pytest.raises(SetupError, match="twice") as caught:
        compare.run(run, other=other, output=tmp_path / "out")
    assert "id0" not in str(caught.value)


def test_several_protocols_must_be_told_apart(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", liver(1000, 1100, 1200))
    more = run_of(tmp_path / "more", liver(1000), protocol="ct")
    (more / "results/tables/organs/0000.parquet").rename(run / "results/tables/organs/0001.parquet")
    other = tmp_path / "other.csv"
    other.write_text("participant,instance,organ,volume_ml\nid0,2,liver,1000\n")
    with pytest.raises(SetupError, match="ct, dixon"):
        compare.run(run, other=other, output=tmp_path / "out")
    compare.run(run, other=other, output=tmp_path / "out", protocol="ct")


def test_the_protocol_is_that_of_another_run_too(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", liver(1000, 1100, 1200))
    other = run_of(tmp_path / "other", liver(990, 1090, 1190))
    more = run_of(tmp_path / "more", liver(800, 900, 1000), protocol="ct")
    lone = run_of(tmp_path / "lone", liver(900, 1000, 1100), protocol="ct")
    part = "results/tables/organs/000{}.parquet"
    (more / part.format(0)).rename(other / part.format(1))
    compare.run(run, other=other, output=tmp_path / "out", protocol="dixon")
    assert read(tmp_path / "out", "comparison").loc["liver", "bias_ml"] == pytest.approx(10)
    compare.run(run, other=lone, output=tmp_path / "lacks", protocol="dixon")
    assert read(tmp_path / "lacks", "comparison").loc["liver", "bias_ml"] == pytest.approx(100)


def of_fat(more_ml: float, *names: str, instance: str = "2") -> list[tuple[Any, ...]]:
    """Volumes of structures of three participants."""
    return [(f"id{n}", instance, "0", one, 900 + n + more_ml) for n in range(3) for one in names]


def test_structures_of_another_scheme_are_compared_after_the_organs(tmp_path: Path) -> None:
    names = ("visceral_fat", "abdominal_fat", "liver", "spleen")
    for name, more in (("run", 10), ("other", 0)):
        run_of(tmp_path / name, of_fat(more, *names))
        run_of(tmp_path / f"{name}_fat", of_fat(more, *names[:2]))
    for end, expected in (("", ["spleen", "liver", *names[1::-1]]), ("_fat", [*names[1::-1]])):
        run, other, output = (tmp_path / f"{name}{end}" for name in ("run", "other", "out"))
        assert compare.run(run, other=other, output=output).n_organs == len(expected)
        rows = read(output, "comparison")
        assert list(rows["organ"]) == expected
        assert rows["bias_ml"].to_numpy() == pytest.approx(10)
        assert (output / "figures" / "bland_altman.png").stat().st_size > 1000


def test_structures_of_another_scheme_repeat_and_absent_organs_do_not(tmp_path: Path) -> None:
    names = ("visceral_fat", "abdominal_fat")
    rows = [*of_fat(0, *names), *of_fat(10, names[0], instance="3")]
    found = repeatability.run(run_of(tmp_path / "run", rows), output=tmp_path / "out")
    assert found.n_organs == {"visits": 1, "repeats": 0}
    written = read(tmp_path / "out", "repeatability")
    assert written["n"].to_dict() == {"abdominal_fat": 0, "visceral_fat": 3}
    assert written.loc["visceral_fat", "bias_ml"] == pytest.approx(10)


def test_repeats_of_visits_and_within_a_visit(tmp_path: Path) -> None:
    run = run_of(
        tmp_path / "run",
        [
            *liver(900, 1000, 1100, None),
            *liver(1100, 1000, 900, 900, instance="3"),
            *[(f"r{n}", "2", array, "spleen", 200.0) for n in range(3) for array in ("4", "7")],
            *[("nobody", "2", "0", organ.name, None) for organ in ORGANS],  # as a run lists them
        ],
    )
    found = repeatability.run(run, output=tmp_path / "out")
    rows = read(tmp_path / "out", "repeatability")
    assert (rows["twice"].value_counts() == len(ORGANS)).all()
    of_visits = rows[rows["twice"] == "visits"].loc["liver"]
    assert of_visits["n"] == 3
    assert of_visits["cv_pct"] == pytest.approx(100 * (2 * 0.02 / 3) ** 0.5)
    assert of_visits["bias_ml"] == pytest.approx(0)
    of_repeats = rows[rows["twice"] == "repeats"].loc["spleen"]
    assert (of_repeats["n"], of_repeats["cv_pct"]) == (3, 0)
    without = rows[rows["twice"] == "visits"].loc["heart"]
    assert (without["n"], without["na_reason"]) == (0, "too_few_pairs")
    assert np.isnan(without["cv_pct"])
    assert found.n_organs == {"visits": 1, "repeats": 1}


def test_neighbouring_repeats_by_number_are_pairs_and_failed_ones_are_passed_over(
    tmp_path: Path,
) -> None:
    arrays = {"10": 220.0, "2": 200.0, "9": 205.0, "1": None, "3": None}
    rows = [(f"r{n}", "2", array, "spleen", ml) for n in range(3) for array, ml in arrays.items()]
    rows += [("r3", "2", "1", "spleen", None), ("r3", "2", "2", "spleen", 200.0)]
    repeatability.run(run_of(tmp_path / "run", rows), output=tmp_path / "out")
    row = read(tmp_path / "out", "repeatability").loc["spleen"]
    assert (row["twice"], row["n"], row["n_participants"]) == ("repeats", 6, 3)
    assert row["bias_ml"] == pytest.approx((5 + 15) / 2)


def test_pairs_of_several_protocols_are_refused_and_those_of_one_are_not(tmp_path: Path) -> None:
    twice = [*liver(900, 1000, 1100), *liver(901, 999, 1101, instance="3")]
    run = run_of(tmp_path / "run", twice)
    part = "results/tables/organs/000{}.parquet"
    once = run_of(tmp_path / "once", liver(800, 810, 820), protocol="t1")
    (once / part.format(0)).rename(run / part.format(1))
    repeatability.run(run, output=tmp_path / "out")  # of t1 there is no pair
    more = run_of(tmp_path / "more", twice, protocol="ct")
    (more / part.format(0)).rename(run / part.format(2))
    with pytest.raises(SetupError, match=r"visits are of several protocols \(ct, dixon\)"):
        repeatability.run(run, output=tmp_path / "out")
    overlaps = tmp_path / "overlaps" / "0000"
    overlaps.mkdir(parents=True)
    of_one = {"instance": "2", "array": "0", "seam": 2, "contrast": "ct", "organ": "liver"}
    rows = [
        of_one | {"participant": "id0", "protocol": protocol, "station": station, VOLUME: 1e6}
        for protocol in ("ct", "dixon")
        for station in (2, 3)
    ]
    pq.write_table(pa.Table.from_pylist(rows), overlaps / "overlaps.parquet")
    repeatability.run(
        run, output=tmp_path / "out", protocol="dixon", overlaps=tmp_path / "overlaps"
    )
    written = read(tmp_path / "out", "repeatability")
    assert written.set_index("twice")["n"].to_dict() == {"visits": 3, "stations": 1}


def test_seams_of_a_person_do_not_count_as_people(tmp_path: Path) -> None:
    """Five arrays that all differ by the same 3 % narrow no interval."""
    lows, highs = {}, {}
    for n_each in (1, 5):
        rows = [
            (f"p{n}", instance, str(array), "liver", 1000.0 * (1 + 0.03 * factor * n))
            for n in range(1, 9)
            for array in range(n_each)
            for instance, factor in (("2", 0), ("3", (-1) ** n))
        ]
        run = run_of(tmp_path / f"run{n_each}", rows)
        repeatability.run(run, output=tmp_path / f"out{n_each}")
        table = read(tmp_path / f"out{n_each}", "repeatability")
        row = table[table["twice"] == "visits"].loc["liver"]
        assert (row["n"], row["n_participants"]) == (8 * n_each, 8)
        lows[n_each], highs[n_each] = row["bias_low_ml"], row["bias_high_ml"]
    narrowed = (highs[5] - lows[5]) / (highs[1] - lows[1])
    assert 0.85 < narrowed < 1.15
    other = tmp_path / "other.csv"  # eight people, two visits each
    visits = [f"p{n},{instance},liver,1000" for n in range(1, 9) for instance in (2, 3)]
    other.write_text("\n".join(("participant,instance,organ,volume_ml", *visits)))
    compare.run(tmp_path / "run1", other=other, output=tmp_path / "compared")
    row = read(tmp_path / "compared", "comparison").loc["liver"]
    assert (row["n"], row["n_participants"]) == (16, 8)


def test_overlaps_of_stations_are_pairs(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", liver(1000))
    overlaps = tmp_path / "overlaps" / "0000"
    overlaps.mkdir(parents=True)
    rows = [
        {
            **{"participant": f"id{n}", "instance": "2", "array": "0", "protocol": "dixon"},
            **{"seam": 2, "contrast": contrast, "organ": "liver", "station": 2 + below},
            VOLUME: 1000.0 * (100 + n + 10 * below),
        }
        for n in range(4)
        for contrast in ("water", "fat")
        for below in (0, 1)
    ]
    pq.write_table(pa.Table.from_pylist(rows), overlaps / "overlaps.parquet")
    repeatability.run(run, output=tmp_path / "out", overlaps=overlaps.parent)
    row = read(tmp_path / "out", "repeatability").loc["liver"]
    assert (row["twice"], row["n"]) == ("stations", 4)
    assert row["bias_ml"] == pytest.approx(10)
    assert row["mean_ml"] == pytest.approx(106.5)


def test_nothing_measured_twice_is_said(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", liver(1000, 1100))
    with pytest.raises(SetupError, match="none was repeated"):
        repeatability.run(run, output=tmp_path / "out")


def test_the_commands_on_a_terminal(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", [*liver(900, 1000, 1100), *liver(901, 999, 1101, instance="3")])
    other = run_of(tmp_path / "other", liver(905, 1001, 1104))
    for words in (("compare", "--other", str(other)), ("repeatability",)):
        ours, theirs = pty.openpty()
        command = [sys.executable, "-c", MAIN, words[0], str(run), *words[1:]]
        done = subprocess.run(
            [*command, "--output", str(tmp_path / words[0])],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            check=False,
        )
        os.close(theirs)
        said = os.read(ours, 10_000).decode()
        os.close(ours)
        assert done.returncode == 0, said
        assert f"{words[0]}/" in said
        assert "Traceback" not in said


def test_of_repeats_the_first_by_number_that_has_a_volume_counts(tmp_path: Path) -> None:
    repeats = {"1": None, "10": 1500.0, "2": 1400.0}
    rows = [row for array, ml in repeats.items() for row in liver(ml, array=array)]
    run = run_of(tmp_path / "run", rows)
    assert list(one_a_visit(read_volumes(run), run)["volume_ml"]) == [1400.0]

"""A few deliveries corrupted at random; `make fuzz` tries thousands."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import fuzz.__main__ as fuzzing
from doubles.odd_niftis import nifti_file
from fuzz.cohorts import Base, make_bases, write_cohort
from fuzz.corruptions import CARRIERS, CORRUPTIONS, KINDS
from organome.domain.outcomes import Outcome, Reason, Status
from organome.io.tables.scan_lists import read_shard


@pytest.mark.slow
def test_corrupted_deliveries_are_rows_and_stop_nothing(tmp_path: Path) -> None:
    findings = fuzzing.fuzz(tmp_path, n=100, seed=42)
    assert findings.broken == []
    assert findings.n >= 100
    assert findings.rows["done"] and findings.rows["file_broken"]
    assert set(findings.drawn) == set(product(KINDS, CARRIERS))


def test_every_kind_is_drawn_for_every_carrier() -> None:
    drawn = {(one.kind, one.carrier) for each in CORRUPTIONS.values() for one in each}
    assert drawn == set(product(KINDS, set(CARRIERS) - {"tsv"}))  # each kind spoils tables


@pytest.mark.fuzz
def test_every_corruption_can_be_done(tmp_path: Path) -> None:
    for kind, bases in make_bases(tmp_path / "phantoms").items():
        n = 3 * len(CORRUPTIONS[kind])
        cohort = write_cohort(tmp_path / kind, kind, bases, n=n, seed=1)
        assert len(cohort.drawn) == n


def _lost(outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
    return outcomes[:-1]


def _unforeseen(outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
    failed = {"status": Status.FAILED, "reason": Reason.UNEXPECTED_ERROR, "fact": "KeyError"}
    return [*outcomes[:-1], replace(outcomes[-1], **failed)]


def _refused(outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
    failed = {"status": Status.FAILED, "reason": Reason.NOT_3D, "fact": "a sound scan"}
    return [replace(outcomes[0], **failed), *outcomes[1:]]


def _named(outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
    failed = {"status": Status.FAILED, "reason": Reason.FILE_BROKEN, "fact": "5000000_t1.nii.gz"}
    return [*outcomes[:-1], replace(outcomes[-1], **failed)]


def _stopped(_: Sequence[Outcome]) -> Sequence[Outcome]:
    raise RuntimeError("the reader fails")


def _sound(outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
    return outcomes


@pytest.mark.parametrize(
    ("reader", "found"),
    [
        (_sound, ""),
        (_stopped, "stopped by RuntimeError"),
        (_lost, "rows for"),
        (_unforeseen, "unexpected_error after"),
        (_refused, "a sound scan has not_3d"),
        (_named, "named in logs or facts"),
    ],
)
def test_a_reader_that_fails_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reader: Any, found: str
) -> None:
    name = "4000000_t1.nii"
    line = f"4000000\t0\tmr\tt1\t{name}"
    base = Base("4000000", {name: nifti_file()}, (line,))
    cohort = write_cohort(tmp_path / "cohort", "nifti", [base], n=1, seed=1)

    def prepare(*, shard: Path, output: Path, **_: Any) -> Sequence[Outcome]:
        scans = read_shard(shard)
        output.mkdir(parents=True)
        table = pa.table({"elapsed_s": [40.0 for _ in scans]})
        pq.write_table(table, output / "ledger.parquet")
        return reader([Outcome(one.scan, "prepare_images", Status.DONE, "x") for one in scans])

    monkeypatch.setattr(fuzzing, "prepare_images", SimpleNamespace(run=prepare))
    findings = fuzzing.Findings()
    fuzzing.try_cohort(tmp_path / "run", "nifti", cohort, findings)
    assert bool(findings.broken) is bool(found)
    assert found in " ".join(findings.broken)
    beyond = findings.beyond_limits(peak_mib=3000)
    assert "a process took 3000 MiB" in beyond
    assert ("a scan took 40 s" in beyond) is (reader is not _stopped)
    assert "nan of zip was not tried" in beyond

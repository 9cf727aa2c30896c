"""Every defect in every format that can have it, through listing and preparing."""

from pathlib import Path

import pandas as pd
import pytest

from organome.domain.flags import Flag
from organome.domain.outcomes import Outcome, Reason, Status
from organome.domain.scans import CohortKind, Contrast, Stations
from organome.io.tables.scan_lists import read_shard
from organome.phantoms import make_phantoms
from organome.phantoms.delivery.defects import DEFECTS, Defect, Format
from organome.steps.listing import list_scans
from organome.steps.prepare import prepare_images

ROOTS: dict[Format, tuple[CohortKind, str]] = {
    Format.UKB: ("ukb", "ukb"),
    Format.BIDS: ("bids", "bids"),
    Format.NIFTI: ("folder", "nifti/scans.tsv"),
}


def defects_of(form: Format) -> list[Defect]:
    return [defect for defect, planting in DEFECTS.items() if form in planting.formats]


@pytest.mark.parametrize("form", list(ROOTS))
def test_each_defect_becomes_what_was_expected_of_it(form: Format, tmp_path: Path) -> None:
    defects = defects_of(form)
    make(tmp_path, form, defects, n_participants=len(defects) + 1)
    outcomes = prepare(tmp_path, form)
    true_scans = pd.read_parquet(tmp_path / "cohort" / "truth" / "scans.parquet")
    spoilt = true_scans.dropna(subset=["defect"])
    planted = dict(zip(spoilt["participant"], spoilt["defect"], strict=True))
    seen = set()
    for participant, outcome in outcomes:
        defect = Defect(planted[participant]) if participant in planted else None
        expected = DEFECTS[defect].expected if defect else None
        assert outcome.reason == expected, (defect, outcome.fact)
        seen.add(defect)
    assert seen == {*defects, None}


@pytest.mark.parametrize("form", [Format.UKB, Format.NIFTI])
def test_an_exchange_of_fat_and_water_is_flagged_and_nothing_else_is(
    form: Format, tmp_path: Path
) -> None:
    make(tmp_path, form, [Defect.SWAPPED_FAT_WATER], n_participants=2, reduce=4)
    true_scans = pd.read_parquet(tmp_path / "cohort" / "truth" / "scans.parquet")
    (planted,) = set(true_scans.dropna(subset=["defect"])["participant"])
    for participant, outcome in prepare(tmp_path, form):
        if Contrast.FAT not in outcome.facts["contrasts"]:
            assert "fat_water" not in outcome.facts
            continue
        is_planted = participant == planted
        assert outcome.facts["fat_water"] == ("swapped" if is_planted else "sound")
        assert (Flag.FAT_WATER_SWAPPED in outcome.facts["flags"]) == is_planted
        assert bool(outcome.facts["swapped_spans_mm"]) == is_planted


def make(
    folder: Path, form: Format, defects: list[Defect], *, n_participants: int, reduce: int = 8
) -> None:
    make_phantoms.run(
        output=folder / "cohort",
        preset="tiny",
        n_participants=n_participants,
        n_repeats=0,
        n_ct=0,
        formats=[form],
        defects=defects,
        reduce=reduce,
        labelmaps=False,
    )


def prepare(
    folder: Path, form: Format, stations: Stations = Stations.STITCH
) -> list[tuple[str, Outcome]]:
    kind, root = ROOTS[form]
    list_scans.run(
        kind=kind,
        cohort="phantoms",
        root=folder / "cohort" / root,
        scans=folder / "scans",
        shard_size=100,
        stations=stations,
        protocols=["dixon", "t1", "t2"],
    )
    shard = folder / "scans" / "0000.parquet"
    outcomes = prepare_images.run(
        shard=shard,
        output=folder / "prepared",
        work=folder / "work",
        kind=kind,
        stations=stations,
        max_same_reason_share=1.0,
    )
    participants = [scan.participant for scan in read_shard(shard)]
    return list(zip(participants, outcomes, strict=True))


def test_a_missing_station_costs_that_station_only_when_stations_are_kept(tmp_path: Path) -> None:
    make(tmp_path, Format.UKB, [Defect.MISSING_STATION], n_participants=1)
    outcomes = [outcome for _, outcome in prepare(tmp_path, Format.UKB, Stations.SEPARATE)]
    assert [outcome.reason for outcome in outcomes].count(Reason.STATION_MISSING) == 1
    assert [outcome.status for outcome in outcomes].count(Status.DONE) == 5

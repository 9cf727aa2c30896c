"""segment_organs with the network in a process of its own: whatever happens, the shard ends."""

import faulthandler
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import psutil
import pytest
import SimpleITK as sitk

from doubles.places import TESTS
from doubles.segment_steps import Cramped, FullDisk, PreparedShard, prepare_shard, put_image
from organome.domain.errors import MachineFault
from organome.domain.inference import FoldAverage
from organome.domain.outcomes import Outcome, Reason, Status
from organome.io.tables.ledgers import LEDGER, read_ledger, write_ledger
from organome.io.tables.scan_lists import read_shard
from organome.shards.run import run_shard
from organome.shards.step import lean_steps
from organome.steps.segment.label_with_model import SegmentOrgans

PATIENCE_S = 1800


@pytest.fixture(autouse=True)
def nothing_hangs() -> Iterator[None]:
    """End the tests with a trace of all threads rather than wait for ever."""
    faulthandler.dump_traceback_later(PATIENCE_S, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()
    assert workers() == []


def workers() -> list[psutil.Process]:
    """Processes that do scans: forks of a server that stays behind."""
    children = psutil.Process().children()
    servers = [one for one in children if any("forkserver" in word for word in one.cmdline())]
    return [worker for server in servers for worker in server.children()]


@pytest.fixture
def shard(tmp_path: Path) -> PreparedShard:
    return prepare_shard(tmp_path / "shard", n_scans=5)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> PreparedShard:
    shard = prepare_shard(tmp_path_factory.mktemp("undisturbed"), n_scans=5)
    run(shard, shard.step())
    return shard


def run(shard: PreparedShard, step: SegmentOrgans, **more: Any) -> tuple[Outcome, ...]:
    return run_shard(
        step,
        scans=read_shard(shard.shard),
        upstream=read_ledger(shard.images / LEDGER),
        output=shard.output,
        work=shard.folder / "work",
        workers=[step],
        **more,
    )


def published(shard: PreparedShard) -> dict[str, Any]:
    named = (path for path in shard.output.iterdir() if path.name.endswith((".gz", ".json")))
    outcomes = read_ledger(shard.output / LEDGER).values()
    of_scans = [(one.scan, one.status, one.reason, one.fact, one.facts) for one in outcomes]
    return {path.name: path.read_bytes() for path in named} | {LEDGER: of_scans}


@pytest.mark.parametrize("n_processes", [1, 2])
def test_overlapping_in_processes_gives_what_one_by_one_gives(
    shard: PreparedShard, undisturbed: PreparedShard, n_processes: int
) -> None:
    outcomes = shard.run(n_processes=n_processes)
    assert [outcome.status for outcome in outcomes] == [Status.DONE] * 5
    assert published(shard) == published(undisturbed)


def test_the_job_itself_loads_no_network(shard: PreparedShard) -> None:
    program = (
        "import sys, doubles.segment_steps as there; from pathlib import Path;"
        "from organome.steps.segment import segment_organs as step;"
        f"shard = there.PreparedShard(Path({str(shard.folder)!r}));"
        "list(map(sys.modules.pop, [name for name in sys.modules if name.startswith('torch')]));"
        "shard.run(); sys.exit('torch' in sys.modules)"
    )
    paths = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": paths}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)


def test_each_bad_image_is_a_row(shard: PreparedShard, undisturbed: PreparedShard) -> None:
    spoilt = np.zeros((8, 8, 8), np.float32)
    spoilt[2, 3, 4] = np.nan
    put_image(shard.image(0), spoilt)
    nib.save(nib.Nifti1Image(np.zeros((4, 5, 6, 3), np.int16), np.eye(4)), shard.image(1))
    put_image(shard.image(3), np.ones((1, 1, 1), np.int16))
    reasons = [outcome.reason for outcome in shard.run()]
    assert reasons == [Reason.NOT_FINITE, Reason.NOT_3D, None, Reason.NOT_3D, None]
    for place in (2, 4):
        assert shard.labelmap(place) == undisturbed.labelmap(place)


def test_an_image_of_1500_slices_goes_through(shard: PreparedShard) -> None:
    voxels = np.random.default_rng(1).integers(0, 99, (1500, 20, 20)).astype(np.int16)
    put_image(shard.image(1), voxels, (4.0, 4.0, 1.0))
    outcomes = shard.run()
    assert [outcome.status for outcome in outcomes] == [Status.DONE] * 5
    (path,) = shard.output.glob("0000-0001_*.nii.gz")
    assert sitk.ReadImage(str(path)).GetSize() == (20, 20, 1500)


def test_a_scan_whose_grid_fits_into_no_memory_is_a_row_before_it_is_read(
    shard: PreparedShard,
) -> None:
    before = read_ledger(shard.images / LEDGER)
    first = next(iter(before))
    facts = {**before[first].facts, "size_xyz": [20_000, 20_000, 20_000]}
    before[first] = replace(before[first], facts=facts)
    write_ledger(shard.images / LEDGER, list(before.values()))
    shard.image(0).write_bytes(b"no image")
    outcomes = shard.run()
    assert [outcome.reason for outcome in outcomes] == [Reason.OUT_OF_MEMORY, *[None] * 4]
    assert re.fullmatch(
        r"needs about [\d.]+ GB of memory, [\d.]+ GB are there", str(outcomes[0].fact)
    )


def test_network_killed_in_mid_scan_costs_nothing_but_time(
    shard: PreparedShard, undisturbed: PreparedShard
) -> None:
    assert_killed_is_like(shard, undisturbed)


def test_scans_of_several_folds_in_hand_of_a_killed_network_are_averaged_as_all_others(
    shard: PreparedShard, tmp_path: Path
) -> None:
    undisturbed = prepare_shard(tmp_path / "undisturbed", n_scans=5)
    for one in (shard, undisturbed):
        shutil.copytree(one.model / "fold_0", one.model / "fold_1")
    run(undisturbed, undisturbed.step())
    assert_killed_is_like(shard, undisturbed)


def test_memory_is_saved_by_all_else_before_folds_are_averaged_otherwise(
    shard: PreparedShard,
) -> None:
    assert [averages_of(one) for one in lean_steps(shard.step())] == [FoldAverage.AS_NNUNET]
    shutil.copytree(shard.model / "fold_0", shard.model / "fold_1")
    step = shard.step()
    assert [averages_of(one) for one in lean_steps(step)] == list(FoldAverage)
    step._labeller = replace(step._labeller, n_sharing=3)
    assert step.alone()._labeller == replace(step._labeller, n_sharing=1)


def averages_of(step: Any) -> FoldAverage:
    assert not step._labeller.inference.sums_on_device
    return FoldAverage(step._labeller.inference.fold_average)


def assert_killed_is_like(shard: PreparedShard, undisturbed: PreparedShard) -> None:
    killed = []

    def kill(_: Outcome) -> None:
        if not killed:
            killed.extend(workers())
            for process in killed:
                process.kill()

    outcomes = shard.run(on_outcome=kill)
    assert killed
    assert [outcome.status for outcome in outcomes] == [Status.DONE] * 5
    assert published(shard) == published(undisturbed)


def test_export_that_gets_no_more_memory_is_a_row(
    shard: PreparedShard, undisturbed: PreparedShard
) -> None:
    outcomes = run(shard, shard.step(Cramped))
    reasons = [outcome.reason for outcome in outcomes]
    assert reasons == [None, Reason.OUT_OF_MEMORY, None, None, None]
    for place in (0, 2, 3, 4):
        assert shard.labelmap(place) == undisturbed.labelmap(place)


def test_a_full_disk_stops_the_job_and_the_next_one_goes_on(
    shard: PreparedShard, undisturbed: PreparedShard
) -> None:
    with pytest.raises(MachineFault, match="No space left on device"):
        run(shard, shard.step(FullDisk))
    assert not shard.output.exists()
    done: list[str] = []
    run(shard, shard.step(), on_outcome=lambda outcome: done.append(outcome.scan))
    assert len(done) == 5
    assert published(shard) == published(undisturbed)


def test_no_gpu_is_found_out_where_the_network_runs(shard: PreparedShard) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(MachineFault, match="torch sees no GPU"):
        shard.run(device="cuda")

"""Memory of the process that labels: flat over a shard, back after a large scan; one network."""

from pathlib import Path

import numpy as np
import psutil
import pytest

from doubles.segment_steps import Counting, prepare_shard, put_image
from organome.domain.outcomes import Outcome, Status
from organome.io.tables.ledgers import LEDGER, read_ledger
from organome.io.tables.scan_lists import read_shard
from organome.shards.run import run_shard

N_SCANS = 120
N_WARM_UP = 40
MIB = 1 << 20


@pytest.mark.slow
def test_a_shard_of_scans_leaves_memory_as_it_was_and_loads_one_network(tmp_path: Path) -> None:
    shard = prepare_shard(tmp_path, n_scans=N_SCANS)
    large = (np.indices((300, 400, 400)).sum(axis=0) % 97).astype(np.int16)
    put_image(shard.image(N_WARM_UP // 2), large, (0.8, 0.8, 0.8))
    step = shard.step(labeller=Counting)
    resident_mib: list[float] = []
    peak_mib: list[float] = []

    def look(_: Outcome) -> None:
        children = psutil.Process().children()
        (server,) = [one for one in children if any("forkserver" in word for word in one.cmdline())]
        (worker,) = server.children()
        resident_mib.append(worker.memory_info().rss / MIB)
        status = Path(f"/proc/{worker.pid}/status").read_text()
        peak_mib.append(int(status.split("VmHWM:")[1].split()[0]) / 1024)

    outcomes = run_shard(
        step,
        scans=read_shard(shard.shard),
        upstream=read_ledger(shard.images / LEDGER),
        output=shard.output,
        work=shard.folder / "work",
        workers=[step],
        on_outcome=look,
    )
    assert [outcome.status for outcome in outcomes] == [Status.DONE] * N_SCANS
    assert len((shard.model / "loads.txt").read_text().splitlines()) == 1
    later_mib = np.array(resident_mib[N_WARM_UP:])
    slope_mib, _ = np.polyfit(np.arange(later_mib.size), later_mib, 1)
    assert slope_mib < 1
    before_mib = resident_mib[N_WARM_UP // 4]
    assert later_mib[-1] - before_mib < (peak_mib[-1] - before_mib) / 2

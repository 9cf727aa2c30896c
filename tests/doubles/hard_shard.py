"""Runs scans that never end in two processes, as a program.

hard_shard.py FOLDER OUTPUT WORK [STAGE]
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from doubles.hard_steps import HardStep
from doubles.staged_steps import StagedStep
from doubles.steps import make_scans
from organome.domain.errors import Interrupted
from organome.shards.run import run_shard

N_QUICK = 4

if __name__ == "__main__":
    folder, output, work = map(Path, sys.argv[1:4])
    stage = sys.argv[4:]
    scans = make_scans(N_QUICK + 4)
    mishap = ": ".join([*stage, "never ends"])
    mishaps = {scan.scan: mishap for scan in scans[N_QUICK:]}
    step = StagedStep(folder, mishaps) if stage else HardStep(folder, mishaps)
    try:
        run_shard(step, scans=scans, upstream=None, output=output, work=work, workers=[step] * 2)
    except Interrupted:
        sys.exit(75)

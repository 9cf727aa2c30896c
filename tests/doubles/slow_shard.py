"""Runs the copying step over a shard, slowly, as a program that logs to stderr.

slow_shard.py OUTPUT WORK [BEAT_S PATIENCE_S]
"""

import logging
import sys
from pathlib import Path

from organome.domain.errors import ScanError
from organome.domain.outcomes import Reason
from organome.shards.lease import LEASE_TERMS, LeaseTerms
from organome.shards.run import run_shard

sys.path.insert(0, str(Path(__file__).parents[1]))
from doubles.steps import CopyStep, make_scans

N_SCANS = 24

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    bad = ScanError(Reason.FILE_BROKEN, "broken on purpose")
    run_shard(
        CopyStep(faults={"0000-0003": bad, "0000-0011": bad}, pause_s=0.03),
        scans=make_scans(N_SCANS),
        upstream=None,
        output=Path(sys.argv[1]),
        work=Path(sys.argv[2]),
        lease_terms=LeaseTerms(*map(float, sys.argv[3:])) if sys.argv[3:] else LEASE_TERMS,
    )

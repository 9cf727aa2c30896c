"""Corrupt deliveries at random and take them through listing, preparation, labels and volumes.

    python -m fuzz --n 2000 --seed 1      (from tests/)

What must hold: every participant whose images are listed has a row for each scan; no job is
stopped; no error that nobody foresaw; no scan takes half a minute or two GiB; a delivery whose
bytes were damaged under a checksum gives the images of the sound one, or a reason; nothing that is
logged or that stands in a row's fact names a participant or a file.
"""

import argparse
import hashlib
import json
import logging
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq

from doubles.odd_shard import PeakOfProcesses
from fuzz.cohorts import LISTED_AS, TABLE, Base, Cohort, make_bases, write_cohort
from fuzz.corruptions import CARRIERS, DAMAGES, KINDS, spoil_table
from organome.domain.errors import SetupError
from organome.domain.outcomes import Outcome, Reason, Status
from organome.io.tables.scan_lists import read_shard
from organome.steps.listing import list_scans
from organome.steps.measure import measure_volumes
from organome.steps.prepare import prepare_images
from organome.steps.segment import segment_organs

A_COHORT: Final = 40
MAX_SCAN_S: Final = 30.0
MAX_MIB: Final = 2048
SHARES: Final = {"ukb": 0.1, "ct": 0.2, "nifti": 0.35, "bids": 0.25}  # tables take the rest
UNFORESEEN: Final = (Reason.UNEXPECTED_ERROR, Reason.WORKER_DIED, Reason.OUT_OF_MEMORY)
GUARDED: Final = {"ukb": set(DAMAGES), "nifti": set(DAMAGES) - {"grow"}}
MAX_MESSAGE_LINES: Final = 3


@dataclass
class Findings:
    """What came of it.

    Attributes:
        rows: Rows by what stands in them, of all steps.
        drawn: Corrupted deliveries by kind and carrier.
        became: Corrupted scans by kind and by what preparation made of them; tables by listing.
        broken: What did not hold, in words.
        slowest_s: The longest that a scan took.
        n: Corrupted deliveries.
    """

    rows: Counter[str] = field(default_factory=Counter)
    drawn: Counter[tuple[str, str]] = field(default_factory=Counter)
    became: Counter[tuple[str, str]] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    slowest_s: float = 0.0
    n: int = 0

    def beyond_limits(self, peak_mib: int) -> list[str]:
        """Return what took too long or too much, and which corruptions were never tried."""
        found = []
        if peak_mib > MAX_MIB:
            found.append(f"a process took {peak_mib} MiB")
        if self.slowest_s > MAX_SCAN_S:
            found.append(f"a scan took {self.slowest_s:.0f} s")
        missed = [pair for pair in product(KINDS, CARRIERS) if not self.drawn[pair]]
        return found + [f"{kind} of {carrier} was not tried" for kind, carrier in missed]


class _Heard(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@contextmanager
def _heard() -> Iterator[_Heard]:
    handler, root = _Heard(), logging.getLogger()
    root.addHandler(handler)
    try:
        yield handler
    finally:
        root.removeHandler(handler)


def try_cohort(folder: Path, kind: str, cohort: Cohort, findings: Findings) -> None:
    """Take a cohort through the steps, and note what does not hold."""
    findings.n += len(cohort.drawn)
    findings.drawn.update((kind_of, carrier) for carrier, kind_of in cohort.drawn.values())
    try:
        with _heard() as log:
            list_scans.run(
                kind=LISTED_AS[kind], cohort="fuzz", root=cohort.root, scans=folder / "scans",
                shard_size=10 * A_COHORT,
            )  # fmt: skip
            outcomes = _steps(folder, kind, cohort, findings)
    except Exception as error:  # whatever it is, a job has stopped
        findings.broken.append(f"{kind}: stopped by {type(error).__name__}: {error}")
        return
    said = "\n".join([*log.lines, *(one.fact or "" for one in outcomes)])
    named = sorted(secret for secret in cohort.secrets if secret in said)
    if named:
        findings.broken.append(f"{kind}: named in logs or facts: {named[:3]}")


def _steps(folder: Path, kind: str, cohort: Cohort, findings: Findings) -> list[Outcome]:
    shard = folder / "scans" / "0000.parquet"
    scans = read_shard(shard)
    whose = {scan.scan: scan.participant for scan in scans}
    lost = set(cohort.done_to) - set(whose.values())
    for participant in lost:
        if not cohort.done_to[participant].startswith(("name", "rename", "lose")):
            what = cohort.done_to[participant]
            findings.broken.append(f"{kind}: not listed after {what}")
    common: dict[str, Any] = {"shard": shard, "n_processes": 2, "max_same_reason_share": 1.0}
    images = folder / "results" / "prepare_images"
    outcomes = prepare_images.run(
        output=images, work=folder / "work" / "prepare", kind=LISTED_AS[kind], **common
    )
    _judge(kind, cohort, whose, images, outcomes, findings)
    if not any(scan.labelmap for scan in scans):
        return list(outcomes)
    labels = folder / "results" / "segment_organs"
    labelled = segment_organs.run(
        images=images, output=labels, work=folder / "work" / "segment", source="labelmaps", **common
    )
    _judge(kind, cohort, whose, labels, labelled, findings)
    volumes = folder / "results" / "measure_volumes"
    measured = measure_volumes.run(
        images=images, labelmaps=labels, output=volumes, work=folder / "work" / "measure", **common
    )
    _judge(kind, cohort, whose, volumes, measured, findings)
    return [*outcomes, *labelled, *measured]


def _judge(
    kind: str,
    cohort: Cohort,
    whose: Mapping[str, str],
    folder: Path,
    outcomes: tuple[Outcome, ...],
    findings: Findings,
) -> None:
    if [one.scan for one in outcomes] != list(whose):
        findings.broken.append(f"{kind}: {len(outcomes)} rows for {len(whose)} scans")
    sound: dict[str, set[str]] = {}
    is_preparation = folder.name == "prepare_images"
    for one in outcomes:
        what = cohort.done_to[whose[one.scan]]
        became = str(one.reason or ("flagged" if one.facts.get("flags") else "done"))
        findings.rows[became] += 1
        if is_preparation and what != "nothing":
            findings.became[cohort.drawn[whose[one.scan]][1], became] += 1
        if one.reason in UNFORESEEN:
            findings.broken.append(f"{kind}, {one.step}: {one.reason} after {what}: {one.fact}")
        if what == "nothing" and one.status is not Status.DONE:
            findings.broken.append(f"{kind}, {one.step}: a sound scan has {one.reason}: {one.fact}")
        if is_preparation and one.status is Status.DONE:
            for path in folder.glob(f"{one.scan}_*.nii.gz"):
                name = path.name.partition("_")[2]
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
                if what == "nothing":
                    sound.setdefault(name, set()).add(digest)
                elif what in GUARDED.get(kind, ()) and digest not in sound.get(name, ()):
                    findings.broken.append(f"{kind}: other voxels after {what}, {one.scan} {name}")
    taken_s = pq.read_table(folder / "ledger.parquet", columns=["elapsed_s"])["elapsed_s"]
    findings.slowest_s = max([findings.slowest_s, *taken_s.to_pylist()])


def try_tables(folder: Path, base: Base, findings: Findings, *, n: int, seed: int) -> None:
    """Spoil a TSV again and again: it is listed, or refused in one to three lines."""
    chance = random.Random(seed)
    folder.mkdir()
    for name, content in base.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    head = "participant\tinstance\tprotocol\tcontrast\timage\tlabelmap"
    text = "\n".join([head, *base.table]) + "\n"
    for place in range(n):
        kind = KINDS[place % len(KINDS)]
        findings.drawn[kind, "tsv"] += 1
        (folder / TABLE).write_bytes(spoil_table(text, chance, kind))
        try:
            list_scans.run(
                kind="folder", cohort="fuzz", root=folder / TABLE, scans=folder / f"scans{place}"
            )
            findings.became[kind, "table listed"] += 1
        except SetupError as error:
            findings.became[kind, "table refused"] += 1
            if len(str(error).splitlines()) > MAX_MESSAGE_LINES:
                findings.broken.append(f"table {place}: a message of many lines: {error}")
        except Exception as error:  # a traceback, where a message was due
            findings.broken.append(f"table {place}: {type(error).__name__}: {error}")
    findings.n += n


def fuzz(folder: Path, *, n: int, seed: int) -> Findings:
    """Try ``n`` corruptions."""
    findings = Findings()
    bases = make_bases(folder / "phantoms")
    n_tables = n - sum(int(n * share) for share in SHARES.values())
    for kind, share in SHARES.items():
        n_all = int(n * share)
        left, batch = n_all, 0
        while left:
            n_here = min(left, A_COHORT)
            place = folder / f"{kind}{batch}"
            cohort = write_cohort(
                place / "cohort", kind, bases[kind],
                n=n_here, seed=1000 * seed + batch, n_before=n_all - left,
            )  # fmt: skip
            began_s = time.monotonic()
            try_cohort(place / "run", kind, cohort, findings)
            took_s = time.monotonic() - began_s
            print(
                f"{kind:6} {n_here:4} in {took_s:5.0f} s, broken {len(findings.broken)}", flush=True
            )
            left, batch = left - n_here, batch + 1
    try_tables(folder / "tables", bases["nifti"][0], findings, n=n_tables, seed=seed)
    return findings


def _table(head: str, counts: Counter[tuple[str, str]], columns: Sequence[str]) -> str:
    lines = [f"{head:24}" + "".join(f"{one:>9}" for one in columns)]
    for row in dict.fromkeys(row for row, _ in sorted(counts)):
        lines.append(f"{row:24}" + "".join(f"{counts[row, one]:9}" for one in columns))
    return "\n".join(lines)


def main() -> int:
    """Return 1 if something did not hold."""
    parser = argparse.ArgumentParser(
        prog="python -m fuzz", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--n", type=int, default=2000, help="corrupted deliveries")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="work here and leave everything")
    arguments = parser.parse_args()
    peak = PeakOfProcesses()
    peak.start()
    with tempfile.TemporaryDirectory() as temporary:
        findings = fuzz(arguments.keep or Path(temporary), n=arguments.n, seed=arguments.seed)
    peak_mib = peak.stop()
    findings.broken += findings.beyond_limits(peak_mib)
    print(_table("corrupted", findings.drawn, CARRIERS))
    print(_table("became", Counter({(b, a): n for (a, b), n in findings.became.items()}), KINDS))
    print("\n".join(f"{n:6} {row}" for row, n in findings.rows.most_common()))
    print("\n".join(findings.broken[:200]))
    summary = {
        "n_corruptions": findings.n,
        "n_kinds_by_carriers": len(findings.drawn),
        "n_rows": findings.rows.total(),
        "n_broken": len(findings.broken),
        "slowest_scan_s": round(findings.slowest_s, 1),
        "peak_mib": peak_mib,
    }
    print(json.dumps(summary))
    return int(bool(findings.broken))


if __name__ == "__main__":
    sys.exit(main())

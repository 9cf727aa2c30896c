"""Small cohorts with a model, listed and ready to run, and the tables that they must yield."""

import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow.parquet as pq

from campaigns.runs import CampaignRun
from doubles.cohorts import TinyCohort
from doubles.models import write_tiny_model
from doubles.places import REPOSITORY
from organome.phantoms import make_phantoms
from organome.phantoms.delivery.defects import Defect, Format

_TINY: Final = """\
cohort: {name: tiny, kind: folder, root: ../cohort/scans.tsv, protocols: [ct]}
shard_size: 4
segment: {model: ../model, contrasts: [ct], device: cpu}
pictures: {enabled: false}
resources:
  measure_volumes: {processes: 2}
"""
_PHANTOM: Final = """\
cohort: {name: phantom, kind: ukb, root: ../cohort/ukb}
shard_size: 2
segment: {model: ../model, device: cpu, tile_step_size: 1}
pictures: {enabled: false}
radiomics: {contrasts: {fat_fraction: dixon}}
"""


@dataclass(frozen=True)
class ListedCohort:
    """A cohort, its model and a run folder in which the scans are listed.

    Attributes:
        folder: Holds ``cohort``, ``model`` and ``run``.
        participants: Pseudonyms, which must not get into logs.
        tables: What an undisturbed run makes of it: content by file.
    """

    folder: Path
    participants: frozenset[str]
    tables: Mapping[str, bytes]

    def copy(self, folder: Path) -> CampaignRun:
        """Copy all of it, with the times of the files."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return CampaignRun(folder / "run")


def tiny(folder: Path) -> None:
    """Twelve scans in three shards, for a network of two stages."""
    TinyCohort(folder / "cohort", size_zyx=(48, 64, 64), prefix="p730291").add(12)
    write_tiny_model(folder / "model")
    _write_config(folder, _TINY)


def phantom(folder: Path) -> None:
    """UK Biobank archives of four bodies in two shards, one of them spoilt; the shipped model."""
    make_phantoms.run(
        output=folder / "cohort",
        preset="tiny",
        n_participants=4,
        n_repeats=0,
        n_ct=0,
        formats=[Format.UKB],
        defects=[Defect.MISSING_STATION],
        reduce=8,
    )
    (folder / "model").symlink_to(REPOSITORY / "models" / "phantom")
    _write_config(folder, _PHANTOM)


KINDS: Final[Mapping[str, Callable[[Path], None]]] = {"tiny": tiny, "phantom": phantom}


def make_listed(kind: str, folder: Path) -> ListedCohort:
    """Make a cohort, list its scans, and run a copy of it undisturbed."""
    listed = folder / "listed"
    listed.mkdir(parents=True)
    KINDS[kind](listed)
    run = CampaignRun(listed / "run")
    where = ["--snakefile", str(REPOSITORY / "Snakefile"), "--directory", str(run.folder)]
    subprocess.run(
        ["snakemake", "list_scans", *where, "--cores", "1", "--quiet", "all"],
        env=run.environment(),
        check=True,
    )
    participants = {
        participant
        for path in (run.folder / "scans").glob("*.parquet")
        for participant in pq.read_table(path)["participant"].to_pylist()
    }
    cohort = ListedCohort(listed, frozenset(participants), {})
    undisturbed = cohort.copy(folder / "undisturbed")
    undisturbed.start()
    if undisturbed.wait(within_s=900) != 0:
        raise RuntimeError(f"the undisturbed run fails:\n{undisturbed.output[-4000:]}")
    return ListedCohort(listed, cohort.participants, undisturbed.tables())


def _write_config(folder: Path, text: str) -> None:
    (folder / "run").mkdir()
    (folder / "run" / "config.yaml").write_text(text)

"""A tiny cohort of NIfTI images with labelmaps, and a run of the workflow on it."""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from doubles.places import REPOSITORY, quick_environment
from doubles.snakemakes import run_snakemake

BIN = Path(sys.executable).parent
SIZE_ZYX = (12, 14, 16)

CONFIG = """\
cohort: {{name: tiny, kind: folder, root: ../cohort/scans.tsv, protocols: [ct]}}
shard_size: {shard_size}
segment: {{source: labelmaps, scheme: mrsegmentator, contrasts: [ct], device: cpu}}
pictures: {{enabled: {pictures}}}
"""


class TinyCohort:
    """A folder cohort that grows on request; every image is drawn from its participant's number.

    The pseudonym is a number after ``prefix``; a long one is found wherever it is written.
    """

    def __init__(
        self, folder: Path, *, size_zyx: tuple[int, int, int] = SIZE_ZYX, prefix: str = "p"
    ) -> None:
        self.folder = folder
        self._size_zyx = size_zyx
        self._prefix = prefix
        (folder / "images").mkdir(parents=True)
        self._rows = ["participant\tinstance\tprotocol\timage\tcontrast\tlabelmap"]

    @property
    def n_participants(self) -> int:
        return len(self._rows) - 1

    def add(self, n_participants: int) -> None:
        for _ in range(n_participants):
            number = len(self._rows)
            participant = f"{self._prefix}{number:03d}"
            stem = f"images/{participant.removeprefix('p')}"
            image, labelmap = f"{stem}.nii.gz", f"{stem}_labels.nii.gz"
            self._write(number, image=image, labelmap=labelmap)
            self._rows.append(f"{participant}\t2\tct\t{image}\tct\t{labelmap}")
        (self.folder / "scans.tsv").write_text("\n".join(self._rows) + "\n")

    def _write(self, number: int, *, image: str, labelmap: str) -> None:
        chance = np.random.default_rng(number)
        voxels_zyx = chance.normal(40, 10, self._size_zyx).astype(np.int16)
        labels_zyx = np.zeros(self._size_zyx, np.uint8)
        labels_zyx[2:9, 3:11, 2:7] = 5
        labels_zyx[3:6, 4:8, 9 : 11 + number % 3] = 1
        for array, path in ((voxels_zyx, image), (labels_zyx, labelmap)):
            picture = sitk.GetImageFromArray(array)
            picture.SetSpacing((1.5, 1.5, 3.0))
            sitk.WriteImage(picture, str(self.folder / path), useCompression=True)


@dataclass(frozen=True)
class Result:
    """Snakemake's exit code and output, and the jobs it ran as (rule, shard)."""

    returncode: int
    output: str

    @property
    def jobs(self) -> list[tuple[str, str | None]]:
        found = re.findall(
            r"^(?:local)?rule (\w+):\n((?:    .*\n)*)", self.output, flags=re.MULTILINE
        )
        shards = [re.search(r"wildcards: shard=(\d+)", text) for _, text in found]
        return sorted(
            (rule, shard[1] if shard else None)
            for (rule, _), shard in zip(found, shards, strict=True)
            if rule != "all"
        )


class Run:
    """A run folder."""

    def __init__(
        self, folder: Path, *, shard_size: int, more: str = "", pictures: bool = False
    ) -> None:
        self.folder = folder
        folder.mkdir()
        config = CONFIG.format(shard_size=shard_size, pictures=str(pictures).lower())
        (folder / "config.yaml").write_text(config + more)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(BIN / "snakemake"), *self._flags(arguments)],
            env=self._environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def snakemake(self, *arguments: str) -> Result:
        return Result(*run_snakemake(self._flags(arguments), self._environment()))

    def _flags(self, arguments: Sequence[str]) -> list[str]:
        where = ["--snakefile", str(REPOSITORY / "Snakefile"), "--directory", str(self.folder)]
        return [*where, "--cores", "2", *arguments]

    def _environment(self) -> dict[str, str]:
        return quick_environment() | {"PATH": f"{BIN}:{os.environ['PATH']}"}

    def whole(self) -> Result:
        """List and run everything; it must go well."""
        listed = self.snakemake("list_scans")
        assert listed.returncode == 0, listed.output
        return self.rest()

    def rest(self) -> Result:
        """Run what is left of all that is listed; it must go well."""
        result = self.snakemake()
        assert result.returncode == 0, result.output
        return result

    def tables(self) -> dict[str, bytes]:
        """Content of every file of the cohort's tables."""
        folder = self.folder / "results" / "tables"
        return {
            str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }

"""A run folder: its configuration, and where its parts lie."""

import csv
import math
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from organome.domain.errors import SetupError
from organome.domain.organs import ORGANS
from organome.domain.radiomics_settings import Engine
from organome.domain.schemes import MRSEGMENTATOR, LabelScheme
from organome.io.configs import read_config, read_schema
from organome.io.files.assets import asset
from organome.io.models.phantoms import check_made_for
from organome.io.models.places import locate_model
from organome.io.tables.radiomics_parameters import read_settings
from organome.io.tables.scan_lists import listed_contrasts, listed_shards
from organome.io.tables.schemes import find_scheme, read_published_scheme

CONFIG: Final = "config.yaml"
BENCHMARKS: Final = "logs/benchmarks"
_SCHEMA: Final = "workflow/schemas/config.schema.yaml"
_TRAIN_SCHEMA: Final = "workflow/schemas/train.schema.yaml"
_MADE: Final = ("scans", "results", "work")
_PRESETS: Final = "config/radiomics"
_FAT_FRACTION: Final = "fat_fraction"


@dataclass(frozen=True, slots=True)
class Run:
    """A run folder.

    Attributes:
        folder: Where it is.
    """

    folder: Path

    @property
    def scans(self) -> Path:
        """Folder of the sample sheet, a file for each shard."""
        return self.folder / "scans"

    @property
    def results(self) -> Path:
        """Folder of what is published."""
        return self.folder / "results"

    @property
    def work(self) -> Path:
        """Folder of what is under way."""
        return self.folder / "work"

    @property
    def tables(self) -> Path:
        """Folder of the tables of the cohort."""
        return self.results / "tables"

    @property
    def own_config(self) -> Path | None:
        """Its configuration, None where that lies elsewhere and is named to Snakemake."""
        path = self.folder / CONFIG
        return path if path.is_file() else None

    @property
    def is_training(self) -> bool:
        """Whether a model is trained in it, instead of a cohort labelled."""
        return self.own_config is not None and is_training(self.own_config)

    def config(self) -> dict[str, Any]:
        """Read its configuration, defaults filled in.

        Raises:
            SetupError: It has none, or something is wrong with it.
        """
        if self.own_config is None:
            raise SetupError(f"{self.folder}: no {CONFIG} in it; `organome init` writes one")
        schema = _TRAIN_SCHEMA if self.is_training else _SCHEMA
        return read_config(self.own_config, read_schema(asset(schema)))

    def check(self) -> None:
        """Check that what its configuration names is there.

        Raises:
            SetupError: The configuration is wrong; the cohort, the model, the label scheme or a
                parameter file is not there; or the model was made for another kind of cohort.
        """
        config = self.config()
        if self.is_training:
            return  # its datasets are looked for when they are listed
        root = self.folder / config["cohort"]["root"]
        check_root(config["cohort"]["kind"], root, named=f"{self.own_config}: cohort.root")
        segment = config["segment"]
        self._check_scheme(segment["scheme"])
        self._check_radiomics(config)
        if segment["source"] == "model":
            model = locate_model(segment["model"], relative_to=self.folder)
            if not model.is_dir():
                raise SetupError(f"{self.own_config}: segment.model: {model}: no such folder")
            check_made_for(model, root, allowed=segment["allow_phantom_model"])

    def check_contrasts(self) -> None:
        """Check that the scans that are listed show what is to be segmented and measured.

        Raises:
            SetupError: None shows it. Archives say only later what they show.
        """
        shown = listed_contrasts(self.scans)
        if shown is None:
            return
        config = self.config()
        there = f"is in the cohort, which shows {', '.join(sorted(shown))}"
        if shown.isdisjoint(config["segment"]["contrasts"]):
            wanted = ", ".join(config["segment"]["contrasts"])
            raise SetupError(f"{self.own_config}: segment.contrasts: none of {wanted} {there}")
        for contrast in config["radiomics"]["contrasts"]:
            if not shown >= ({"fat", "water"} if contrast == _FAT_FRACTION else {contrast}):
                raise SetupError(f"{self.own_config}: radiomics.contrasts: no {contrast} {there}")

    def _check_scheme(self, word: str) -> None:
        path = self.folder / word
        try:
            find_scheme(str(path) if path.suffix else word)
        except SetupError as error:
            raise SetupError(f"{self.own_config}: segment.scheme: {error}") from error

    def parameter_files(self, config: dict[str, Any]) -> dict[str, Path]:
        """Find the settings of radiomics of each contrast.

        Raises:
            SetupError: One is neither a preset nor a file.
        """
        presets, found = asset(_PRESETS), dict[str, Path]()
        for contrast, named in config["radiomics"]["contrasts"].items():
            files = (presets / f"{named}.yaml", self.folder / named)
            path = next((file for file in files if file.is_file()), None)
            if path is None:
                known = ", ".join(sorted(path.stem for path in presets.glob("*.yaml")))
                raise SetupError(
                    f"{self.own_config}: radiomics.contrasts.{contrast}: {named} is neither a"
                    f" preset ({known}) nor a file"
                )
            found[contrast] = path
        return found

    def _check_radiomics(self, config: dict[str, Any]) -> None:
        for contrast, path in self.parameter_files(config).items():
            if contrast not in [*config["prepare"]["contrasts"], _FAT_FRACTION]:
                raise SetupError(
                    f"{self.own_config}: radiomics.contrasts.{contrast}: prepare.contrasts leaves"
                    " it out"
                )
            read_settings(path, Engine(config["radiomics"]["engine"]))


def is_training(config: Path) -> bool:
    """Return whether a configuration is that of a training: whether it has the key ``train``."""
    try:
        return re.search(r"^train:", config.read_text(encoding="utf-8"), re.MULTILINE) is not None
    except (OSError, UnicodeError):
        return False  # whoever reads it says what is wrong


def check_root(kind: str, root: Path, *, named: str) -> None:
    """Refuse a cohort that is not there, or not of this kind.

    Args:
        kind: How the cohort is laid out.
        root: Its folder; for ``folder`` the TSV that names the images.
        named: What named it: a flag, or file and key.

    Raises:
        SetupError: If so.
    """
    said = f"{named}: {root}"
    try:
        if kind == "folder":
            if root.is_dir():
                raise SetupError(
                    f"{said}: a folder; kind folder needs the TSV that names the images"
                )
            if not root.is_file():
                raise SetupError(f"{said}: no such file")
            return
        if root.is_file():
            raise SetupError(f"{said}: a file; kind {kind} needs the folder of the cohort")
        if not root.exists():
            raise SetupError(f"{said}: no such folder")
        if next(root.iterdir(), None) is None:
            raise SetupError(f"{said}: empty; is the disk of the cohort mounted?")
    except OSError as error:
        raise SetupError(f"{said}: cannot be read: {error.strerror}") from error


def open_run(folder: Path) -> Run:
    """Open a run folder.

    Raises:
        SetupError: It is not one.
    """
    if not folder.is_dir():
        raise SetupError(f"{folder}: no such run folder; `organome init` makes one")
    run = Run(folder)
    if run.own_config is None and not any((folder / name).is_dir() for name in _MADE):
        raise SetupError(
            f"{folder}: not a run folder: no {CONFIG} in it; `organome init` makes one"
        )
    return run


def measured_steps(run: Run) -> list[str]:
    """Return the steps of which Snakemake measured jobs, by name."""
    return sorted(folder.name for folder in (run.folder / BENCHMARKS).glob("*/"))


def job_measurements(run: Run, step: str) -> dict[str, dict[str, float]]:
    """Read what Snakemake measured of each finished job of a step, by its shard.

    Returns:
        ``s`` (wall time), ``cpu_time`` in seconds, ``max_rss`` in MiB and others by name, without
        those that it could not measure.

    Source: Snakemake's ``benchmark:``, a TSV of one row for each job.
    """
    found: dict[str, dict[str, float]] = {}
    for path in sorted((run.folder / BENCHMARKS / step).glob("*.tsv")):
        with path.open(encoding="utf-8", newline="") as file:
            for name, text in next(csv.DictReader(file, delimiter="\t"), {}).items():
                with suppress(TypeError, ValueError):  # "NA" of a job that was too short
                    if math.isfinite(value := float(text)):
                        found.setdefault(path.stem, {})[name] = value
    return found


def is_run(layout: str, root: Path) -> bool:
    """Return whether a dataset of a training is a run folder, by its layout or by what is there."""
    return layout == "run" or (layout == "ukb" and (root / "scans").is_dir())


def labelled_schemes(root: Path, stated: LabelScheme) -> Iterator[LabelScheme]:
    """Read the schemes that the labelmaps of a run were made from.

    Args:
        root: The run folder.
        stated: What a dataset says its labels mean.

    Raises:
        SetupError: They mean something else, or a scheme that was published is damaged.
    """
    run = Run(root)
    for shard, _ in listed_shards(run.scans):
        if published := read_published_scheme(run.results / "segment_organs" / f"{shard:04d}"):
            _check_labels(published, stated)
            yield published


def _check_labels(published: LabelScheme, stated: LabelScheme) -> None:
    """Refuse a scheme of what a run was made from: its labels are those of its structures."""
    held = {one.label: one.name for one in published.structures}
    if any(stated.classes.get(label) != name for label, name in held.items()):
        wanted = (
            f"labels: {MRSEGMENTATOR.name}"
            if published.structures == ORGANS
            else "a scheme file whose classes are these"
        )
        raise SetupError(
            f"labelmaps of a run folder hold what it measures (1 is {held[1]}), whatever they were"
            f" made from, and label scheme {stated.name} says otherwise: give the dataset {wanted}"
        )

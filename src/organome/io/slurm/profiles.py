"""Profiles of Snakemake: which executor runs the jobs, and what they ask for."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from organome.domain.errors import SetupError

SLURM: Final = "slurm"
_DEFAULT_INIT_S: Final = 40  # of the plugin


@dataclass(frozen=True, slots=True)
class Profile:
    """What a profile says about jobs.

    Attributes:
        path: Its file.
        settings: All of it.
        default_resources: What every job asks for.
        resources_by_rule: What the jobs of a rule ask for besides or instead.
    """

    path: Path
    settings: Mapping[str, Any]
    default_resources: Mapping[str, str]
    resources_by_rule: Mapping[str, Mapping[str, str]]

    @property
    def executor(self) -> str | None:
        """Name of the executor, None for this machine."""
        told = self.settings.get("executor")
        return None if told is None else str(told)

    @property
    def n_jobs(self) -> int | None:
        """Jobs in the queue at once, None if that is not a number."""
        told = str(self.settings.get("jobs"))
        return int(told) if told.isdigit() else None

    @property
    def init_s(self) -> int:
        """Seconds before the plugin first asks for the state of its jobs."""
        return int(self.settings.get("slurm-init-seconds-before-status-checks", _DEFAULT_INIT_S))


def find_profile(named: Path | None, *, snakefile: Path) -> Path | None:
    """Find the file of a workflow profile where Snakemake finds it.

    Args:
        named: Folder or file, or the name of a folder in ``profiles/``; None: the default one.
        snakefile: The default profile lies where one stands, or else beside this.

    Raises:
        SetupError: A profile is named and is not there.
    """
    if named is not None:
        places = [named, Path("profiles") / named]
        places += [snakefile.parent / named, snakefile.parent / "profiles" / named]
    else:
        places = [Path("profiles/default"), snakefile.parent / "profiles" / "default"]
    for place in places:
        for path in (place, place / "config.yaml", place / "profile.yaml"):
            if path.is_file():
                return path
    if named is not None:
        known = sorted(path.parent.name for path in snakefile.parent.glob("profiles/*/config.yaml"))
        raise SetupError(
            f"{named}: no profile there (no config.yaml in it); Organome has {', '.join(known)}"
        )
    return None


def read_profile(path: Path) -> Profile:
    """Read a profile.

    Raises:
        SetupError: It is no YAML mapping.
    """
    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeError, yaml.YAMLError) as error:
        raise SetupError(f"{path}: {error}") from error
    if not isinstance(settings, dict):
        raise SetupError(f"{path}: a profile is a YAML mapping")
    return Profile(
        path=path,
        settings=settings,
        default_resources=_resources(settings.get("default-resources")),
        resources_by_rule=_by_rule(settings.get("set-resources")),
    )


def _resources(told: Any) -> dict[str, str]:
    """Read resources as Snakemake takes them: a mapping or a list of ``name=value``."""
    if isinstance(told, dict):
        pairs = list(told.items())
    else:
        pairs = [str(entry).partition("=")[::2] for entry in _listed(told)]
    return {str(name): str(value).strip("'\"") for name, value in pairs}


def _by_rule(told: Any) -> dict[str, dict[str, str]]:
    if isinstance(told, dict):
        return {str(rule): _resources(resources) for rule, resources in told.items()}
    found: dict[str, dict[str, str]] = {}
    for entry in _listed(told):
        rule, _, resource = str(entry).partition(":")
        found.setdefault(rule, {}).update(_resources([resource]))
    return found


def _listed(told: Any) -> list[Any]:
    if told is None:
        return []
    return told if isinstance(told, list) else str(told).split()

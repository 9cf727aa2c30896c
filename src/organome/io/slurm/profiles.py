"""Profiles of Snakemake: which executor runs the jobs, and what they ask for."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any, Final

import yaml
from platformdirs import site_config_dir, user_config_dir

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
        executor = self.settings.get("executor")
        return None if executor is None else str(executor)

    @property
    def n_jobs(self) -> int | None:
        """Jobs in the queue at once, None if that is not a number."""
        n_jobs = str(self.settings.get("jobs"))
        return int(n_jobs) if n_jobs.isdigit() else None

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


def job_profile(
    flags: Sequence[str], workflow_profile: Path | None, *, snakefile: Path
) -> Profile | None:
    """Read what decides on jobs, as Snakemake puts it together.

    Flags go before the workflow profile, and that before the profiles of the user (``--profile``,
    without it ``$SNAKEMAKE_PROFILE``), setting by setting.

    Args:
        flags: Further flags of Snakemake.
        workflow_profile: The workflow profile; None: the default one.
        snakefile: The workflow.

    Returns:
        The settings in one; its path is the last file; None where nothing is said.

    Raises:
        SetupError: A profile is named and is not there, or cannot be read.
    """
    named = _values(flags, "--profile")
    if not named and (of_user := os.environ.get("SNAKEMAKE_PROFILE")):
        named = [of_user]
    paths = [_find_user_profile(name) for name in named if name != "none"]
    of_workflow = [Path(name) for name in _values(flags, "--workflow-profile")]
    workflow_profile = workflow_profile or next(iter(of_workflow), None)
    if workflow_profile != Path("none"):
        path = find_profile(workflow_profile, snakefile=snakefile)
        paths += [] if path is None else [path]
    settings: dict[str, Any] = {}
    for path in paths:
        settings |= read_profile(path).settings
    for name in ("--executor", "-e"):
        settings |= {"executor": executor[0]} if (executor := _values(flags, name)[:1]) else {}
    return _profile(paths[-1] if paths else Path(), settings) if settings else None


def _values(flags: Sequence[str], name: str) -> list[str]:
    """Find the values of a flag, ``--name a b`` or ``--name=a``."""
    for place, flag in enumerate(flags):
        if flag == name:
            return list(takewhile(lambda word: not word.startswith("-"), flags[place + 1 :]))
        if flag.startswith(f"{name}="):
            return [flag.partition("=")[2]]
    return []


def _find_user_profile(named: str) -> Path:
    homes = [Path(), Path(user_config_dir("snakemake")), Path(site_config_dir("snakemake"))]
    for place in (home / named for home in homes):
        if place.is_file():
            return place
        files = [*place.glob("config*.yaml"), *place.glob("profile*.yaml")]
        if files:  # config.v9+.yaml before config.yaml
            return max(files, key=lambda path: (".v" in path.name, path.name))
    raise SetupError(f"--profile {named}: no such profile of Snakemake")


def read_profile(path: Path) -> Profile:
    """Read a profile.

    Raises:
        SetupError: It is not a YAML mapping.
    """
    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeError, yaml.YAMLError) as error:
        raise SetupError(f"{path}: {error}") from error
    if not isinstance(settings, dict):
        raise SetupError(f"{path}: a profile is a YAML mapping")
    return _profile(path, settings)


def _profile(path: Path, settings: Mapping[str, Any]) -> Profile:
    return Profile(
        path=path,
        settings=settings,
        default_resources=_resources(settings.get("default-resources")),
        resources_by_rule=_by_rule(settings.get("set-resources")),
    )


def _resources(written: Any) -> dict[str, str]:
    """Read resources as Snakemake takes them: a mapping or a list of ``name=value``."""
    if isinstance(written, dict):
        pairs = list(written.items())
    else:
        pairs = [str(entry).partition("=")[::2] for entry in _listed(written)]
    return {str(name): str(value).strip("'\"") for name, value in pairs}


def _by_rule(written: Any) -> dict[str, dict[str, str]]:
    if isinstance(written, dict):
        return {str(rule): _resources(resources) for rule, resources in written.items()}
    found: dict[str, dict[str, str]] = {}
    for entry in _listed(written):
        rule, _, resource = str(entry).partition(":")
        found.setdefault(rule, {}).update(_resources([resource]))
    return found


def _listed(written: Any) -> list[Any]:
    if written is None:
        return []
    return written if isinstance(written, list) else str(written).split()

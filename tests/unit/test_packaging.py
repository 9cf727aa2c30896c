"""What is installed, and that the three descriptions of it agree."""

import re
import tomllib
from pathlib import Path

import yaml

from organome import __version__

REPOSITORY = Path(__file__).parents[2]


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[<>=! ]", name)[0]).lower()


def constrained() -> dict[str, str]:
    lines = (REPOSITORY / "envs" / "constraints.txt").read_text().splitlines()
    pins = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {normal(name): version for name, version in pins}


def test_every_dependency_is_pinned_to_a_version_of_no_particular_platform() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    pins = constrained()
    assert {normal(name) for name in wanted} <= set(pins)
    assert not [version for version in pins.values() if "+" in version]


def test_version_is_one() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())
    assert project["version"] == citation["version"] == __version__


def test_conda_and_apptainer_take_the_same_constraints() -> None:
    for name in ("environment.yaml", "organome.def"):
        assert re.search(
            r"--constraint \S*constraints\.txt", (REPOSITORY / "envs" / name).read_text()
        )

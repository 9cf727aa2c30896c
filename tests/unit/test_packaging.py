"""What is installed, and that the three descriptions of it agree."""

import re
import shutil
import subprocess
import tomllib
from itertools import chain
from pathlib import Path

import yaml

from doubles.places import REPOSITORY
from organome import __version__


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[<>=! ]", name)[0]).lower()


def constrained() -> dict[str, str]:
    lines = (REPOSITORY / "envs" / "constraints.txt").read_text().splitlines()
    pins = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {normal(name): version for name, version in pins}


def test_every_dependency_is_pinned_to_a_version_of_no_particular_platform() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    wanted = [*project["dependencies"], *chain.from_iterable(extras)]
    pins = constrained()
    assert {normal(name) for name in wanted} <= set(pins)
    assert not [version for version in pins.values() if "+" in version]


def test_pyradiomics_and_all_that_it_asks_for_are_pinned() -> None:
    script = (REPOSITORY / "envs" / "install_pyradiomics.sh").read_text()
    asked = re.findall(r"^install (.+?) \|\|", script, flags=re.MULTILINE)
    names = {name for words in asked for name in words.split() if not name.startswith("-")}
    assert "pyradiomics" in names
    assert {normal(name) for name in names} <= set(constrained())


def test_without_a_compiler_the_set_up_goes_on_and_says_what_is_missing(tmp_path: Path) -> None:
    for tool in ("bash", "dirname"):
        where = shutil.which(tool)
        assert where is not None
        (tmp_path / tool).symlink_to(where)
    result = subprocess.run(
        [REPOSITORY / "envs" / "install_pyradiomics.sh", "no-python"],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 3
    assert "there is no C compiler" in result.stderr
    assert "[ $$? -eq 3 ]" in (REPOSITORY / "Makefile").read_text()


def test_version_is_one() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())
    assert project["version"] == citation["version"] == __version__


def test_conda_and_apptainer_take_the_same_constraints() -> None:
    for name in ("environment.yaml", "organome.def"):
        assert re.search(
            r"--constraint \S*constraints\.txt", (REPOSITORY / "envs" / name).read_text()
        )

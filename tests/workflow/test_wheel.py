"""A wheel is enough: installed alone, it runs a cohort from any folder."""

import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from doubles.cohorts import BIN
from doubles.places import REPOSITORY


class Installed:
    """Organome as unpacked from its wheel, and nothing of the checkout."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        wheels, self.packages = folder / "wheels", folder / "packages"
        pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
        self._call(*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", wheels, REPOSITORY)
        (wheel,) = wheels.glob("organome-*.whl")
        self._call(*pip, "install", "--no-deps", "--target", self.packages, wheel)
        (folder / "elsewhere").mkdir()

    def organome(self, *arguments: object) -> str:
        """Run a command from another folder; it must go well."""
        return self._call(self.packages / "bin" / "organome", *arguments, cwd="elsewhere")

    def python(self, code: str) -> str:
        return self._call(sys.executable, "-c", code, cwd="elsewhere")

    def _call(self, *command: object, cwd: str = ".") -> str:
        result = subprocess.run(
            list(map(str, command)),
            cwd=self.folder / cwd,
            env={
                **os.environ,
                "PATH": f"{self.packages / 'bin'}:{BIN}:{os.environ['PATH']}",
                "PYTHONPATH": str(self.packages),
                "XDG_DATA_HOME": str(self.folder / "data"),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return Installed(tmp_path_factory.mktemp("installed"))


@pytest.mark.slow
def test_all_that_a_run_needs_travels_in_the_wheel(installed: Installed) -> None:
    code = (
        "from organome.io.files.assets import asset;"
        "names = ('Snakefile', 'workflow/rules/segment.smk', 'profiles/slurm/config.yaml',"
        " 'config/ukb.yaml', 'models/phantom/plans.json', 'envs/constraints.txt');"
        "print(all(asset(name).is_file() for name in names), asset('Snakefile'))"
    )
    assert installed.python(code).split() == [
        "True",
        str(installed.packages / "organome" / "assets" / "Snakefile"),
    ]


@pytest.mark.slow
def test_a_phantom_cohort_runs_from_another_folder_in_three_commands(installed: Installed) -> None:
    flags = ["--n-participants", 1, "--n-repeats", 0, "--n-ct", 0, "--formats", "ukb"]
    flags += ["--defects", "duplicate_station"]  # one that is handled: the scan goes through
    installed.organome("make-phantoms", "--output", "cohort", "--preset", "tiny", *flags)
    said = installed.organome(
        *("init", "run", "--kind", "ukb", "--root", "cohort/ukb", "--model", "phantom")
    )
    assert said.splitlines() == ["wrote run/config.yaml", "next: organome run run"]
    said = installed.organome("run", "run", "--", "--cores", 2)
    assert "done: 1 of 1 scans" in said
    run = installed.folder / "elsewhere" / "run"
    report = said.splitlines()[-1].removeprefix("report: ")
    assert (run.parent / report).read_text().startswith("<!doctype html>")
    rows = pq.read_table(run / "results" / "tables" / "organs").to_pylist()
    assert len(rows) == 40
    assert "1 scan in the tables" in installed.organome("status", "run")

"""Every rule of the floors holds, and would be seen to be broken."""

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PACKAGE = REPOSITORY / "src" / "organome"

FLOORS = "Imports only go down; cohorts, compute and io do not know each other BROKEN"
DOMAIN = "domain needs the standard library only BROKEN"
CLI = "Only cli knows flags and progress bars BROKEN"
PURE = "compute and cohorts write no log and no table BROKEN"


def lint(root: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("lint-imports")
    return subprocess.run(
        [program, "--no-cache", "--config", root / "pyproject.toml"],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root / "src")},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def copied_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tree")
    shutil.copytree(PACKAGE, root / "src" / "organome", ignore=shutil.ignore_patterns("*.pyc"))
    shutil.copy(REPOSITORY / "pyproject.toml", root)
    return root


def test_the_tree_as_it_is_keeps_all_rules(copied_tree: Path) -> None:
    result = lint(copied_tree)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    ("floor", "planted", "broken"),
    [
        ("domain", "organome.io.atomic", FLOORS),
        ("domain", "organome.steps.events", FLOORS),
        ("io", "organome.compute.faces", FLOORS),
        ("io", "organome.cohorts.ukb", FLOORS),
        ("compute", "organome.io.atomic", FLOORS),
        ("compute", "organome.cohorts.ukb", FLOORS),
        ("cohorts", "organome.io.atomic", FLOORS),
        ("cohorts", "organome.compute.faces", FLOORS),
        ("io", "organome.steps.events", FLOORS),
        ("steps", "organome.cli.app", FLOORS),
        ("domain", "numpy", DOMAIN),
        ("domain", "SimpleITK", DOMAIN),
        ("steps", "rich", CLI),
        ("io", "cyclopts", CLI),
        ("compute", "logging", PURE),
        ("cohorts", "pyarrow", PURE),
    ],
)
def test_a_planted_import_is_found(
    copied_tree: Path, floor: str, planted: str, broken: str
) -> None:
    module = copied_tree / "src" / "organome" / floor / "planted.py"
    module.write_text(f"import {planted}\n")
    try:
        result = lint(copied_tree)
    finally:
        module.unlink()
    assert result.returncode == 1
    assert broken in " ".join(result.stdout.split())


def modules(floor: str) -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted((PACKAGE / floor).rglob("*.py")):
        yield path, ast.parse(path.read_text())


def test_domain_imports_nothing_but_the_standard_library_and_itself() -> None:
    for path, tree in modules("domain"):
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            for name in names:
                ours = name.startswith("organome.domain")
                assert ours or name.split(".")[0] in sys.stdlib_module_names, f"{path}: {name}"


@pytest.mark.parametrize("floor", ["domain", "io", "compute", "cohorts", "cli"])
def test_only_steps_catch_scan_errors(floor: str) -> None:
    for path, tree in modules(floor):
        for node in ast.walk(tree):
            if isinstance(node, ast.ExceptHandler) and node.type is not None:
                assert "ScanError" not in ast.unparse(node.type), f"{path}:{node.lineno}"


def test_the_package_reads_no_environment_variable() -> None:
    for path, tree in modules("."):
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute):
                assert node.attr not in ("environ", "getenv"), f"{path}:{node.lineno}"

"""Every rule of the floors holds, and would be seen to be broken."""

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from doubles.places import REPOSITORY

PACKAGE = REPOSITORY / "src" / "organome"

FLOORS = "Imports only go down; cohorts, compute and io do not know each other BROKEN"
DOMAIN = "domain needs the standard library only BROKEN"
STEPS = "The rooms of steps do not know each other BROKEN"
COMPUTE = "The rooms of compute know geometry and dixon, and no other room BROKEN"
IO = "Rooms of io know files only; viewers, runs, side runs, methods and labelled know more BROKEN"
PHANTOMS = "Within phantoms, too, imports only go down BROKEN"
CIRCLES = "No package and no module imports itself by a detour BROKEN"
SHARDS = "shards knows no image and no model BROKEN"
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
    shutil.copytree(
        PACKAGE, root / "src" / "organome", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copy(REPOSITORY / "pyproject.toml", root)
    return root


def test_the_tree_as_it_is_keeps_all_rules(copied_tree: Path) -> None:
    result = lint(copied_tree)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    ("place", "planted", "broken"),
    [
        ("domain", "organome.io.files.atomic", FLOORS),
        ("domain", "organome.shards.log", FLOORS),
        ("io/files", "organome.compute.geometry.grids", FLOORS),
        ("io/files", "organome.cohorts.ukb", FLOORS),
        ("io/files", "organome.shards.log", FLOORS),
        ("compute/geometry", "organome.io.files.atomic", FLOORS),
        ("compute/geometry", "organome.cohorts.ukb", FLOORS),
        ("cohorts", "organome.io.files.atomic", FLOORS),
        ("cohorts", "organome.compute.geometry.grids", FLOORS),
        ("shards", "organome.steps.segment.segment_organs", FLOORS),
        ("shards", "organome.phantoms.make_phantoms", FLOORS),
        ("steps/measure", "organome.phantoms.bodies.people", FLOORS),
        ("phantoms/rendering", "organome.steps.measure.measure_volumes", FLOORS),
        ("steps/measure", "organome.cli.app", FLOORS),
        ("steps/segment", "organome.steps.measure.measure_volumes", STEPS),
        ("steps/inspect", "organome.steps.collect.collect_tables", STEPS),
        ("compute/sides", "organome.compute.labelmaps.volumes", COMPUTE),
        ("compute/geometry", "organome.compute.dixon.swaps", COMPUTE),
        ("io/tables", "organome.io.images.image_files", IO),
        ("io/files", "organome.io.tables.parquet", IO),
        ("phantoms/bodies", "organome.phantoms.delivery.cohort", PHANTOMS),
        ("phantoms/rendering", "organome.phantoms.delivery.cohort", PHANTOMS),
        ("shards", "organome.io.images.image_files", SHARDS),
        ("shards", "torch", SHARDS),
        ("domain", "numpy", DOMAIN),
        ("domain", "SimpleITK", DOMAIN),
        ("steps/inspect", "rich", CLI),
        ("shards", "rich", CLI),
        ("io/files", "cyclopts", CLI),
        ("compute/geometry", "logging", PURE),
        ("cohorts", "pyarrow", PURE),
    ],
)
def test_a_planted_import_is_found(
    copied_tree: Path, place: str, planted: str, broken: str
) -> None:
    module = copied_tree / "src" / "organome" / place / "planted.py"
    module.write_text(f"import {planted}\n")
    try:
        result = lint(copied_tree)
    finally:
        module.unlink()
    assert result.returncode == 1
    assert broken in " ".join(result.stdout.split())


def test_a_planted_circle_is_found(copied_tree: Path) -> None:
    room = copied_tree / "src" / "organome" / "compute" / "geometry"
    planted = {"one": "other", "other": "one"}
    for name, imported in planted.items():
        text = f"import organome.compute.geometry.planted_{imported}\n"
        (room / f"planted_{name}.py").write_text(text)
    try:
        result = lint(copied_tree)
    finally:
        for name in planted:
            (room / f"planted_{name}.py").unlink()
    assert result.returncode == 1
    assert CIRCLES in " ".join(result.stdout.split())


def test_a_planted_room_without_a_place_is_found(copied_tree: Path) -> None:
    room = copied_tree / "src" / "organome" / "io" / "planted"
    room.mkdir()
    (room / "__init__.py").touch()
    try:
        result = lint(copied_tree)
    finally:
        shutil.rmtree(room)
    assert result.returncode == 1


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
                # The package itself holds nothing but its version.
                ours = name == "organome" or name.startswith("organome.domain")
                assert ours or name.split(".")[0] in sys.stdlib_module_names, f"{path}: {name}"


@pytest.mark.parametrize("floor", ["domain", "io", "compute", "cohorts", "cli"])
def test_only_steps_and_shards_end_a_scan_error(floor: str) -> None:
    for path, tree in modules(floor):
        for node in ast.walk(tree):
            if isinstance(node, ast.ExceptHandler) and node.type is not None:
                passed_on = isinstance(node.body[-1], ast.Raise)  # with a further fact
                assert passed_on or "ScanError" not in ast.unparse(node.type), (
                    f"{path}:{node.lineno}"
                )


def test_the_package_reads_no_environment_variable_but_two() -> None:
    for path, tree in modules("."):
        # The name of a SLURM node, and SNAKEMAKE_PROFILE, which Snakemake reads as well.
        if path.match("cli/failures.py") or path.match("io/slurm/profiles.py"):
            continue
        # Set it: nnU-Net takes its folders from there, torch how it takes memory.
        if path.match("steps/train/nnunet.py") or path.match("steps/segment/model_labeller.py"):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute):
                assert node.attr not in ("environ", "getenv"), f"{path}:{node.lineno}"


def test_no_benchmark_imports_itself_by_a_detour() -> None:
    imports = {}
    for path in (REPOSITORY / "benchmarks").glob("*.py"):
        nodes = ast.walk(ast.parse(path.read_text()))
        modules = (node.module or "" for node in nodes if isinstance(node, ast.ImportFrom))
        imports[path.stem] = {
            name.removeprefix("benchmarks.") for name in modules if name.startswith("benchmarks.")
        }
    TopologicalSorter(imports).prepare()  # raises CycleError

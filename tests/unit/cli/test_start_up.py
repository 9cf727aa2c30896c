"""What a command does not import before it is needed: each takes a tenth to two seconds."""

import subprocess
import sys

import pytest

from doubles.places import TESTS

HEAVY = (
    *("SimpleITK", "highdicom", "matplotlib", "nibabel", "numba", "pandas", "pydicom"),
    *("pyarrow.compute", "pyarrow.dataset", "scipy.fft", "scipy.optimize", "scipy.spatial"),
    *("jsonschema", "scipy.special", "scipy.stats", "skimage", "snakemake", "torch"),
)


@pytest.mark.parametrize(
    ("module", "needed"),
    [
        ("cli.app", ""),
        ("steps.cluster.run", ""),
        ("steps.inspect.status", ""),
        ("steps.prepare.prepare_images", "SimpleITK pydicom"),
        ("steps.segment.segment_organs", "SimpleITK"),
        ("steps.measure.measure_volumes", "SimpleITK"),
        ("steps.radiomics.measure_radiomics", "SimpleITK numba"),
        ("steps.quality.check_quality", "pandas pyarrow.compute"),
    ],
)
def test_a_command_imports_no_library_that_it_may_not_need(module: str, needed: str) -> None:
    script = f"import sys, organome.cli.app, organome.{module}; print(*sys.modules)"
    printed = subprocess.check_output([sys.executable, "-c", script], text=True)
    assert set(printed.split()) & set(HEAVY) == set(needed.split())


def test_a_model_is_loaded_without_the_compiler_of_torch() -> None:
    model = TESTS.parent / "models" / "phantom"
    script = (
        "import sys; from pathlib import Path;"
        " from organome.compute.inference.loading import load_segmenter;"
        " from organome.io.models.folders import read_model;"
        f" load_segmenter(read_model(Path({str(model)!r}), known_digest=None), device='cpu');"
        " print('torch._dynamo' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", script], text=True) == "False\n"


def test_workers_have_what_the_command_has_imported() -> None:
    script = (
        "import sys; from organome.shards import pool; pool.fork_server_early();"
        " import organome.cli.app;"
        ' look = \'import sys; sys.exit(2 * ("organome.shards.pool" in sys.modules)'
        ' + ("organome.cli.app" in sys.modules))\';'
        " one = pool._CONTEXT.Process(target=exec, args=(look,)); one.start(); one.join();"
        " print(one.exitcode)"
    )
    # Were the fork server to stay, it would hold this pipe open.
    assert subprocess.check_output([sys.executable, "-c", script], text=True, timeout=300) == "2\n"

"""Machine code on disk: by several processes at once, damaged, read-only, and of other sources."""

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from organome.compute import kernels
from organome.compute.kernels import kernel


def add_up(values: Any) -> Any:
    total = values[0] * 0
    for value in values:
        total += value
    return total


def made() -> Any:
    """Return the kernel as a process has it that has just begun."""
    kernels._KERNELS.clear()
    return kernel()(add_up)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    kept = list(kernels._KERNELS)
    monkeypatch.setattr(kernels, "IN_PACKAGE", tmp_path / "package")
    monkeypatch.setattr("platformdirs.user_cache_path", lambda _: tmp_path / "user")
    monkeypatch.setattr(kernels, "_KERNELS", kept)
    return tmp_path / "package"


def files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def test_code_is_compiled_once_for_each_type(folder: Path) -> None:
    for kind in (np.float32, np.int16):
        for _ in range(2):
            fresh = made()
            assert fresh(np.arange(5, dtype=kind)) == 10
        assert sum(fresh.stats.cache_hits.values()) == 1
    assert len(files(folder)) == 2
    assert kernels.compiled_kernels() == (1, 1)


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty"])
def test_damaged_code_is_compiled_again(folder: Path, damage: str) -> None:
    made()(np.arange(5.0))
    (path,) = files(folder)
    sound = path.read_bytes()
    flipped = sound[:99] + bytes([sound[99] ^ 4]) + sound[100:]
    path.write_bytes({"cut": sound[:-40], "flipped": flipped, "empty": b""}[damage])
    again = made()
    assert again(np.arange(5.0)) == 10
    assert sum(again.stats.cache_misses.values()) == 1
    third = made()
    assert third(np.arange(5.0)) == 10
    assert sum(third.stats.cache_hits.values()) == 1


def test_code_of_a_changed_source_is_removed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made()(np.arange(5))
    before = files(folder)
    monkeypatch.setattr(kernels, "_source_digest", lambda _: "changed")
    made()(np.arange(5))
    assert len(files(folder)) == 1
    assert files(folder) != before


LOOPS = """
from typing import Any
from organome.compute.kernels import kernel

@kernel()
def add_up(values: Any) -> Any:
    total = values[0] * 0
    for value in values:
        total += value
    return total
"""

# Both have seen an empty cache before either writes, and write at once.
FILL = """
import sys, time
from pathlib import Path
import numpy as np
from organome.compute import kernels
from loops import add_up

mine, folder = sys.argv[1], Path(sys.argv[2])
kernels.IN_PACKAGE = folder / "package"
save = kernels._KernelCache.save_overload

def save_together(cache, types, compiled):
    (folder / mine).touch()
    while len(list(folder.glob("float*"))) < 2:
        time.sleep(0.005)
    save(cache, types, compiled)

kernels._KernelCache.save_overload = save_together
assert add_up(np.arange(5, dtype=mine)) == 10
"""

TEN_SCANS = """
import os, sys
from pathlib import Path
import numpy as np
from organome.compute import kernels
from loops import add_up

kernels.IN_PACKAGE = Path(sys.argv[1]) / "package"
for n in range(10):
    for kind in (np.float32, np.float64):
        found = add_up(np.full(3, n, kind))
        assert found == 3 * n and type(found) is float
assert sum(add_up.stats.cache_hits.values()) == 2, add_up.stats
assert not list(Path(sys.argv[1]).glob("package/.*"))
"""


def start(folder: Path, program: str, *arguments: str, **more: Any) -> subprocess.Popen[str]:
    if not (folder / "loops.py").exists():
        (folder / "loops.py").write_text(LOOPS)
    path = os.pathsep.join([str(folder), *sys.path])
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": path},
        stderr=subprocess.PIPE,
        text=True,
        **more,
    )


def test_two_processes_that_fill_it_at_once_break_nothing(tmp_path: Path) -> None:
    both = [start(tmp_path, FILL, kind, str(tmp_path)) for kind in ("float32", "float64")]
    for process in both:
        assert (process.communicate(timeout=600)[1], process.returncode) == ("", 0)
    process = start(tmp_path, TEN_SCANS, str(tmp_path))
    assert (process.communicate(timeout=600)[1], process.returncode) == ("", 0)


@pytest.mark.parametrize("filled", [True, False])
def test_installation_that_cannot_be_written_works_without_a_home(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, filled: bool
) -> None:
    if filled:
        made()(np.arange(5))

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.EROFS, "read-only file system")

    monkeypatch.setattr(Path, "write_bytes", refuse)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("platformdirs.user_cache_path", lambda _: Path("~/.cache/organome"))
    before = sorted(tmp_path.rglob("*"))
    fresh = made()
    assert fresh(np.arange(5)) == 10
    assert sum(fresh.stats.cache_hits.values()) == filled
    assert sorted(set(tmp_path.rglob("*")) - {folder}) == sorted(set(before) - {folder})

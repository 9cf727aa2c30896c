"""The command line: flags, exit codes, streams."""

import errno
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from doubles.steps import make_scans
from organome.cli import app
from organome.domain.errors import Interrupted, MachineFault, SetupError
from organome.domain.organs import ORGANS, PAIRS
from organome.io.tables.scan_lists import write_shard
from organome.phantoms import score_phantoms
from organome.steps.collect import collect_tables

GROUPS = app._COMMANDS | app._STEPS | app._TOOLS
MODULES = [module for commands in GROUPS.values() for module in commands]


def test_help_imports_no_step_and_no_torch() -> None:
    code = (
        "import sys; from organome.cli.app import run; run(['--help']);"
        "ours = ('organome.steps.', 'organome.phantoms');"
        "print([m for m in sys.modules if m == 'torch' or m.startswith(ours)])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.splitlines()[-1] == "[]"
    assert "install-model" in result.stdout
    assert "measure-volumes" not in result.stdout


def test_help_lists_what_users_need_and_dev_the_rest(capsys: pytest.CaptureFixture[str]) -> None:
    assert sum(map(len, app._COMMANDS.values())) <= 27
    assert app.run(["dev", "--help"]) == 0
    shown = capsys.readouterr().out
    for module in (module for group in (app._STEPS | app._TOOLS).values() for module in group):
        assert command_of(module) in shown


def command_of(module: str) -> str:
    return module.rpartition(".")[2].replace("_", "-")


@pytest.mark.parametrize("module", MODULES)
def test_flags_are_the_keywords_of_run(module: str, capsys: pytest.CaptureFixture[str]) -> None:
    run = importlib.import_module(f"organome.{module}").run
    is_tool = any(module in group for group in app._TOOLS.values())
    assert app.run([*(["dev"] if is_tool else []), command_of(module), "--help"]) == 0
    shown = capsys.readouterr().out
    for name, parameter in inspect.signature(run).parameters.items():
        if parameter.kind is parameter.VAR_POSITIONAL:  # what stands after -- is for Snakemake
            continue
        if parameter.kind is parameter.POSITIONAL_ONLY:
            assert name.upper() in shown
            continue
        assert parameter.kind is parameter.KEYWORD_ONLY
        assert (f"--{name.replace('_', '-')} " in shown) == (not name.startswith("on_")), name


def test_missing_flag_and_unknown_command_exit_2_in_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for tokens in (["collect-tables"], ["measure-everything"], ["collect-tables", "--what", "x"]):
        assert app.run(tokens) == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_setup_error_exits_2_with_one_line_and_no_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--scans", str(tmp_path), "--results", str(tmp_path), "--output", str(tmp_path / "l")]
    assert app.run(["collect-tables", *flags]) == 2
    assert capsys.readouterr().err == f"organome: {tmp_path}: no shards, list the scans first\n"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SetupError("no model"), 2),
        (MachineFault("mount lost"), 69),
        (OSError(errno.EIO, "Input/output error", "0000.parquet"), 69),
        (FileNotFoundError(errno.ENOENT, "No such file", "0000.parquet"), 1),
        (Interrupted("SIGTERM"), 75),
        (KeyboardInterrupt(), 75),
        (ZeroDivisionError("bug"), 1),
    ],
)
def test_exit_codes(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
) -> None:
    def fail(*, scans: Path) -> None:
        raise error

    monkeypatch.setattr(collect_tables, "run", fail)
    assert app.run(["collect-tables", "--scans", "scans"]) == code
    assert ("Traceback" in capsys.readouterr().err) == (code == 1)


def test_lists_take_several_values_behind_one_flag(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = pa.table(
        {"organ": ["liver", "spleen"], "volume_ml": [1500.25, None], "scan": ["a", "b"]}
    )
    pq.write_table(table, tmp_path / "part-0.parquet")
    flags = [str(tmp_path), "--columns", "organ", "volume_ml"]
    assert app.run(["show-table", *flags]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines] == [
        ["organ", "volume_ml"],
        ["liver", "1500"],
        ["spleen", "-"],
    ]


def test_nothing_is_drawn_where_there_is_no_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.run(["dev", "describe-tables", f"--output={tmp_path / 'tables.md'}"]) == 0
    assert capsys.readouterr() == ("", "")


def test_status_is_one_line_per_step(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_shard(tmp_path / "scans" / "0000.parquet", make_scans(3))
    assert app.run(["status", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "3 scans listed in 1 shard"
    for step in ("prepare_images", "segment_organs", "measure_volumes"):
        (line,) = [line for line in lines if line.startswith(step)]
        assert line.split() == [step, "0", "0", "0", "0", "3", "-", "-"]


@pytest.mark.parametrize(("holds", "code"), [(True, 0), (False, 3)])
def test_broken_promise_shows_in_text_and_exit_code(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    holds: bool,
    code: int,
) -> None:
    score = score_phantoms.Score(
        n_scans=3,
        n_done=2,
        dice=pd.DataFrame({organ.name: [0.9, 0.8] for organ in ORGANS}),
        swapped=pd.DataFrame({left.name: [0.0, 0.0] for left, _ in PAIRS}),
        volume_error={"liver": 0.05},
        n_volumes={"liver": 2},
        promises=(score_phantoms.Promise("mean Dice", holds),),
    )

    def give(*, truth: Path, results: Path) -> score_phantoms.Score:
        return score

    monkeypatch.setattr(score_phantoms, "run", give)
    assert app.run(["dev", "score-phantoms", "--truth", "t", "--results", "r"]) == code
    out = capsys.readouterr().out
    assert "liver" in out
    assert f"[{'ok' if holds else 'NOT MET'}] mean Dice" in out

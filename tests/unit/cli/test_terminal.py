"""Commands on a terminal, which is where people use them."""

import os
import pty
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from doubles import trainings
from organome.cli import app, terminal

TOOLS = {module for group in app._TOOLS.values() for module in group}
GROUPS = app._COMMANDS | app._STEPS | app._TOOLS
MODULES = [module for commands in GROUPS.values() for module in commands]
MAIN = "from organome.cli.app import main; main()"


def on_terminal(code: str) -> tuple[int, str]:
    """Run Python with a terminal as its output; return the exit code and what it wrote."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen([sys.executable, "-c", code], stdout=theirs, stderr=theirs)
    os.close(theirs)
    written = b""
    with suppress(OSError):  # EIO: the last of them has closed it
        while block := os.read(ours, 1 << 16):
            written += block
    os.close(ours)
    return process.wait(), written.decode()


def test_every_command_explains_itself_on_a_terminal() -> None:
    names = [
        (["dev"] if module in TOOLS else []) + [module.rpartition(".")[2].replace("_", "-")]
        for module in MODULES
    ]
    code = (
        "import sys; from organome.cli import app;"
        f"codes = [app.run([*name, '--help']) for name in {names!r}];"
        "sys.exit(not sys.stdout.isatty() or any(codes))"
    )
    returned, written = on_terminal(code)
    assert returned == 0, written
    assert "Traceback" not in written


def test_small_calls_on_a_terminal_end_as_they_do_without(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").touch()
    pq.write_table(pa.table({"organ": ["liver"]}), tmp_path / "organs.parquet")
    calls = [
        (["status", str(tmp_path)], 0),
        (["show-table", str(tmp_path / "organs.parquet"), "--where", "organ=liver"], 0),
        (["show-table", str(tmp_path / "organs.parquet"), "--where", "organ"], 2),
        (["estimate", str(tmp_path)], 2),
        (["run", str(tmp_path)], 2),
        (["verify-model", "unheard-of"], 2),
        (["init", str(tmp_path), "--kind", "ukb", "--root", str(tmp_path)], 2),
    ]
    code = (
        "import sys; from organome.cli import app;"
        f"sys.exit([app.run(words) for words, _ in {calls!r}] != {[code for _, code in calls]!r})"
    )
    returned, written = on_terminal(code)
    assert returned == 0, written
    assert "Traceback" not in written


def test_a_training_is_shown_on_a_terminal_as_without(tmp_path: Path) -> None:
    trainings.configured(tmp_path)
    trainings.fold_log(tmp_path, 0, [0, 1, 2])
    code = (
        f"import sys; from organome.cli import app; sys.exit(app.run([*{{}}, {str(tmp_path)!r}]))"
    )
    returned, written = on_terminal(code.format(["status"]))
    assert returned == 0, written
    assert "train_fold 0   under way  2 of 4 epochs, 20 s to go\r\n" in written
    returned, written = on_terminal(code.format(["estimate"]))
    assert returned == 0, written
    assert written.endswith("without the validations: none is through yet\r\n")


@pytest.mark.parametrize(
    "name", ["on_outcome", "on_visit", "on_progress", "on_status", "on_shards", "on_scan"]
)
def test_every_bar_is_drawn_without_a_shard(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(
        terminal, "Console", lambda **_: Console(force_terminal=True, file=sys.stderr)
    )
    with terminal.progress_bars({name: None}, {}) as (_, callbacks):
        assert set(callbacks) == {name}


def test_a_reader_that_goes_away_is_not_an_error(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").touch()
    reading, writing = os.pipe()
    os.close(reading)
    result = subprocess.run(
        [sys.executable, "-c", MAIN, "status", str(tmp_path)],
        stdout=writing,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writing)
    assert (result.returncode, result.stderr) == (141, b"")


def test_ctrl_c_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("organome.steps.inspect.status.open_run", interrupted)
    assert app.run(["status", str(tmp_path)]) == 75
    assert capsys.readouterr().err == "organome: interrupted; start it again to go on\n"

"""The sub-commands of ``organome annotate``."""

import importlib
import inspect
from pathlib import Path

import pytest

from organome.cli import app


@pytest.mark.parametrize("verb", app._ANNOTATE)
def test_flags_are_the_keywords_of_run(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    module, does = app._ANNOTATE[verb]
    run = importlib.import_module(f"organome.steps.annotate.{module}").run
    assert app.run(["annotate", verb, "--help"]) == 0
    shown = capsys.readouterr().out
    assert does in shown
    for name, parameter in inspect.signature(run).parameters.items():
        if parameter.kind is not parameter.VAR_POSITIONAL:
            assert f"--{name.replace('_', '-')}" in shown


def test_mistakes_are_one_line_and_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for flags in (
        ["status", "--rounds", str(tmp_path)],
        ["import", "--rounds", str(tmp_path)],
        ["export", "--run", str(tmp_path), "--output", str(tmp_path)],
        ["export", "--run", str(tmp_path), "--output", str(tmp_path), "--n", "0"],
        ["export", "--run", str(tmp_path), "--output", str(tmp_path), "--strategy", "best"],
    ):
        assert app.run(["annotate", *flags]) == 2
        said = capsys.readouterr().err.strip()
        assert said.startswith("organome: ")
        assert len(said.splitlines()) == 1

"""A folder is replaced whole, wherever the process is killed."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from organome.io.files import atomic
from organome.io.files.atomic import recover_folder, replace_folder

KILLED = 9


def write(folder: Path, text: str) -> Path:
    folder.mkdir()
    (folder / "one").write_text(text)
    (folder / "two").write_text(text)
    return folder


def read(folder: Path) -> set[str]:
    assert sorted(path.name for path in folder.iterdir()) == ["one", "two"]
    return {path.read_text() for path in folder.iterdir()}


def replace_and_die(source: Path, destination: Path, *, before: int, exchange: bool) -> int:
    """Replace in a process of its own that dies before its so-manieth rename; return its status."""

    def counted(rename: Callable[..., object]) -> Callable[..., object]:
        def wrapper(*places: object, **options: object) -> object:
            nonlocal before
            if before == 0:
                os._exit(KILLED)
            before -= 1
            return rename(*places, **options)

        return wrapper

    child = os.fork()
    if child == 0:
        try:
            exchanged = counted(atomic._exchange) if exchange else lambda *_: False
            atomic._exchange = exchanged  # type: ignore[assignment]
            Path.rename = counted(Path.rename)  # type: ignore[assignment,method-assign]
            shutil.rmtree = counted(shutil.rmtree)  # type: ignore[assignment]
            replace_folder(source, destination)
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("exchange", [True, False])
@pytest.mark.parametrize("before", range(4))
def test_killed_at_any_step_one_whole_folder_is_there_or_comes_back(
    tmp_path: Path, before: int, exchange: bool
) -> None:
    older = write(tmp_path / "tables", "older")
    newer = write(tmp_path / ".tables.new.tmp", "newer")
    status = replace_and_die(newer, older, before=before, exchange=exchange)
    assert status == (KILLED if before < (1 if exchange else 3) else 0)
    if exchange:
        assert older.exists()  # at every moment
    recover_folder(older)
    expected = "newer" if status == 0 or (not exchange and before == 2) else "older"
    assert read(older) == {expected}
    assert not list(tmp_path.glob("*.old"))


def test_file_system_without_an_exchange_of_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(atomic, "_exchange", lambda *_: False)
    older = write(tmp_path / "tables", "older")
    replace_folder(write(tmp_path / ".tables.new.tmp", "newer"), older)
    assert read(older) == {"newer"}
    assert [path.name for path in tmp_path.iterdir()] == ["tables"]


def test_folder_made_for_the_output_is_no_older_one(tmp_path: Path) -> None:
    """Snakemake makes the folder of an output before the job that makes the output."""
    write(tmp_path / ".tables.cut-off.old", "older")
    (tmp_path / "tables").mkdir()
    recover_folder(tmp_path / "tables")
    assert read(tmp_path / "tables") == {"older"}

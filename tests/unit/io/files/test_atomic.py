"""Files and folders that are there whole or not at all."""

from pathlib import Path

import pytest

from organome.io.files.atomic import atomic_path, publish_folder, write_text_atomic


def test_file_appears_only_when_the_block_ends_well(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "table.parquet"
    with atomic_path(target) as temporary:
        temporary.write_text("new")
        assert not target.exists()
    assert target.read_text() == "new"


def test_failure_keeps_the_old_file_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    target = tmp_path / "table.parquet"
    target.write_text("old")
    with pytest.raises(KeyError), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise KeyError
    assert [path.name for path in tmp_path.iterdir()] == ["table.parquet"]
    assert target.read_text() == "old"


@pytest.mark.parametrize(
    ("name", "suffix"),
    [("labels.nii.gz", ".nii.gz"), ("t.parquet", ".parquet"), ("at_1.5mm.nii.gz", ".nii.gz")],
)
def test_temporary_name_is_hidden_and_keeps_the_format(
    tmp_path: Path, name: str, suffix: str
) -> None:
    with atomic_path(tmp_path / name) as temporary:
        assert temporary.name.startswith(f".{name}.")
        assert temporary.name.endswith(f".tmp{suffix}")
        temporary.touch()


def test_uncompressed_nifti_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"x\.nii"), atomic_path(tmp_path / "x.nii"):
        pass


def test_published_folder_replaces_the_old_one_wholly(tmp_path: Path) -> None:
    source, destination = tmp_path / "work" / "files", tmp_path / "results" / "0000"
    write_text_atomic(source / "new.txt", "new")
    write_text_atomic(destination / "old.txt", "old")
    publish_folder(source, destination)
    assert [path.name for path in destination.iterdir()] == ["new.txt"]
    assert [path.name for path in destination.parent.iterdir()] == ["0000"]
    assert not source.exists()

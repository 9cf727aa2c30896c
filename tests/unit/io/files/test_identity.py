"""Identity of inputs."""

import gzip
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from organome.io.files.identity import input_identity

Pack = Callable[[Path, Mapping[str, bytes]], Path]


def test_missing(tmp_path: Path) -> None:
    assert input_identity(tmp_path / "gone") == ["missing"]
    (tmp_path / "file").write_bytes(b"x")
    assert input_identity(tmp_path / "file" / "gone") == ["missing"]


def test_archive_is_known_by_its_members_wherever_it_lies(tmp_path: Path, pack: Pack) -> None:
    big = {f"{n:070d}.dcm": bytes([n % 256]) * 40 for n in range(1500)}
    one = pack(tmp_path / "a.zip", big)
    copy = pack(tmp_path / "b" / "c.zip", big)
    os.utime(copy, (0, 0))
    assert input_identity(one) == input_identity(copy)
    first = next(iter(big))  # its CRC stands more than 64 KiB before the end
    other = pack(tmp_path / "d.zip", big | {first: b"\1" * 40})
    assert other.stat().st_size == one.stat().st_size
    assert input_identity(other) != input_identity(one)


def test_broken_archive_has_an_identity(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"PK")
    assert input_identity(tmp_path / "a.zip") != ["missing"]


def test_gzip_is_known_by_its_end(tmp_path: Path) -> None:
    for name, content in (("a", b"x" * 9999), ("b", b"x" * 9999), ("c", b"y" + b"x" * 9998)):
        (tmp_path / f"{name}.nii.gz").write_bytes(gzip.compress(content, 0, mtime=0))
    one, same, other = (input_identity(tmp_path / f"{name}.nii.gz") for name in "abc")
    assert one == same
    assert one != other


@pytest.mark.parametrize("place", [0, 199_999])
def test_plain_file_by_both_ends(tmp_path: Path, place: int) -> None:
    path = tmp_path / "a.nrrd"
    content = bytearray(200_000)
    path.write_bytes(content)
    os.utime(path, ns=(1, 1))
    before = input_identity(path)
    assert input_identity(path) == before
    content[place] = 1
    path.write_bytes(content)
    os.utime(path, ns=(1, 1))
    assert input_identity(path) != before


def test_plain_file_by_its_time(tmp_path: Path) -> None:
    path = tmp_path / "a.nrrd"
    path.write_bytes(bytes(200_000))
    before = input_identity(path)
    os.utime(path, ns=(1, 1))
    assert input_identity(path) != before


def test_folder_by_names_sizes_and_times(tmp_path: Path) -> None:
    (tmp_path / "1.dcm").write_bytes(b"x")
    before = input_identity(tmp_path)
    assert input_identity(tmp_path) == before
    (tmp_path / "2.dcm").write_bytes(b"x")
    assert input_identity(tmp_path) != before

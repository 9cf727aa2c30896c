"""Packs: deterministic, indexed, stored as they are."""

from pathlib import Path
from zipfile import ZIP_STORED, ZipFile

import pytest

from organome.domain.errors import ScanError
from organome.io.files.packs import packed_sizes, read_packed, write_pack

MEMBERS = [("b.bin", bytes(range(256)) * 9), ("a.bin", b""), ("c.bin", b"third")]


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    write_pack(tmp_path / "pack.zip", MEMBERS)
    return tmp_path / "pack.zip"


def test_any_zip_program_reads_it(pack: Path) -> None:
    with ZipFile(pack) as archive:
        assert archive.testzip() is None
        assert [(one.filename, archive.read(one)) for one in archive.infolist()] == MEMBERS
        assert {one.compress_type for one in archive.infolist()} == {ZIP_STORED}


def test_members_come_back_in_their_order(pack: Path) -> None:
    assert list(packed_sizes(pack)) == ["b.bin", "a.bin", "c.bin"]
    assert [(name, read_packed(pack, name)) for name in packed_sizes(pack)] == MEMBERS
    assert read_packed(pack, "d.bin") is None


def test_equal_members_are_equal_bytes(pack: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere" / "other.zip"
    write_pack(other, iter(MEMBERS))
    assert other.read_bytes() == pack.read_bytes()


def test_no_pack_has_no_members(tmp_path: Path) -> None:
    assert packed_sizes(tmp_path / "none.zip") == {}
    assert read_packed(tmp_path / "none.zip", "a.bin") is None


@pytest.mark.parametrize("share", [0.0, 0.5, 0.95])
def test_cut_short_it_has_no_members(pack: Path, share: float) -> None:
    content = pack.read_bytes()
    pack.write_bytes(content[: int(share * len(content))])
    assert packed_sizes(pack) == {}
    with pytest.raises(ScanError):
        read_packed(pack, "c.bin")


def test_a_flipped_byte_is_found(pack: Path) -> None:
    content = bytearray(pack.read_bytes())
    content[200] ^= 1
    pack.write_bytes(content)
    with pytest.raises(ScanError):
        read_packed(pack, "b.bin")
    assert read_packed(pack, "c.bin") == b"third"

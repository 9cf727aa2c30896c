"""Zip archives."""

from collections.abc import Callable, Mapping
from pathlib import Path
from zipfile import ZipExtFile, ZipInfo

import pytest
from isal import isal_zlib

from organome.domain.errors import ScanError
from organome.domain.outcomes import Reason
from organome.io.files import archives
from organome.io.files.archives import read_members

Pack = Callable[[Path, Mapping[str, bytes]], Path]


def _refusal(path: Path) -> tuple[Reason, str]:
    with pytest.raises(ScanError) as caught:
        list(read_members(path))
    return caught.value.reason, caught.value.fact


def test_members_in_order(tmp_path: Path, pack: Pack) -> None:
    path = pack(tmp_path / "a.zip", {"b": b"1", "folder/": b"", "a": b"2"})
    assert list(read_members(path)) == [("b", b"1"), ("a", b"2")]


@pytest.mark.odd_input(
    "Z-1",
    make="an archive cut short",
    source="truncated downloads, own",
    outcome="`archive_broken`",
)
def test_truncated(tmp_path: Path, pack: Pack) -> None:
    path = pack(tmp_path / "a.zip", {"a": bytes(range(256)) * 100})
    path.write_bytes(path.read_bytes()[:-30])
    assert _refusal(path)[0] is Reason.ARCHIVE_BROKEN


@pytest.mark.parametrize("content", [b"", b"no zip at all"])
@pytest.mark.odd_input(
    "Z-2",
    make="anything else under the name of a zip",
    source="own",
    outcome="`archive_broken`",
)
def test_no_zip(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.zip").write_bytes(content)
    assert _refusal(tmp_path / "a.zip")[0] is Reason.ARCHIVE_BROKEN


@pytest.mark.odd_input(
    "Z-3",
    make="a byte of a member flipped",
    source="bit rot, own",
    outcome="`archive_broken`, with the place of the member, never its name",
)
def test_flipped_byte_fails_the_crc_and_the_member_goes_by_its_place(
    tmp_path: Path, pack: Pack
) -> None:
    path = pack(tmp_path / "a.zip", {"first": b"x", "slice.dcm": bytes(range(256)) * 9})
    content = bytearray(path.read_bytes())
    content[content.index(b"slice.dcm") + 40] ^= 0x55
    path.write_bytes(content)
    reason, fact = _refusal(path)
    assert reason is Reason.ARCHIVE_BROKEN
    assert fact.startswith("member 2 of 2 is damaged")


@pytest.mark.odd_input(
    "Z-4",
    make="an archive without members",
    source="UK Biobank, ml4h",
    outcome="`archive_empty`",
)
def test_empty(tmp_path: Path, pack: Pack) -> None:
    assert _refusal(pack(tmp_path / "a.zip", {}))[0] is Reason.ARCHIVE_EMPTY


@pytest.mark.odd_input(
    "Z-5",
    make="no file where the list says",
    source="own",
    outcome="`file_missing`",
)
def test_missing(tmp_path: Path) -> None:
    reason, fact = _refusal(tmp_path / "1000004_20201_2_0.zip")
    assert reason is Reason.FILE_MISSING
    assert "1000004" not in fact


def _by_zipfile(file: ZipExtFile, member: ZipInfo) -> bytes:
    """Inflate by the loop of zipfile."""
    file._decompressor = isal_zlib.decompressobj(-15)  # type: ignore[attr-defined]
    content = b"".join(iter(lambda: file.read(1 << 20), b""))
    if len(content) != member.file_size:
        raise EOFError
    return content


def _outcome(path: Path) -> object:
    members = []
    try:
        for one in read_members(path):
            members.append(one)
    except ScanError as error:
        return members, error.reason, error.fact
    return members


def test_damage_is_found_as_by_zipfile_wherever_it_is(
    tmp_path: Path, pack: Pack, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = {"a.dcm": bytes(range(256)) * 3, "empty": b"", "b": b"b" * 5000, "c": b"123"}
    whole = pack(tmp_path / "whole.zip", members).read_bytes()
    path = tmp_path / "a.zip"
    kinds = set()
    for place in range(len(whole)):
        for content in (
            whole[:place] + bytes([whole[place] ^ 0x11]) + whole[place + 1 :],
            whole[:place] + bytes([whole[place] ^ 0x80]) + whole[place + 1 :],
            whole[:place] + whole[place + 1 :],
        ):
            path.write_bytes(content)
            ours = _outcome(path)
            with monkeypatch.context() as patch:
                patch.setattr(archives, "_inflated", _by_zipfile)
                assert ours == _outcome(path), place
            kinds.add(ours[-1].split("(")[-1] if isinstance(ours, tuple) else "whole")
    assert {"whole", "BadZipFile)", "EOFError)", "IsalError)"} <= kinds

import hashlib
import stat
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZIP_LZMA, ZIP_STORED, ZipFile, ZipInfo

import pytest

from organome.domain.errors import SetupError
from organome.io.models import archives as model_archives
from organome.io.models.archives import unpack_archive

WANTED = {"plans.json", "checkpoint_final.pth"}


def unpack(archive: Path, *, sha256: str | None = None) -> list[str]:
    folder = archive.parent / "out"
    unpack_archive(
        archive, folder, wanted=WANTED, noted={"checkpoint_best.pth"}, expected_sha256=sha256
    )
    return sorted(one.relative_to(folder).as_posix() for one in folder.rglob("*") if one.is_file())


def archive_of(folder: Path, *members: tuple[str | ZipInfo, bytes]) -> Path:
    path = folder / "weights.zip"
    with ZipFile(path, "w", ZIP_DEFLATED) as opened:
        for name, content in members:
            opened.writestr(name, content)
    return path


def test_only_wanted_files_are_written(tmp_path: Path) -> None:
    archive = archive_of(
        tmp_path,
        ("top/", b""),
        ("top/plans.json", b"{}"),
        ("top/fold_0/checkpoint_final.pth", b"w" * 10),
        ("top/fold_0/checkpoint_best.pth", b"b" * 10),
        ("top/fold_0/progress.png", b"p"),
        ("__MACOSX/top/._plans.json", b"m"),
    )
    assert unpack(archive) == [
        *("top/fold_0/checkpoint_best.pth", "top/fold_0/checkpoint_final.pth", "top/plans.json")
    ]
    assert (tmp_path / "out/top/fold_0/checkpoint_final.pth").read_bytes() == b"w" * 10
    assert (tmp_path / "out/top/fold_0/checkpoint_best.pth").read_bytes() == b""


def test_the_digest_is_checked_before_anything_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "weights.zip"
    path.write_bytes(b"never opened")
    found = hashlib.sha256(b"never opened").hexdigest()
    with pytest.raises(SetupError, match=f"SHA-256 is {found}, expected {'0' * 64}"):
        unpack(path, sha256="0" * 64)
    with pytest.raises(SetupError, match="not a whole zip archive"):
        unpack(path, sha256=found.upper())


def flipped(whole: bytes, after: bytes, offset: int, new: int) -> bytes:
    """Change a byte that lies so far behind the last place of a signature."""
    place = whole.rindex(after) + offset
    return whole[:place] + bytes([new]) + whole[place + 1 :]


ENTRY, END = b"PK\x01\x02", b"PK\x05\x06"


@pytest.mark.parametrize(
    ("after", "offset", "new"),
    [
        pytest.param(b"\x09\x04\x05\x00", 4, 0xFF, id="LZMAError"),  # LZMA's properties
        pytest.param(ENTRY, 46, 0xFF, id="UnicodeDecodeError"),  # a name that says it is UTF-8
        pytest.param(END, 18, 0x01, id="OSError"),  # the directory begins later than it does
        pytest.param(ENTRY, 6, 0xFF, id="NotImplementedError"),
    ],
)
def test_damage_of_any_kind_names_the_archive(
    tmp_path: Path, after: bytes, offset: int, new: int
) -> None:
    path = tmp_path / "weights.zip"
    with ZipFile(path, "w", ZIP_LZMA) as opened:
        opened.writestr("tép/plans.json", b"{}" * 100)
    path.write_bytes(flipped(path.read_bytes(), after, offset, new))
    with pytest.raises(SetupError, match=r"^weights\.zip "):
        unpack(path)


def special(name: str, kind: int) -> ZipInfo:
    info = ZipInfo(name)
    info.create_system = 3
    info.external_attr = (kind | 0o777) << 16
    return info


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ([("../plans.json", b"")], "'../plans.json' leads out"),
        ([("a/../../plans.json", b"")], "leads out"),
        ([("/etc/plans.json", b"")], "leads out"),
        ([("..\\plans.json", b"")], "has a sign"),
        ([("C:\\plans.json", b"")], "has a sign"),
        ([("c:plans.json", b"")], "has a sign"),
        ([("a\nb/plans.json", b"")], "has a sign"),
        ([(special("plans.json", stat.S_IFLNK), b"/etc/passwd")], "is a link"),
        ([(special("fold_0", stat.S_IFLNK), b"/tmp")], "is a link"),
        ([(special("plans.json", stat.S_IFIFO), b"")], "is not a file"),
        ([("a/plans.json", b"1"), ("a/PLANS.json", b"2")], "twice, but for case"),
        ([("Fold/plans.json", b"1"), ("fold/plans.json", b"2")], "twice, but for case"),
        ([("cafe\u0301/plans.json", b"1"), ("caf\u00e9/plans.json", b"2")], "twice, but for case"),
        ([("a", b"1"), ("a/plans.json", b"2")], "a folder and a file"),
        ([("plans.json", b"1"), ("plans.json/", b"")], "a folder and a file"),
    ],
)
def test_a_member_that_no_model_needs_refuses_the_whole_archive(
    tmp_path: Path, members: list[tuple[str | ZipInfo, bytes]], says: str
) -> None:
    folder = tmp_path / "within"
    folder.mkdir()
    archive = archive_of(folder, ("ok/plans.json", b"{}"), *members)
    with pytest.raises(SetupError, match=f"weights.zip is refused: .*{says}"):
        unpack(archive)
    assert [path.name for path in tmp_path.rglob("*")] == ["within", "weights.zip"]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_doubled_member_is_refused(tmp_path: Path) -> None:
    archive = archive_of(tmp_path, ("plans.json", b"good"), ("plans.json", b"bad"))
    with pytest.raises(SetupError, match="twice"):
        unpack(archive)


def test_what_would_fill_the_disk_is_refused_unread(tmp_path: Path) -> None:
    bomb = archive_of(tmp_path, ("plans.json", b"\0" * (80 << 20)))
    assert bomb.stat().st_size < 1 << 20
    with pytest.raises(SetupError, match=r"83886080 bytes would come out of \d+,"):
        unpack(bomb)


def test_too_many_members_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_archives, "MAX_MEMBERS", 3)
    archive = archive_of(tmp_path, *((f"{n}", b"") for n in range(4)))
    with pytest.raises(SetupError, match="4 members, 3 at most"):
        unpack(archive)


def test_a_member_that_is_larger_than_it_says_is_refused(tmp_path: Path) -> None:
    archive = archive_of(tmp_path, ("plans.json", b"\0" * 100_000))
    content = bytearray(archive.read_bytes())
    true, declared = (100_000).to_bytes(4, "little"), (100).to_bytes(4, "little")
    assert content.count(true) == 2  # beside the member and in the table of contents
    archive.write_bytes(content.replace(true, declared))
    with pytest.raises(SetupError, match="not a whole zip archive"):
        unpack(archive)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_archive_is_refused(tmp_path: Path, share: float) -> None:
    archive = archive_of(tmp_path, ("plans.json", bytes(range(256)) * 40))
    content = archive.read_bytes()
    archive.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(SetupError, match="not a whole zip archive"):
        unpack(archive)


def test_a_flipped_byte_is_found(tmp_path: Path) -> None:
    path = tmp_path / "weights.zip"
    with ZipFile(path, "w", ZIP_STORED) as opened:
        opened.writestr("plans.json", b"x" * 1000)
    content = bytearray(path.read_bytes())
    content[content.index(b"xxx") + 500] ^= 1
    path.write_bytes(content)
    with pytest.raises(SetupError, match=r"not a whole zip archive.*CRC"):
        unpack(path)


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    archive = archive_of(tmp_path, ("plans.json", b"{}"))
    content = bytearray(archive.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + offset] |= 1
    archive.write_bytes(content)
    with pytest.raises(SetupError, match="is encrypted"):
        unpack(archive)

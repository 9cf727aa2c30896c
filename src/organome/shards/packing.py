"""Whether the files of a shard's scans lie one by one or in one archive, and the way between.

While scans are under way each has its files. They are packed when the shard is published, and not
removed before the pack is in its place; a file beside the pack counts more than its namesake in it,
because it came later. So at no moment is a finished scan without its files, and whoever comes next
finds them in either form.
"""

import errno
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from organome.io.files.atomic import sync_file, sync_folder
from organome.io.files.packs import packed_sizes, write_pack
from organome.io.files.published import read_member


@dataclass(frozen=True, slots=True)
class Packing:
    """How a step wants the files of its scans.

    Attributes:
        archive: Name of the archive that packed files lie in.
        wanted: Whether they shall be packed.
    """

    archive: str
    wanted: bool


def is_packed_as_wanted(folder: Path, names: Sequence[str], packing: Packing) -> bool:
    """Whether files already lie as they are wanted.

    Args:
        folder: Where they lie.
        names: Names of all, in the order of the scans.
        packing: How they are wanted.
    """
    if not packing.wanted:
        return not (folder / packing.archive).exists()
    loose = any((folder / name).exists() for name in names)
    return not loose and list(packed_sizes(folder / packing.archive)) == list(names)


def pack_as_wanted(folder: Path, names: Sequence[str], packing: Packing, *, staging: Path) -> None:
    """Pack files, or unpack them; what is not needed any more stays beside them.

    Args:
        folder: Where they lie.
        names: Names of all, in the order of the scans.
        packing: How they are wanted.
        staging: Folder of this attempt, on the same file system; one that was replaced has none.

    Raises:
        DamagedFile: A file is gone, or damaged in the archive; the next attempt makes it again.
        FileNotFoundError: The folder is gone.
    """
    if packing.wanted:
        made = staging / packing.archive
        write_pack(made, _contents(folder, names, packing))
        made.replace(folder / packing.archive)
    else:
        packed = [name for name in names if not (folder / name).exists()]
        for name, content in _contents(folder, packed, packing):
            made = staging / name
            made.write_bytes(content)
            sync_file(made)
            made.replace(folder / name)
    sync_folder(folder)


def _contents(folder: Path, names: Sequence[str], packing: Packing) -> Iterator[tuple[str, bytes]]:
    for name in names:
        yield name, _content(folder, name, packing)


def _content(folder: Path, name: str, packing: Packing) -> bytes:
    if not folder.is_dir():  # another attempt has it
        raise FileNotFoundError(errno.ENOENT, "gone while the shard was under way", str(folder))
    try:
        return (folder / name).read_bytes()
    except FileNotFoundError:
        return read_member(folder / packing.archive, name)

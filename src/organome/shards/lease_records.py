"""What a lease leaves on disk: one record per generation, and the beat of its holder.

```
<folder>/lease/000001.json    who holds it; the highest number counts
<folder>/lease/000001.beat    a number that the holder goes on counting up
```

A record appears by a hard link, which no two attempts can make under the same name, on NFS and
Lustre neither. Where a file system knows no hard links, it is created exclusively and then written,
so a record may be half-written for a moment.

A process is named so that the name holds across hosts, containers and reboots: containers count
their own processes, and the kernel uses numbers again, so boot, namespace and start time stand
beside the number.

Source: proc(5), pid_namespaces(7).
"""

import errno
import json
import os
import re
import socket
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Self

from organome.io.files.atomic import sync_folder

_NO_HARD_LINKS: Final = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})
_RECORD: Final = re.compile(r"(\d{6,})\.json")
_PROC: Final = Path("/proc")
_STATE, _STARTED = 0, 19  # places in /proc/<pid>/stat after the name of the program
_LOOKS: Final = 3  # NFS may list a record for a while that is gone
_ENDED: Final = frozenset("ZX")  # a zombie runs nothing, it waits for its parent to ask


@dataclass(frozen=True, slots=True)
class ProcessName:
    """The name of a process.

    Attributes:
        host: Name of its machine.
        boot: Identity of the boot of that machine, empty where it is not known.
        namespace: Where its number counts, empty where it is not known.
        pid: Its number.
        started: When it started, in clock ticks since the boot, empty where it is not known.
    """

    host: str
    boot: str
    namespace: str
    pid: int
    started: str


_NOBODY: Final = ProcessName(host="", boot="", namespace="", pid=0, started="")


@dataclass(frozen=True, slots=True)
class Record:
    """Who holds a lease.

    Attributes:
        generation: One more than that of the holder before.
        key: A name that no other holder has.
        attempt: Name of the run of the program.
        process: The process whose beat keeps the lease.
        patience_s: For how long the beat may stand still before the lease is lost, in seconds.
    """

    generation: int
    key: str
    attempt: str
    process: ProcessName
    patience_s: float

    @property
    def stem(self) -> str:
        """Name of its files without the ending."""
        return f"{self.generation:06d}"

    @classmethod
    def from_json(cls, generation: int, text: bytes) -> Self:
        """Read a record; one that is half-written or damaged gives nothing but its generation."""
        try:
            content: dict[str, Any] = json.loads(text)
            if content.pop("crc32") != _crc32(content):
                raise ValueError("damaged")
            return cls(
                generation=generation,
                key=str(content["key"]),
                attempt=str(content["attempt"]),
                process=ProcessName(**content["process"]),
                patience_s=float(content["patience_s"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            return cls(generation, key="", attempt="", process=_NOBODY, patience_s=0.0)

    def to_json(self) -> bytes:
        """Write a record."""
        content = asdict(self)
        del content["generation"]  # it stands in the name of the file
        return json.dumps(content | {"crc32": _crc32(content)}, sort_keys=True).encode()

    @property
    def is_alive(self) -> bool | None:
        """Whether its holder runs; None where that is not known from here without waiting."""
        return is_running(self.process)

    @property
    def is_damaged(self) -> bool:
        """Whether it is half-written, or was whole once; its holder loses it with the next beat."""
        return not self.key


@dataclass(frozen=True, slots=True)
class Sight:
    """What a look at a lease shows; differs from the look before when the holder lives.

    Attributes:
        record: Who holds it.
        beat: What stands in the files of the holder.
    """

    record: Record
    beat: tuple[bytes, bytes]


def _crc32(content: Mapping[str, Any]) -> int:
    return zlib.crc32(json.dumps(content, sort_keys=True).encode())


def look_at(place: Path) -> Sight | None:
    """Look who holds a lease, None where nobody does."""
    for _ in range(_LOOKS):
        generations = _generations(place)
        if not generations:
            return None
        generation = max(generations)
        text = _content(place / f"{generation:06d}.json")
        if text is not None:
            beat = _content(place / f"{generation:06d}.beat") or b""
            return Sight(record=Record.from_json(generation, text), beat=(text, beat))
        # Returned between the two looks.
    return Sight(record=Record.from_json(generation, b""), beat=(b"", b""))


def put_record(place: Path, record: Record) -> bool:
    """Put a record in its place if no other is there.

    Returns:
        False if another came first, or the folder was removed meanwhile: look again.
    """
    temporary = place / f".{record.key}.tmp"
    target = place / f"{record.stem}.json"
    if not _is_made(place):
        return False
    try:
        _write_through(temporary, record.to_json())
        try:
            os.link(temporary, target)
        except FileExistsError:
            pass  # perhaps our own: NFS repeats a request whose answer was lost
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
            return _put_exclusively(target, record)
        if _content(target) != record.to_json():
            return False
        sync_folder(place)
        return True
    except FileNotFoundError:
        return False
    finally:
        temporary.unlink(missing_ok=True)


def _is_made(place: Path) -> bool:
    try:
        place.mkdir(parents=True, exist_ok=True)
    except FileNotFoundError:
        return False
    except FileExistsError:  # pathlib looks whether it is a folder; it may be gone by then
        if place.exists():
            raise
        return False
    return True


def write_beat(place: Path, record: Record, n_beats: int) -> None:
    """Count on; unconfirmed by the disk, since after a crash of the machine nobody beats."""
    temporary = place / f".{record.key}.beat"
    temporary.write_bytes(b"%d" % n_beats)
    temporary.replace(place / f"{record.stem}.beat")


def remove_record(place: Path, record: Record) -> None:
    """Return a lease: remove it with all that earlier holders left, its own record last."""
    sight = look_at(place)
    if sight is None or sight.record != record:
        return
    own = place / f"{record.stem}.json"
    for path in place.iterdir():
        found = _RECORD.fullmatch(path.name)
        # A record that came after the look belongs to whoever has taken over.
        if found is None or int(found[1]) < record.generation:
            path.unlink(missing_ok=True)
    own.unlink(missing_ok=True)
    place.rmdir()


def _generations(place: Path) -> list[int]:
    try:
        names = [path.name for path in place.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [int(found[1]) for name in names if (found := _RECORD.fullmatch(name))]


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno != errno.ESTALE:  # on NFS: replaced while it was read
            raise
        return None


def _put_exclusively(target: Path, record: Record) -> bool:
    try:
        _write_through(target, record.to_json(), mode="xb")
    except FileExistsError:
        return False
    return True


def _write_through(path: Path, content: bytes, *, mode: str = "wb") -> None:
    with path.open(mode) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def this_process() -> ProcessName:
    """Name the process that asks."""
    stat = _stat("self")
    return ProcessName(
        host=socket.gethostname(),
        boot=_boot(),
        namespace=_namespace(),
        pid=os.getpid(),
        started=stat[_STARTED] if stat else "",
    )


def is_running(process: ProcessName) -> bool | None:
    """Whether a process is there.

    Returns:
        None where that is not known: it is of another machine, another container or another
        boot, or the system does not say.
    """
    here = this_process()
    if not (here.boot and here.namespace and process.started and process.pid > 0):
        return None
    if (process.host, process.boot, process.namespace) != (here.host, here.boot, here.namespace):
        return None
    try:
        os.kill(process.pid, 0)  # sends nothing; /proc can be mounted so that it hides processes
    except ProcessLookupError:
        return False
    except PermissionError:
        return None
    stat = _stat(str(process.pid))
    if not stat:
        return None
    return stat[_STARTED] == process.started and stat[_STATE] not in _ENDED


def _stat(process: str) -> list[str]:
    try:
        text = (_PROC / process / "stat").read_text(errors="replace")
    except OSError:
        return []
    # The name of the program stands in brackets, and may have blanks and brackets in it.
    return text.rpartition(")")[2].split()


def _boot() -> str:
    try:
        return (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _namespace() -> str:
    try:
        return str((_PROC / "self/ns/pid").readlink())
    except OSError:
        return ""

"""Remove what a file of a run folder holds of some participants, and leave the rest as it is.

By what the file is: rows of Parquet and of text tables, members of packs, lines of journals and
logs, entries of JSON. Any other file that names one of them is removed as a whole; whatever made it
makes it again, unless it is one of the user's own. What is rewritten keeps its time, so that no job
starts for it.
"""

import csv
import gzip
import json
import os
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from organome.io.files.atomic import replacement
from organome.io.files.packs import ZIP_DAMAGES, write_members
from organome.io.tables.covariate_files import PEOPLE, separator
from organome.io.tables.dropped_rows import find_rows, write_without_rows
from organome.shards.journal import without_scans

_SHORTEST: Final = 5  # letters of a name that is looked for in running text; else only in columns
_PEOPLE: Final = frozenset({*PEOPLE, "fid", "iid", "subject"})
_PERHAPS: Final = frozenset({"id", "subject"})  # or only numbers the rows
_NUMBER: Final = re.compile(r"[+-]?(\d+[.,]?\d*|[.,]\d+)(e[+-]?\d+)?", re.IGNORECASE)
_FLOAT: Final = re.compile(r"\d+\.\d*(e\+\d+)?|\d+e\+\d+", re.IGNORECASE)
_TABLES: Final = (".tsv", ".csv")
_LINES: Final = (".log", ".txt", ".jsonl", ".out", ".err")
_IMAGES: Final = (".nii.gz", ".nrrd", ".mha", ".pth", ".npz")
# Folders that Organome and Snakemake fill; whatever lies elsewhere is somebody's own.
_OURS: Final = frozenset({"scans", "results", "work", "logs", ".snakemake", "releases", "versions"})
LEFT: Final = "files of your own"
_RUN: Final = re.compile(rb"[0-9A-Za-z]+")
_KEY: Final = re.compile(rb"(?<![0-9A-Za-z])(?=([0-9]+-[0-9]+)(?![0-9A-Za-z]))")  # of a scan
_ESCAPED: Final = re.compile(rb"\\[bfnrt]")  # in JSON; its letter does not belong to the word
_LEFT_OVER: Final = re.compile(r"\..+\.tmp(\..+)?")  # of whoever was killed while it wrote
_DAMAGED: Final = (OSError, *ZIP_DAMAGES)


@dataclass(frozen=True)
class Removal:
    """Takes some participants and their scans out of files.

    Attributes:
        participants: Their pseudonyms.
        scans: Keys of their scans.
        apply: Whether files are changed; else things are only counted.
    """

    participants: frozenset[str]
    scans: frozenset[str]
    apply: bool = False

    def from_file(self, path: Path, relative: Path) -> Counter[str]:
        """Take them out of one file.

        Args:
            path: The file.
            relative: What of its path lies below the run folder.

        Returns:
            What was of them, by kind; empty where nothing was.
        """
        is_ours = relative.parts[0] in _OURS
        if self._names(relative.as_posix().encode()):
            of_a_scan = any(scan in relative.as_posix() for scan in self.scans)
            return self._remove(path, "files of their scans", may=is_ours or of_a_scan)
        if is_ours and _LEFT_OVER.fullmatch(path.name):
            return self._remove(path, "")
        if path.name.endswith(_IMAGES):
            return Counter()
        with path.open("rb") as file:
            magic = file.read(4)
        if magic == b"PAR1":
            return self._from_parquet(path, is_ours=is_ours)
        if magic[:2] == b"PK":
            return self._from_zip(path, is_ours=is_ours)
        content = path.read_bytes()
        if path.name.endswith(_TABLES):
            return self._from_text_table(path, content, is_ours=is_ours)
        if not self._names(_inflated(content)):
            return Counter()
        if (found := self._from_text(path, content)) is not None:
            return found
        return self._remove(path, "files that named them", may=is_ours)

    # --- kinds of files --------------------------------------------------------------------------

    def _from_parquet(self, path: Path, *, is_ours: bool) -> Counter[str]:
        try:
            names = pq.read_schema(path).names
            values_of = self._values_of(names)
            n = find_rows(path, values_of)
            if n and self.apply:
                with replacement(path) as target:
                    write_without_rows(path, target, values_of)
            is_known = is_ours or bool(_people(names))
            is_left = not is_known and bool(find_rows(path, lambda _: self._long_names))
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            return self._remove(path, "damaged files") if is_ours else Counter()
        return _counted("rows of tables", n) + _counted(LEFT, is_left)

    def _values_of(self, names: Iterable[str]) -> Callable[[str], Collection[str]]:
        """Return which values of each column are of them."""
        people = _people(names)
        theirs = self.participants | {f"sub-{one}" for one in self.participants}

        def values_of(column: str) -> Collection[str]:
            if column in people:
                return theirs
            return self.scans if "scan" in column else ()

        return values_of

    def _from_zip(self, path: Path, *, is_ours: bool) -> Counter[str]:
        try:
            with zipfile.ZipFile(path) as pack:
                names = pack.namelist()
                is_pack = all(one.compress_type == zipfile.ZIP_STORED for one in pack.infolist())
                theirs = {name for name in names if self._names(name.encode())}
                if not theirs and not is_pack and any(self._names(pack.read(n)) for n in names):
                    return self._remove(path, "files that named them", may=is_ours)
        except _DAMAGED as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            return self._remove(path, "damaged files") if is_ours else Counter()
        if theirs and self.apply:
            with replacement(path) as target:
                write_members(path, target, [name for name in names if name not in theirs])
        return _counted("files of their scans", len(theirs))

    def _from_text(self, path: Path, content: bytes) -> Counter[str] | None:
        """Take them out of a file that is made of lines or entries; None where it is not."""
        name = path.name
        if name.startswith("journal") and name.endswith(".jsonl"):
            return self._replaced(path, "entries of journals", *without_scans(content, self.scans))
        if name.endswith(".json") or not path.suffix:
            with suppress(ValueError):
                pruned, n = self._pruned(json.loads(content))
                text = json.dumps(pruned, indent=1, ensure_ascii=False) + "\n"
                return self._replaced(path, "entries of lists", text.encode(), n)
        if name.endswith(_LINES):
            lines = content.splitlines(keepends=True)
            kept = [line for line in lines if not self._names(line)]
            return self._replaced(path, "lines of logs", b"".join(kept), len(lines) - len(kept))
        return None

    def _from_text_table(self, path: Path, content: bytes, *, is_ours: bool) -> Counter[str]:
        """Drop rows that name one of them; a number is a name only in the column for it.

        Where none is known, or a row has more or fewer cells than the heading, it may be either:
        the row stays, and a file of somebody's own is counted as left.
        """
        lines = content.splitlines(keepends=True)
        delimiter = separator(_text(lines[0])) if lines else ","
        heading = _cells(lines[0], delimiter) if lines else []
        places = [heading.index(name) for name in _people(heading)]
        kept: list[bytes] = []
        is_left = False
        for line in lines:
            cells = _cells(line, delimiter)
            is_shifted = any(cells[len(heading) :])
            sure = () if is_shifted else (cells[place] for place in places if place < len(cells))
            is_named = self._names(line)
            words = (cell for cell in cells if not _NUMBER.fullmatch(cell)) if is_named else ()
            if self._holds_one(sure) or any(self._names(word.encode()) for word in words):
                continue
            kept.append(line)
            if is_named and (not places or len(cells) != len(heading)):
                is_left |= self._holds_one(cells)
        found = self._replaced(path, "rows of tables", b"".join(kept), len(lines) - len(kept))
        return found + _counted(LEFT, is_left and not is_ours)

    def _holds_one(self, cells: Iterable[str]) -> bool:
        return not self.participants.isdisjoint(map(_as_name, cells))

    def _pruned(self, value: Any) -> tuple[Any, int]:
        """Return a JSON value without the entries that name one of them, and how many these are."""
        n = 0
        if isinstance(value, dict):
            kept = {}
            for key, one in value.items():
                if self._names(key.encode()) or self._is_named_in(one):
                    n += 1
                else:
                    kept[key], n_below = self._pruned(one)
                    n += n_below
            return kept, n
        if isinstance(value, list):
            whole = [one for one in value if not self._is_of_them(one)]
            pairs = [self._pruned(one) for one in whole]
            return [one for one, _ in pairs], len(value) - len(whole) + sum(n for _, n in pairs)
        return value, 0

    def _is_named_in(self, value: Any) -> bool:
        return isinstance(value, str) and self._names(value.encode())

    def _is_of_them(self, item: Any) -> bool:
        """Return whether an item of a list is one of their scans, or an entry about one."""
        values = item.values() if isinstance(item, dict) else (item,)
        return any(map(self._is_named_in, values))

    # --- changes ---------------------------------------------------------------------------------

    def _replaced(self, path: Path, kind: str, content: bytes, n: int) -> Counter[str]:
        if n and self.apply:
            with replacement(path) as target:
                target.write_bytes(content)
        return _counted(kind, n)

    def _remove(self, path: Path, kind: str, *, may: bool = True) -> Counter[str]:
        if not may:
            return _counted(LEFT, 1)
        if self.apply:
            path.unlink(missing_ok=True)
        return _counted(kind, 1)

    # --- names -----------------------------------------------------------------------------------

    @cached_property
    def _keys(self) -> frozenset[bytes]:
        return frozenset(scan.encode() for scan in self.scans)

    @cached_property
    def _words(self) -> Mapping[bytes, list[bytes]]:
        """Return what is looked for in running text, by its longest run of letters and digits."""
        words: dict[bytes, list[bytes]] = {}
        for one in self.participants:
            word = one if len(one) >= _SHORTEST else f"sub-{one}"  # as BIDS writes it
            run = max(_RUN.findall(one.encode()), key=len, default=b"")
            words.setdefault(run, []).append(word.encode())
        return words

    @cached_property
    def _long_names(self) -> frozenset[str]:
        return frozenset(one for one in self.participants if len(one) >= _SHORTEST)

    def _names(self, content: bytes) -> bool:
        """Return whether one of them is named; takes as long for a thousand as for one."""
        if b"\\" in content:
            content = _ESCAPED.sub(b"  ", content)
        if not self._keys.isdisjoint(_KEY.findall(content)):
            return True
        runs = self._words.keys() & {b"", *_RUN.findall(content)}
        return any(_whole(word).search(content) for run in runs for word in self._words[run])


def files_below(folder: Path, leave: Collection[Path]) -> Iterator[Path]:
    """Yield the files below a folder in order, but those that are to be left, or lie below these.

    Links to folders are followed, each folder once; links to files are not.
    """
    seen = {path.resolve() for path in leave}  # whatever links lead to them
    for name, subfolders, names in os.walk(folder.absolute(), followlinks=True):
        found = Path(name).resolve()
        if found in seen:
            subfolders.clear()
            continue
        seen.add(found)
        subfolders.sort()
        for one in sorted(names):
            path = Path(name, one)
            if found / one not in seen and path.is_file() and not path.is_symlink():
                yield path


def _whole(word: bytes) -> re.Pattern[bytes]:
    return re.compile(rb"(?<![0-9A-Za-z])" + re.escape(word) + rb"(?![0-9A-Za-z])")


def _people(names: Iterable[str]) -> list[str]:
    """Return which columns have names of participants, by their headings."""
    named = [name for name in names if name.lower() in _PEOPLE]
    return [name for name in named if name.lower() not in _PERHAPS] or named


def _text(line: bytes) -> str:
    return line.decode("utf-8-sig", "replace")


def _cells(line: bytes, delimiter: str) -> list[str]:
    text = _text(line)
    try:
        return [cell.strip() for cell in next(csv.reader([text], delimiter=delimiter), [])]
    except csv.Error:
        return [text]


def _as_name(cell: str) -> str:
    """Return a name without the prefix of BIDS, or what a whole number is that became a float."""
    if _FLOAT.fullmatch(cell) and float(cell).is_integer():
        return str(int(float(cell)))
    return cell.removeprefix("sub-")


def _inflated(content: bytes) -> bytes:
    if content[:2] != b"\x1f\x8b":
        return content
    try:
        return gzip.decompress(content)
    except _DAMAGED:
        return content


def _counted(kind: str, n: int) -> Counter[str]:
    return Counter({kind: n} if kind and n else {})

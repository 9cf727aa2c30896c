"""Look for words in all files of a folder, however they are packed."""

import gzip
import re
import zipfile
from collections.abc import Collection, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def contents(path: Path) -> Iterator[bytes]:
    """Yield the bytes of a file as they lie there, and all that is packed into them."""
    content = path.read_bytes()
    yield content
    if content[:4] == b"PAR1":
        table = pq.read_table(path, partitioning=None)
        for column in table.columns:
            is_text = pa.types.is_string(column.type)
            yield str((column.unique() if is_text else column).to_pylist()).encode()
        yield str(table.schema.metadata).encode()
    elif content[:2] == b"PK":
        with zipfile.ZipFile(path) as pack:
            yield from (name.encode() + pack.read(name) for name in pack.namelist())
    elif content[:2] == b"\x1f\x8b":
        yield gzip.decompress(content)


def traces(folder: Path, words: Collection[str]) -> list[str]:
    """Name the files that hold one of some words anywhere."""
    any_word = re.compile("|".join(words).encode())
    return [
        str(path.relative_to(folder))
        for path in sorted(folder.rglob("*"))
        if any_word.search(str(path.relative_to(folder)).encode())
        or (path.is_file() and any(map(any_word.search, contents(path))))
    ]

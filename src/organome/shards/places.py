"""What lies where in the work folder of a shard.

```
<work>/lease/                      who may write here
<work>/journals/<token>.jsonl      outcomes, one journal per attempt
<work>/files-<token>/              files of the scans that are through; becomes the output
<work>/.<token>/                   files of the scans in flight
```

A token is the generation of the lease and the name of the attempt. Release 0.1 had one journal,
``journal.jsonl``, and its files in ``files``; they count as older than all others.
"""

import re
from pathlib import Path
from typing import Final

from organome.shards.journal import JOURNAL

_JOURNALS: Final = "journals"
_TOKEN: Final = re.compile(r"(?:files-)?(\d{6,})-.*")


def token_of(generation: int, attempt: str) -> str:
    """Name what belongs to one attempt, so that a later one sorts after it."""
    return f"{generation:06d}-{attempt}"


def journal_of(work: Path, token: str) -> Path:
    """Say where an attempt writes its journal."""
    return work / _JOURNALS / f"{token}.jsonl"


def files_of(work: Path, token: str) -> Path:
    """Say where an attempt collects files."""
    return work / f"files-{token}"


def files_folders(work: Path) -> list[Path]:
    """Find what attempts have collected, oldest first."""
    return sorted(path for path in work.glob("files*") if path.is_dir())


def journals(work: Path, output: Path) -> list[Path]:
    """Find all journals of a shard that may exist, oldest first.

    The one beside the files was written when they were published, or about to be.
    """
    beside = [folder / JOURNAL for folder in (output, *files_folders(work))]
    return [*beside, work / JOURNAL, *sorted((work / _JOURNALS).glob("*.jsonl"))]


def generation_of(path: Path) -> int:
    """Tell which generation a journal or a folder of files is of; 0 for release 0.1."""
    found = _TOKEN.fullmatch(path.name)
    return int(found[1]) if found else 0


def last_generation(work: Path) -> int:
    """Find the highest generation that has left a journal or files."""
    traces = [*files_folders(work), *(work / _JOURNALS).glob("*.jsonl")]
    return max(map(generation_of, traces), default=0)


def collected_file(name: str, *, work: Path, output: Path) -> Path:
    """Find a file of a scan that is through; ask only while the lease is held."""
    for folder in (*reversed(files_folders(work)), output):
        if (folder / name).is_file():
            return folder / name
    return output / name

"""A step that copies a line of text per scan, and can be told to fail."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from organome.domain.outcomes import JsonValue, Outcome
from organome.domain.scans import Scan, scan_key


def make_scans(n_scans: int, *, shard: int = 0) -> list[Scan]:
    return [
        Scan(
            scan=scan_key(shard, place),
            cohort="doubles",
            participant=f"{place:03d}",
            instance="2",
            array="0",
            protocol="dixon",
            sources=(),
        )
        for place in range(n_scans)
    ]


class CopyStep:
    """Writes two files per scan and counts how often it was asked to."""

    name = "copy_scans"

    def __init__(
        self,
        *,
        version: int = 1,
        faults: Mapping[str, Exception] | None = None,
        identities: Mapping[str, str] | None = None,
        pause_s: float = 0.0,
    ) -> None:
        self.version = version
        self.called: list[str] = []
        self._faults = faults or {}
        self._identities = identities or {}
        self._pause_s = pause_s

    def settings(self) -> Mapping[str, JsonValue]:
        return {"colour": "grey"}

    def input_identity(self, scan: Scan, upstream: Outcome | None) -> JsonValue:
        return [
            self._identities.get(scan.scan, scan.participant),
            upstream.fingerprint if upstream else None,
        ]

    def run_scan(
        self, scan: Scan, upstream: Outcome | None, place: Callable[[str], Path]
    ) -> Mapping[str, JsonValue]:
        self.called.append(scan.scan)
        with place("first.txt").open("w") as file:
            for word in ("one", "two", "three", scan.participant):
                file.write(word + "\n")
                file.flush()
                time.sleep(self._pause_s)
        if scan.scan in self._faults:
            raise self._faults[scan.scan]
        place("second.bin").write_bytes(scan.participant.encode() * 100)
        return {"share": 0.1 + int(scan.participant), "size": [1, 2, 3]}

    def finish(self, outcomes: Sequence[Outcome], folder: Path) -> None:
        (folder / "summary.txt").write_text(
            "".join(f"{one.scan} {one.status}\n" for one in outcomes)
        )

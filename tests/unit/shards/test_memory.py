"""Who is let in beside others, and who is not at all."""

import threading
import time

import pytest

from organome.domain.inference import MemoryNeed
from organome.domain.outcomes import Reason
from organome.shards.memory import MemoryGate, TooLargeError

GB = 10**9
PATIENCE_S = 300.0


def need(host_bytes: int, device_bytes: int = 0) -> MemoryNeed:
    return MemoryNeed(host_bytes // 2, host_bytes, host_bytes // 3, device_bytes)


@pytest.mark.parametrize(
    ("wanted", "gate", "fact"),
    [
        (need(9 * GB), MemoryGate(8 * GB), "needs about 9.0 GB of memory, 8.0 GB are there"),
        (
            need(GB, 12_500_000_000),
            MemoryGate(8 * GB, 11 * GB),
            "needs about 12.5 GB of memory of the GPU, 11.0 GB are there",
        ),
    ],
)
def test_what_fits_nowhere_says_by_how_much(
    wanted: MemoryNeed, gate: MemoryGate, fact: str
) -> None:
    with pytest.raises(TooLargeError) as caught:
        gate.enter("a", wanted)
    assert (caught.value.reason, caught.value.fact) == (Reason.OUT_OF_MEMORY, fact)


def test_without_a_gpu_nobody_asks_for_its_memory() -> None:
    MemoryGate(8 * GB).enter("a", need(GB, 99 * GB))


def test_a_large_scan_waits_for_all_others_and_is_not_overtaken() -> None:
    gate = MemoryGate(8 * GB)
    came_in: list[str] = []
    gate.enter("small", need(2 * GB))

    def enter(scan: str, host_bytes: int) -> threading.Thread:
        def come_in() -> None:
            gate.enter(scan, need(host_bytes))
            came_in.append(scan)
            gate.leave(scan)

        thread = threading.Thread(target=come_in, daemon=True)
        thread.start()
        return thread

    large = enter("large", 7 * GB)
    while not gate._turn.locked():  # until it is the next one
        time.sleep(0.01)
    late = enter("late", 2 * GB)
    late.join(0.2)
    assert came_in == []
    gate.leave("small")
    large.join(PATIENCE_S)
    late.join(PATIENCE_S)
    assert came_in == ["large", "late"]


def test_who_was_never_in_may_leave() -> None:
    gate = MemoryGate(GB)
    gate.leave("unknown")
    gate.enter("of unknown size", None)
    gate.enter("whole", need(GB))

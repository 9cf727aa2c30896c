"""Nobody else at work on a run folder: no controller, no Snakemake, no job, here or elsewhere."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from organome.domain.errors import SetupError
from organome.io.runs import Run
from organome.io.side_runs import VERSIONS
from organome.shards.controllers import sole_controller
from organome.shards.lease import LEASE, LEASE_TERMS, Watch


@contextmanager
def alone(place: Run) -> Iterator[None]:
    """Hold a run folder for the block; its versions are looked at only.

    A withdrawal and a switch keep these from starting by a file beside the lists, which they share.

    Raises:
        SetupError: Somebody works in one of them.
    """
    with sole_controller(place.folder):
        _refuse_live_shards(place)
        for folder in sorted((place.folder / VERSIONS).glob("[!.]*/")):
            with sole_controller(folder):
                _refuse_live_shards(Run(folder))
        yield


def _refuse_live_shards(place: Run) -> None:
    """Refuse while a job has a shard, on this machine or on another."""
    watches = {path: Watch(path) for path in sorted(place.work.glob(f"*/*/{LEASE}"))}
    held = {path: sight for path, watch in watches.items() if (sight := watch.look()) is not None}
    alive = [path for path, sight in held.items() if sight.record.is_alive]
    unknown = [path for path, sight in held.items() if sight.record.is_alive is None]
    if unknown and not alive:
        time.sleep(1.5 * LEASE_TERMS.beat_s)
        for path in unknown:
            watches[path].look()
        alive = [path for path in unknown if watches[path].has_moved]
    if alive:
        step, shard = alive[0].parts[-3:-1]
        raise SetupError(
            f"{place.folder}: {step} is at work on shard {shard}; let its job end, or cancel it"
        )

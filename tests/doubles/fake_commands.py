"""Commands on the PATH that only pretend: SLURM's, with a queue that is a file, and Snakemake.

The queue holds lines ``id|state|reason|name|folder``. ``away`` beside it: the controller is away.
What Snakemake does in its first, second, ... start stands in shell scripts.
"""

import os
from collections.abc import Sequence
from pathlib import Path

_SQUEUE = """\
echo >> "$FAKES/looks"
[ -e "$FAKES/away" ] && { echo "Unable to contact slurm controller" >&2; exit 1; }
[ ! -e "$FAKES/queue" ] || cat "$FAKES/queue"
"""
_SCANCEL = """\
[ -e "$FAKES/away" ] && { echo "Unable to contact slurm controller" >&2; exit 1; }
for id in "$@"; do
  sed -i "s/^$id|[A-Z]*|/$id|CANCELLED|/" "$FAKES/queue"
  echo "$id" >> "$FAKES/cancelled"
done
"""
_SNAKEMAKE = """\
case "$*" in
  *--until*list_scans) exit 1;;
  *list_scans) ls -d "$RUN" "$RUN"/.snakemake/locks >> "$FAKES/listings" 2> /dev/null
  cd "$RUN"
  [ ! -e "$FAKES/listing.sh" ] || . "$FAKES/listing.sh"
  exit 0;;
esac
echo "$@" >> "$FAKES/calls"
case "$*" in *--unlock*) kill -9 $$;; esac
cd "$RUN"
name=$(echo "$*" | sed -n 's/.*--slurm-jobname-prefix \\([^ ]*\\).*/\\1/p')
n_starts=$(($(cat "$FAKES/n_starts" 2>/dev/null || echo 0) + 1))
echo $n_starts > "$FAKES/n_starts"
through() { mkdir -p results/measure_volumes/$1; : > results/measure_volumes/$1/ledger.parquet; }
n_looks() { wc -l < "$FAKES/looks" 2>/dev/null || echo 0; }
be_looked_at() { until=$(($(n_looks) + $1)); until [ $(n_looks) -ge $until ]; do sleep 0.1; done; }
set_up_wrong() {
  mkdir -p work/failures
  printf '{"code": 2, "message": "%s"}' "$2" > work/failures/segment_organs.$1.jsonl
}
lock() { mkdir -p .snakemake/locks; : > .snakemake/locks/0.input.lock; }
. "$FAKES/start_$n_starts.sh"
"""


class FakeCommands:
    """A folder of pretending commands, and what they were asked."""

    def __init__(self, folder: Path, *, run_folder: Path) -> None:
        self.folder = folder
        self.bin = folder / "bin"
        self.bin.mkdir(parents=True)
        self._run_folder = run_folder
        for name, script in (("squeue", _SQUEUE), ("scancel", _SCANCEL), ("snakemake", _SNAKEMAKE)):
            self.add(name, script)
        self.add("sbatch", "exit 1")  # only looked for: the pretended Snakemake submits nothing

    @property
    def path(self) -> str:
        """A PATH with these commands first."""
        return f"{self.bin}:{os.environ['PATH']}"

    @property
    def calls(self) -> list[str]:
        """What Snakemake was started with."""
        return self._lines("calls")

    @property
    def cancelled(self) -> list[str]:
        """Jobs that were cancelled, options of scancel left out."""
        return [line for line in self._lines("cancelled") if not line.startswith("-")]

    @property
    def n_listings(self) -> int:
        """How often the scans were listed."""
        return self._lines("listings").count(str(self._run_folder))

    @property
    def was_locked_when_listed(self) -> bool:
        """Whether the folder was locked at any listing."""
        return len(self._lines("listings")) > self.n_listings

    @property
    def queue(self) -> Path:
        """The file that is the queue."""
        return self.folder / "queue"

    def add(self, name: str, script: str) -> None:
        """Put a command there."""
        command = self.bin / name
        head = f"#!/bin/sh\nFAKES='{self.folder}' RUN='{self._run_folder}'\n"
        command.write_text(head + script)
        command.chmod(0o755)

    def starts(self, scripts: Sequence[str]) -> None:
        """Say what Snakemake does in its first, second, ... start."""
        for number, script in enumerate(scripts, start=1):
            (self.folder / f"start_{number}.sh").write_text(script + "\n")

    def lists(self, script: str) -> None:
        """Say what Snakemake does while it lists the scans."""
        (self.folder / "listing.sh").write_text(script + "\n")

    def put_jobs(self, *jobs: tuple[str, str, str, str]) -> None:
        """Fill the queue with jobs: id, state, reason, name."""
        rows = ("|".join((*job, str(self._run_folder))) for job in jobs)
        self.queue.write_text("".join(f"{row}\n" for row in rows))

    def go_away(self, *, away: bool = True) -> None:
        """Have the controller answer nobody, or answer again."""
        if away:
            (self.folder / "away").touch()
        else:
            (self.folder / "away").unlink(missing_ok=True)

    def _lines(self, name: str) -> list[str]:
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []

"""An ``organome`` on the PATH that notes its arguments and leaves the declared files."""

import json
import os
import sys
from pathlib import Path

from doubles.cohorts import BIN, Result
from doubles.places import REPOSITORY, quick_environment
from doubles.snakemakes import run_snakemake

_ORGANOME = """\
#!{python} -S
import json, os, sys
from pathlib import Path
words = sys.argv[1:]
with open("{calls}", "a") as calls:
    calls.write(json.dumps(words) + "\\n")
flags = dict(word[2:].split("=", 1) for word in words if word.startswith("--") and "=" in word)
shard = Path(flags.get("shard", "all")).stem
if (words[0] + " " + shard) in os.environ.get("IMPOSSIBLE", ""):
    sys.exit(1)
output = Path(flags.get("output", "nowhere"))
names = {{"pin-model": "", "collect-tables": "dictionary.json", "check-quality": "dictionary.json",
          "write-evaluation": "evaluation.md", "write-report": "index.html"}}
if "output" in flags:
    path = output / names.get(words[0], "ledger.parquet") if words[0] != "pin-model" else output
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(" ".join(words))
if "jobs" in flags and words[0] == "write-report":
    Path(flags["jobs"]).touch()
"""


class PretendedRun:
    """A run folder whose jobs do nothing but leave their declared outputs."""

    def __init__(self, folder: Path, *, n_shards: int = 1) -> None:
        self.folder = folder / "run"
        self._bin = folder / "bin"
        self._calls = folder / "calls"
        self._bin.mkdir(parents=True)
        (self.folder / "scans").mkdir(parents=True)
        for shard in range(n_shards):
            (self.folder / "scans" / f"{shard:04d}.parquet").touch()
        command = self._bin / "organome"
        command.write_text(_ORGANOME.format(python=sys.executable, calls=self._calls))
        command.chmod(0o755)

    def write_config(self, config: object) -> None:
        """Write the configuration; JSON is YAML."""
        (self.folder / "config.yaml").write_text(json.dumps(config))

    def add_model(self, place: str) -> None:
        """Put an empty model there."""
        for name in ("plans.json", "dataset.json"):
            path = self.folder / place / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(place)

    def snakemake(self, *arguments: str, impossible: str = "") -> Result:
        """Run Snakemake; jobs named as ``measure-volumes 0000`` in ``impossible`` fail."""
        path = f"{self._bin}:{BIN}:{os.environ['PATH']}"
        where = ["--snakefile", str(REPOSITORY / "Snakefile"), "--directory", str(self.folder)]
        environment = quick_environment() | {"PATH": path, "IMPOSSIBLE": impossible}
        return Result(*run_snakemake([*where, "--cores", "2", *arguments], environment))

    @property
    def calls(self) -> list[list[str]]:
        """Sub-command and arguments of all calls so far, word by word as they arrived."""
        if not self._calls.exists():
            return []
        return [json.loads(line) for line in self._calls.read_text().splitlines()]

"""What planning costs, by number of shards: CPU time and memory of a dry run.

The last line is one JSON object of the figures.

A run folder of empty shard files is enough, because the workflow never opens them.
"""

import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
CONFIG = "cohort: {name: bench, kind: folder, root: scans.tsv}\nsegment: {source: labelmaps}\n"


def main() -> None:
    """Print one line per number of shards."""
    figures = {}
    print("shards   jobs  CPU s  MB")
    for n_shards in (100, 1000, 2000):
        with tempfile.TemporaryDirectory() as folder:
            scans = Path(folder) / "scans"
            scans.mkdir()
            (Path(folder) / "config.yaml").write_text(CONFIG)
            for shard in range(n_shards):
                (scans / f"{shard:04d}.parquet").touch()
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            snakemake = Path(sys.executable).with_name("snakemake")
            arguments = ["--directory", folder, "--dry-run", "--quiet", "all"]
            subprocess.run(
                [snakemake, "--snakefile", REPOSITORY / "Snakefile", *arguments],
                check=True,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            peak_mb = after.ru_maxrss // 1024  # of the largest so far; they grow
            print(f"{n_shards:6} {3 * n_shards + 1:6} {cpu_s:6.1f} {peak_mb:4}")
            figures[f"fresh_cpu_s_{n_shards}_shards"] = round(cpu_s, 1)
            figures[f"peak_mb_{n_shards}_shards"] = peak_mb
    print(json.dumps(figures))


if __name__ == "__main__":
    main()

# Where the steps leave their results, what their jobs ask for, and what cannot be said in a rule.
#
# A shard's output is declared by its ledger, not by its folder: Snakemake deletes the declared
# outputs of a job that it starts again, and the rest of the folder is what the step resumes from.

import hashlib
import math
import time

PREPARED = "results/prepare_images/{shard}/ledger.parquet"
SEGMENTED = "results/segment_organs/{shard}/ledger.parquet"
MEASURED = "results/measure_volumes/{shard}/ledger.parquet"
RADIOMICS = "results/measure_radiomics/{shard}/ledger.parquet"
TABLES = "results/tables/dictionary.json"

# As `organome run` names the jobs of this run folder, so that it finds what is left of them.
RUN_NAME = (
    f"organome_{hashlib.sha256(str(Path.cwd().resolve()).encode()).hexdigest()[:8]}"
)

if not config["keep_images"]:
    PREPARED = "results/prepare_images/{shard}"


# Exit code 69: the machine is at fault, not the scans. Its node is noted, so that the next attempt
# goes elsewhere; the job fails and the scans stay undone.
shell.suffix(
    "|| {{ code=$?; if [ $code -eq 69 ]; then mkdir -p work/broken_nodes;"
    ' touch "work/broken_nodes/${{SLURMD_NODENAME:-local}}"; fi; exit $code; }}'
)

NOTED_FOR_S = 3600  # then the node gets another chance


def without_broken_nodes(_wildcards):
    """Have sbatch leave out the nodes on which a job lately found the machine at fault."""
    since = time.time() - NOTED_FOR_S
    notes = Path("work/broken_nodes").glob("*")
    nodes = sorted(note.name for note in notes if note.stat().st_mtime > since)
    excluded = ",".join(node for node in nodes if node != "local")
    return f"--exclude={excluded}" if excluded else ""


def n_processes(step):
    """Count the processes that work side by side in a job of a step."""
    cost = config["resources"][step]
    return cost["processes"] * cost.get("gpus", 1)


def mem_mb(step):
    """Ask for memory by the number of processes, and for more after each failure."""
    per_attempt = round(config["resources"][step]["mem_gb"] * 1000 * n_processes(step))
    return lambda _wildcards, attempt: per_attempt * attempt


def runtime(step):
    """Ask for minutes: twice what a full shard should take, and more after each failure."""
    scans_s = config["shard_size"] * config["resources"][step]["seconds_per_scan"]
    per_attempt = 15 + math.ceil(2 * scans_s / n_processes(step) / 60)
    return lambda _wildcards, attempt: per_attempt * attempt


def model_files(_wildcards):
    """Name the files of the model, so that a new model makes the labelmaps stale."""
    model = Path(config["segment"]["model"])
    weights = sorted(model.glob("fold_*/checkpoint_final.pth"))
    return [model / "plans.json", model / "dataset.json", *weights]


def pinned_model(_wildcards):
    """Name the digest of the model that the whole run is bound to."""
    return PINNED_MODEL if WITH_MODEL else []


def scheme_file(_wildcards):
    """Name the file of the label scheme, so that a changed one makes the labelmaps stale."""
    scheme = config["segment"]["scheme"]
    return scheme if Path(scheme).suffix in (".yaml", ".yml", ".json") else []


def segment_contrasts():
    """Name the contrasts to segment on; the best are what the step takes by itself."""
    wanted = config["segment"]["contrasts"]
    return "" if wanted == "best" else f"--contrasts {' '.join(wanted)}"


def segment_flags():
    """Name what else is asked for that changes tables or labelmaps."""
    flags = ("fold_agreement", "repair_sides")
    return " ".join(
        f"--{flag.replace('_', '-')}" for flag in flags if config["segment"][flag]
    )


def measured_ledgers(_wildcards):
    """Name the ledgers of all shards."""
    if not SHARDS:
        raise WorkflowError(
            f"no shards in {config['scans']}/: list the scans first (snakemake list_scans)"
        )
    return expand(MEASURED, shard=SHARDS)


def radiomics_files():
    """Name the parameter file of each image whose radiomics are measured."""
    presets = Path(workflow.basedir) / "config" / "radiomics"
    found = {}
    for contrast, named in sorted(config["radiomics"]["contrasts"].items()):
        files = (presets / f"{named}.yaml", Path(named))
        found[contrast] = next((path for path in files if path.is_file()), None)
        # Said here, because Snakemake does not miss an input of what is there already.
        if found[contrast] is None:
            raise WorkflowError(
                f"radiomics.contrasts.{contrast}: {named} is neither a preset nor a file"
            )
    return found


def radiomics_ledgers(_wildcards):
    """Name the ledgers of all shards, none where no radiomics are measured."""
    return expand(RADIOMICS, shard=SHARDS) if config["radiomics"]["contrasts"] else []


def where_to_collect(_wildcards, resources):
    """Have jobs of their own do the work, where a cohort outgrows the node of the job itself."""
    cost = config["resources"]["collect_tables"]
    if not cost["jobs"]:
        return "--cluster local"
    flags = {
        "--cluster": "slurm",
        "--n-jobs": cost["jobs"],
        "--job-memory-gb": cost["mem_gb"],
        "--job-runtime-min": cost["runtime_min"],
        "--job-name-prefix": RUN_NAME,
        "--account": resources.get("slurm_account"),
        "--partition": resources.get("slurm_partition"),
        "--interface": cost["interface"],
    }
    return " ".join(f"{flag} {value}" for flag, value in flags.items() if value)

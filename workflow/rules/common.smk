# Where the steps leave their results, what their jobs ask for, and what a rule cannot express.
#
# A shard's output is declared by its ledger, not by its folder: Snakemake deletes the declared
# outputs of a job that it starts again, and the rest of the folder is what the step resumes from.

import hashlib
import os
import shlex
import time
from functools import cache

import psutil

from organome.domain.job_requests import (
    THREADS_ON_GPU,
    configured_processes,
    job_mem_mb,
    job_runtime_min,
)
from organome.domain.radiomics_settings import Engine
from organome.io.tables.radiomics_parameters import read_settings

PREPARED = "results/prepare_images/{shard}/ledger.parquet"
SEGMENTED = "results/segment_organs/{shard}/ledger.parquet"
MEASURED = "results/measure_volumes/{shard}/ledger.parquet"
RADIOMICS = "results/measure_radiomics/{shard}/ledger.parquet"
PICTURES = "results/draw_pictures/{shard}/ledger.parquet"
TABLES = "results/tables/dictionary.json"
DROPPED = "work/drop_images/{shard}"
WITH_RADIOMICS = bool(config["radiomics"]["contrasts"])
WITH_PICTURES = config["pictures"]["enabled"]

# As `organome run` names the jobs of this run folder, so that it finds what is left of them.
RUN_NAME = (
    f"organome_{hashlib.sha256(str(Path.cwd().resolve()).encode()).hexdigest()[:8]}"
)
NOTED_FOR_S = 3600  # then a broken node gets another chance


# --- what jobs ask for ---------------------------------------------------------------------------


@cache
def fitting_processes(step):
    """Count the processes that give every core of this machine work, as far as memory goes."""
    left = sum(not Path(MEASURED.format(shard=shard)).exists() for shard in SHARDS)
    per_shard = (workflow.resource_settings.cores or 1) // max(1, left)
    in_memory = (
        psutil.virtual_memory().total / 1e9 / config["resources"][step]["mem_gb"]
    )
    return max(1, min(per_shard, int(in_memory), config["shard_size"]))


def n_processes(step):
    """Count the processes that work side by side in a job of a step."""
    configured = configured_processes(config, step, on_gpu=on_gpu())
    return configured or (fitting_processes(step) if workflow.local_exec else 1)


def n_explained(step, shard, attempt):
    """Count the attempts that ended for another reason than memory, as the jobs noted."""
    note = Path("work/failures") / f"{step}.{shard}.jsonl"
    lines = note.read_text().splitlines() if note.exists() else []
    return min(attempt - 1, sum('"memory": false' in line for line in lines))


def mem_mb(step):
    """Ask for memory by the number of processes, and for more where it may have been too little."""

    def ask(wildcards, attempt):
        n_times = attempt - n_explained(step, wildcards.get("shard", "all"), attempt)
        return job_mem_mb(config, step, n_processes=n_processes(step), n_times=n_times)

    return ask


def runtime(step):
    """Ask for minutes, and for more at each attempt."""

    def ask(wildcards, attempt):
        once_min = job_runtime_min(config, step, n_processes=n_processes(step))
        return once_min * attempt

    return ask


def without_broken_nodes(wildcards):
    """Have sbatch leave out the nodes that jobs lately noted as broken, besides what is asked for."""
    since = time.time() - NOTED_FOR_S
    notes = Path("work/broken_nodes").glob("*")
    nodes = sorted(note.name for note in notes if note.stat().st_mtime > since)
    excluded = ",".join(node for node in nodes if node != "local")
    defaults = workflow.resource_settings.default_resources or {}
    wanted = defaults["slurm_extra"] if "slurm_extra" in defaults else ""
    wanted = str(getattr(wanted, "raw", wanted) or "").strip("'\"")
    return f"{wanted} --exclude={excluded}".strip() if excluded else wanted


# --- inputs --------------------------------------------------------------------------------------


def measured_ledgers(wildcards):
    """Return the ledgers of all shards."""
    if not SHARDS:
        raise WorkflowError(
            "no shards in scans/: list the scans first (snakemake list_scans)"
        )
    return expand(MEASURED, shard=SHARDS)


def radiomics_ledgers(wildcards):
    """Return the ledgers of all shards, none where no radiomics are measured."""
    return expand(RADIOMICS, shard=SHARDS) if WITH_RADIOMICS else []


# --- segmentation --------------------------------------------------------------------------------

WITH_MODEL = config["segment"]["source"] == "model"
# Without a GPU, shards and scans side by side beat threads: half of the work runs on one. On a CPU,
# a few voxels depend on how many threads share a sum. `auto` may meet machines without a GPU, and
# labels must not show which.
NETWORK_THREADS = THREADS_ON_GPU if config["segment"]["device"] == "cuda" else 1

PINNED_MODEL = "results/model/digest.txt"


def transform_flag():
    """Return what images go through before the network, as flags."""
    wanted = sorted(config["segment"]["transform"].items())
    return as_flag(
        "--transform", [f"{contrast}:{change}" for contrast, change in wanted]
    )


def precision_flag():
    """Return with what numbers the network computes, as a flag; none for what nnU-Net does."""
    precision = config["segment"]["precision"]
    return as_flag("--precision", [precision] if precision != "stock" else [])


def on_gpu():
    """Decide whether jobs ask for a GPU: with `auto` on this machine if it has one, else always."""
    device = config["segment"]["device"]
    if device == "auto" and workflow.local_exec:
        return WITH_MODEL and Path(os.devnull).with_name("nvidia0").exists()
    return WITH_MODEL and device != "cpu"


def n_gpus(wildcards):
    """Count the GPUs that a job asks for."""
    return config["resources"]["segment_organs"]["gpus"] if on_gpu() else 0


def processes_per_gpu(wildcards, threads):
    """Count the processes that share a GPU, or work without one."""
    return n_processes("segment_organs") // max(1, n_gpus(wildcards))


def segment_threads(wildcards):
    """Count the threads of a job."""
    return n_processes("segment_organs") * (THREADS_ON_GPU if on_gpu() else 1)


def model_files(wildcards):
    """Return the files of the model, so that a new model makes the labelmaps stale."""
    model = Path(config["segment"]["model"])
    weights = sorted(model.glob("fold_*/checkpoint_final.pth"))
    return [model / "plans.json", model / "dataset.json", *weights]


def pinned_model(wildcards):
    """Return the file that names the model that the whole run is bound to."""
    return PINNED_MODEL if WITH_MODEL else []


def scheme_file(wildcards):
    """Return the file of the label scheme, so that a changed one makes the labelmaps stale."""
    scheme = config["segment"]["scheme"]
    return scheme if Path(scheme).suffix in (".yaml", ".yml", ".json") else []


def flags_of_readers():
    """Name the images that later steps read: no others are written where images do not stay."""
    radiomics = config["radiomics"]["contrasts"]
    return [
        f"--combine={config['segment']['combine']}",
        *as_flag("--labelled", config["segment"]["contrasts"]),
        *as_flag("--measured", sorted(set(radiomics) - {"fat_fraction"})),
    ]


# --- radiomics and collection --------------------------------------------------------------------


def parameter_files():
    """Return the parameter file of each image whose radiomics are measured."""
    presets = Path(workflow.basedir) / "config" / "radiomics"
    found = {}
    for contrast, named in sorted(config["radiomics"]["contrasts"].items()):
        files = (presets / f"{named}.yaml", Path(named))
        found[contrast] = next((str(path) for path in files if path.is_file()), None)
        # Refused here, because Snakemake does not miss an input of what is there already.
        if found[contrast] is None:
            raise WorkflowError(
                f"radiomics.contrasts.{contrast}: {named} is neither a preset nor a file"
            )
        # Jobs parse this file, too, and read the settings themselves.
        if workflow.is_main_process:
            try:
                read_settings(
                    Path(found[contrast]), Engine(config["radiomics"]["engine"])
                )
            except SetupError as error:
                raise WorkflowError(
                    f"radiomics.contrasts.{contrast}: {error}"
                ) from None
    return found


PARAMETER_FILES = parameter_files()

COLLECTION = config["resources"]["collect_tables"]


def where_to_collect(wildcards, resources):
    """Have jobs of their own do the work, where a cohort outgrows the node of the job itself."""
    if not COLLECTION["jobs"]:
        return "--cluster=local"
    flags = {
        "cluster": "slurm",
        "n-jobs": COLLECTION["jobs"],
        "job-memory-gb": COLLECTION["mem_gb"],
        "job-runtime-min": COLLECTION["runtime_min"],
        "job-name-prefix": RUN_NAME,
        "account": resources.get("slurm_account"),
        "partition": resources.get("slurm_partition"),
        "interface": COLLECTION["interface"],
    }
    return shlex.join(f"--{flag}={value}" for flag, value in flags.items() if value)


# --- quality --------------------------------------------------------------------------------------

QUALITY = "results/quality/dictionary.json"
REPORT = "results/report/index.html"
JOB_COSTS = "logs/job_costs.html"


def thresholds_file():
    """Return the file of the thresholds."""
    named = config["quality"]["thresholds"]
    preset = Path(workflow.basedir) / "config" / "quality" / f"{named}.yaml"
    path = preset if preset.is_file() else Path(named)
    if not path.is_file():
        raise WorkflowError(
            f"quality.thresholds: {named} is neither a preset nor a file"
        )
    return str(path)


THRESHOLDS = thresholds_file()


def named_file(key):
    """Return a file that the configuration names, or none."""
    path = config["quality"][key]
    if path and not Path(path).exists():
        raise WorkflowError(f"quality.{key}: {path} is not there")
    return [path] if path else []


def hand_files(key):
    """Return what people wrote: the TSV files in a folder."""
    return sorted(map(str, Path(config["quality"][key]).glob("*.tsv")))


def quality_flags(files):
    """Name the files of people as flags; no file, no flag."""
    keys = ("participants", "ratings", "exclusions", "norms", "repeatability")
    return shlex.join(
        f"--{key}={path}" for key in keys for path in files.get(key) or []
    )


# --- evaluation -----------------------------------------------------------------------------------

EVALUATED = "results/evaluate_labels/{shard}/ledger.parquet"
EVALUATION = "results/evaluation/evaluation.md"
PUBLISHED = Path(workflow.basedir) / "config" / "published" / "mrsegmentator_2024.yaml"


def references(wildcards):
    """Return the list of references."""
    if not config["evaluate"]["references"]:
        raise WorkflowError(
            "evaluate.references is empty: name the TSV of the references (docs/evaluate.md)"
        )
    return config["evaluate"]["references"]


def evaluated_ledgers(wildcards):
    """Return the ledgers of all shards."""
    measured_ledgers(wildcards)  # refuses a run in which nothing is listed
    return expand(EVALUATED, shard=SHARDS)

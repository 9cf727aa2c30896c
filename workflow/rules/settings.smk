# How the configuration reaches jobs and the flags of their steps, for cohorts and trainings.
# Functions, because Snakemake looks for wildcards in plain text.

import shlex


def compared(value):
    """Hand over a setting that changes results: Snakemake does again what it was not made with."""
    return lambda wildcards: value


def uncompared(value):
    """Hand over a setting that changes no result.

    Snakemake does not compare what may depend on threads, so no finished shard becomes stale.
    """
    return lambda wildcards, threads: value


def as_flag(name, words):
    """Make a flag of words; no words, no flag."""
    return [name, *words] if words else []


def plan_flags(plan):
    """Make flags of what the configuration replaces in nnU-Net's plan."""
    words = []
    for key in (
        "spacing_zyx_mm",
        "patch_zyx",
        "batch_size",
        "n_features",
        "label_order",
        "gpu_memory_gb",
    ):
        if plan.get(key) is not None:
            value = plan[key] if isinstance(plan[key], list) else [plan[key]]
            words += [f"--{key.replace('_', '-')}", *map(str, value)]
    return shlex.join(words)


def start_flag(train):
    """Make a flag of the model that a training starts from."""
    start = train.get("start_from")
    return shlex.join([f"--start-from={start}"]) if start else ""


def gpus_of_fold(wildcards):
    """Count the GPUs that a fold asks for: only when jobs are made is it known where they run."""
    device = config["train"]["device"]
    return int(device == "cuda" or (device == "auto" and not workflow.local_exec))

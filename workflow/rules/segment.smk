# Takes results/prepare_images/{shard}/ and the model
# Makes results/segment_organs/{shard}/: labelmaps on the grid of the images, and the ledger

WITH_MODEL = config["segment"]["source"] == "model"
# Before and after the network some work runs on the CPU. Without a GPU, shards and scans side by
# side beat threads: half of the work runs on one.
THREADS_ON_GPU = 4
# On a CPU, a few voxels depend on how many threads share a sum. `auto` may meet machines without a
# GPU, and labels must not show which.
NETWORK_THREADS = THREADS_ON_GPU if config["segment"]["device"] == "cuda" else 1

PINNED_MODEL = "results/model/digest.txt"


def on_gpu():
    """Decide whether jobs ask for a GPU: with `auto` on this machine if it has one, else always."""
    device = config["segment"]["device"]
    if device == "auto" and workflow.local_exec:
        return WITH_MODEL and Path("/dev/nvidia0").exists()
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


# The run is bound to the model that it started with: a job that finds another one refuses it.
rule pin_model:
    """Note the digest of the model."""
    input:
        model_files,
    output:
        PINNED_MODEL,
    log:
        "logs/pin_model/pin_model.log",
    benchmark:
        "logs/benchmarks/pin_model/pin_model.tsv"
    localrule: True
    params:
        model=compared(config["segment"]["model"]),
        root=uncompared(config["cohort"]["root"]),
        allow_phantom_model=uncompared(config["segment"]["allow_phantom_model"]),
    shell:
        "organome pin-model --model={params.model:q} --output={output:q} --root={params.root:q}"
        " --allow-phantom-model={params.allow_phantom_model:q} > {log:q} 2>&1"


rule segment_organs:
    """Turn a shard's images into labelmaps; first, this kind of machine proves that it can."""
    input:
        shard="scans/{shard}.parquet",
        prepared=PREPARED,
        model=pinned_model,
        scheme=scheme_file,
    output:
        SEGMENTED,
    log:
        "logs/segment_organs/{shard}.log",
    benchmark:
        "logs/benchmarks/segment_organs/{shard}.tsv"
    threads: segment_threads
    priority: 1
    resources:
        mem_mb=mem_mb("segment_organs"),
        runtime=runtime("segment_organs"),
        # `gpu`, never `gpus`: the slurm plugin asks sbatch for the former only.
        gpu=n_gpus,
        nodes=1,
        slurm_extra=without_broken_nodes,
        shards_in_flight=1,
    params:
        root=uncompared(config["cohort"]["root"]),
        source=compared(config["segment"]["source"]),
        model=compared(config["segment"]["model"]),
        only_model=f"--model-digest={PINNED_MODEL}" if WITH_MODEL else "",
        scheme=compared(config["segment"]["scheme"]),
        contrasts=compared(config["segment"]["contrasts"]),
        combine=compared(config["segment"]["combine"]),
        fold_agreement=compared(config["segment"]["fold_agreement"]),
        repair_sides=compared(config["segment"]["repair_sides"]),
        tile_step_size=compared(config["segment"]["tile_step_size"]),
        device=uncompared(config["segment"]["device"]),
        canary=uncompared(config["segment"]["canary"] if WITH_MODEL else ""),
        pack=uncompared(config["segment"]["pack"]),
        n_processes=processes_per_gpu,
        n_gpus=uncompared(config["resources"]["segment_organs"]["gpus"]),
        max_scan_min=uncompared(config["resources"]["segment_organs"]["max_scan_min"]),
        max_share=uncompared(config["max_same_reason_share"]),
    shell:
        "(if [ x{params.canary:q} != x ]; then"
        " organome check-canary --canary={params.canary:q} --checks=work/canary"
        " --model={params.model:q} {params.only_model} --scheme={params.scheme:q}"
        " --device={params.device:q} --tile-step-size={params.tile_step_size:q}"
        f" --n-threads={NETWORK_THREADS} || exit $?; fi;"
        " organome segment-organs --shard={input.shard:q}"
        " --images=results/prepare_images/{wildcards.shard}"
        " --output=results/segment_organs/{wildcards.shard}"
        " --work=work/segment_organs/{wildcards.shard} --root={params.root:q}"
        " --source={params.source:q} --model={params.model:q} {params.only_model}"
        " --scheme={params.scheme:q} --contrasts {params.contrasts:q}"
        " --combine={params.combine:q} --fold-agreement={params.fold_agreement:q}"
        " --repair-sides={params.repair_sides:q} --device={params.device:q}"
        f" --tile-step-size={{params.tile_step_size:q}} --n-threads={NETWORK_THREADS}"
        " --n-processes={params.n_processes} --n-gpus={params.n_gpus:q}"
        " --max-scan-min={params.max_scan_min:q} --pack={params.pack:q}"
        " --max-same-reason-share={params.max_share:q}) > {log:q} 2>&1"

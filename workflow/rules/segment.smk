WITH_MODEL = config["segment"]["source"] == "model"
ON_GPU = WITH_MODEL and config["segment"]["device"] != "cpu"
# Before and after the network some work runs on the CPU. Without a GPU, shards side by side beat
# threads: half of the work runs on one.
THREADS_PER_PROCESS = 4 if ON_GPU else 1
# On a CPU, a few voxels depend on how many threads share a sum. `auto` may meet machines without a
# GPU, and labels must not tell which.
NETWORK_THREADS = 4 if config["segment"]["device"] == "cuda" else 1

PINNED_MODEL = "results/model/digest.txt"


# The run is bound to the model that it started with: a job that finds another one refuses it.
rule pin_model:
    input:
        model_files,
    output:
        PINNED_MODEL,
    log:
        "logs/pin_model/pin_model.log",
    localrule: True
    params:
        model=config["segment"]["model"],
    shell:
        "organome pin-model --model {params.model:q} --output {output:q} > {log:q} 2>&1"


rule segment_organs:
    input:
        shard=f"{config['scans']}/{{shard}}.parquet",
        prepared=PREPARED,
        model=pinned_model,
        scheme=scheme_file,
    output:
        SEGMENTED,
    log:
        "logs/segment_organs/{shard}.log",
    threads: THREADS_PER_PROCESS * n_processes("segment_organs")
    resources:
        mem_mb=mem_mb("segment_organs"),
        runtime=runtime("segment_organs"),
        # `gpu`, never `gpus`: the slurm plugin asks sbatch for the former only.
        gpu=config["resources"]["segment_organs"]["gpus"] if ON_GPU else 0,
        nodes=1,
        slurm_extra=without_broken_nodes,
        # Here and not in params, because they change no result: they must not start a shard again.
        canary=config["segment"]["canary"] if WITH_MODEL else "",
        n_devices=config["resources"]["segment_organs"]["gpus"],
        n_processes=config["resources"]["segment_organs"]["processes"],
        max_scan_min=config["resources"]["segment_organs"]["max_scan_min"],
        pack="--pack" if config["segment"]["pack"] else "",
    params:
        root=config["cohort"]["root"],
        source=config["segment"]["source"],
        model=config["segment"]["model"],
        only_model=f"--model-digest {PINNED_MODEL}" if WITH_MODEL else "",
        scheme=config["segment"]["scheme"],
        contrasts=segment_contrasts(),
        combine=config["segment"]["combine"],
        more=segment_flags(),
        device=config["segment"]["device"],
        tile_step_size=config["segment"]["tile_step_size"],
        n_threads=NETWORK_THREADS,
        max_share=config["max_same_reason_share"],
    shell:
        '(if [ -n "{resources.canary}" ]; then'
        " organome check-canary --canary {resources.canary:q} --checks work/canary"
        " --model {params.model:q} {params.only_model} --scheme {params.scheme:q}"
        " --device {params.device} --tile-step-size {params.tile_step_size}"
        " --n-threads {params.n_threads} || exit $?; fi;"
        " organome segment-organs --shard {input.shard:q}"
        " --images results/prepare_images/{wildcards.shard}"
        " --output results/segment_organs/{wildcards.shard}"
        " --work work/segment_organs/{wildcards.shard} --root {params.root:q}"
        " --source {params.source} --model {params.model:q} {params.only_model}"
        " --scheme {params.scheme:q} {params.contrasts} --combine {params.combine}"
        " {params.more} --device {params.device} --tile-step-size {params.tile_step_size}"
        " --n-threads {params.n_threads}"
        " --n-processes {resources.n_processes} --n-gpus {resources.n_devices}"
        " --max-scan-min {resources.max_scan_min} {resources.pack}"
        " --max-same-reason-share {params.max_share}) > {log:q} 2>&1"

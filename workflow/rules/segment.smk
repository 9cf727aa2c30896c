SEGMENT_ON_GPU = (
    config["segment"]["source"] == "model" and config["segment"]["device"] != "cpu"
)


rule segment_organs:
    input:
        model_files,
        shard=f"{config['scans']}/{{shard}}.parquet",
        prepared=PREPARED,
    output:
        SEGMENTED,
    log:
        "logs/segment_organs/{shard}.log",
    # Without a GPU, shards side by side beat threads: half of the work runs on one.
    threads: 4 if SEGMENT_ON_GPU else 1
    resources:
        mem_mb=lambda wildcards, attempt: 16000 * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
        # `gpu`, never `gpus`: the slurm plugin asks sbatch for the former only.
        gpu=int(SEGMENT_ON_GPU),
    params:
        source=config["segment"]["source"],
        model=config["segment"]["model"],
        scheme=config["segment"]["scheme"],
        contrasts=config["segment"]["contrasts"],
        device=config["segment"]["device"],
        tile_step_size=config["segment"]["tile_step_size"],
        max_share=config["max_same_reason_share"],
    shell:
        "organome segment-organs --shard {input.shard:q}"
        " --images results/prepare_images/{wildcards.shard}"
        " --output results/segment_organs/{wildcards.shard}"
        " --work work/segment_organs/{wildcards.shard}"
        " --source {params.source} --model {params.model:q} --scheme {params.scheme}"
        " --contrasts {params.contrasts} --device {params.device}"
        " --tile-step-size {params.tile_step_size} --n-threads {threads}"
        " --max-same-reason-share {params.max_share} > {log:q} 2>&1"

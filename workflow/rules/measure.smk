rule measure_volumes:
    input:
        shard=f"{config['scans']}/{{shard}}.parquet",
        prepared=PREPARED,
        segmented=SEGMENTED,
    output:
        MEASURED,
    log:
        "logs/measure_volumes/{shard}.log",
    threads: n_processes("measure_volumes")
    resources:
        mem_mb=mem_mb("measure_volumes"),
        runtime=runtime("measure_volumes"),
        slurm_extra=without_broken_nodes,
    params:
        max_share=config["max_same_reason_share"],
    shell:
        "organome measure-volumes --shard {input.shard:q}"
        " --images results/prepare_images/{wildcards.shard}"
        " --labelmaps results/segment_organs/{wildcards.shard}"
        " --output results/measure_volumes/{wildcards.shard}"
        " --work work/measure_volumes/{wildcards.shard}"
        " --n-processes {threads}"
        " --max-same-reason-share {params.max_share} > {log:q} 2>&1"

rule prepare_images:
    input:
        shard=f"{config['scans']}/{{shard}}.parquet",
    output:
        PREPARED if config["keep_images"] else temp(directory(PREPARED)),
    log:
        "logs/prepare_images/{shard}.log",
    threads: n_processes("prepare_images")
    resources:
        mem_mb=mem_mb("prepare_images"),
        runtime=runtime("prepare_images"),
        slurm_extra=without_broken_nodes,
    params:
        kind=config["cohort"]["kind"],
        root=config["cohort"]["root"],
        stations=config["stations"],
        contrasts=config["prepare"]["contrasts"],
        max_share=config["max_same_reason_share"],
    shell:
        "organome prepare-images --shard {input.shard:q}"
        " --output results/prepare_images/{wildcards.shard}"
        " --work work/prepare_images/{wildcards.shard}"
        " --kind {params.kind} --root {params.root:q} --stations {params.stations} --contrasts {params.contrasts}"
        " --n-processes {threads}"
        " --max-same-reason-share {params.max_share} > {log:q} 2>&1"

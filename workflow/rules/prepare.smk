rule prepare_images:
    input:
        shard=f"{config['scans']}/{{shard}}.parquet",
    output:
        PREPARED if config["keep_images"] else temp(directory(PREPARED)),
    log:
        "logs/prepare_images/{shard}.log",
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
    params:
        kind=config["cohort"]["kind"],
        unit=config["unit"],
        contrasts=config["prepare"]["contrasts"],
        max_share=config["max_same_reason_share"],
    shell:
        "organome prepare-images --shard {input.shard:q}"
        " --output results/prepare_images/{wildcards.shard}"
        " --work work/prepare_images/{wildcards.shard}"
        " --kind {params.kind} --unit {params.unit} --contrasts {params.contrasts}"
        " --max-same-reason-share {params.max_share} > {log:q} 2>&1"

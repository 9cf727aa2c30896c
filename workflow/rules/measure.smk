rule measure_volumes:
    input:
        shard=f"{config['scans']}/{{shard}}.parquet",
        prepared=PREPARED,
        segmented=SEGMENTED,
    output:
        MEASURED,
    log:
        "logs/measure_volumes/{shard}.log",
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        max_share=config["max_same_reason_share"],
    shell:
        "organome measure-volumes --shard {input.shard:q}"
        " --images results/prepare_images/{wildcards.shard}"
        " --labelmaps results/segment_organs/{wildcards.shard}"
        " --output results/measure_volumes/{wildcards.shard}"
        " --work work/measure_volumes/{wildcards.shard}"
        " --max-same-reason-share {params.max_share} > {log:q} 2>&1"

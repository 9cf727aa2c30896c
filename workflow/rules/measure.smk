# Takes results/prepare_images/{shard}/ and results/segment_organs/{shard}/
# Makes results/measure_volumes/{shard}/: the rows of organs and scans, and the ledger


rule measure_volumes:
    """Measure the organs of a shard."""
    input:
        shard="scans/{shard}.parquet",
        prepared=PREPARED,
        segmented=SEGMENTED,
    output:
        MEASURED,
    log:
        "logs/measure_volumes/{shard}.log",
    benchmark:
        "logs/benchmarks/measure_volumes/{shard}.tsv"
    priority: 3
    threads: lambda wildcards: n_processes("measure_volumes")
    resources:
        mem_mb=mem_mb("measure_volumes"),
        runtime=runtime("measure_volumes"),
        slurm_extra=without_broken_nodes,
        shards_in_flight=1,
    params:
        max_share=uncompared(config["max_same_reason_share"]),
    shell:
        "organome measure-volumes --shard={input.shard:q}"
        " --images=results/prepare_images/{wildcards.shard}"
        " --labelmaps=results/segment_organs/{wildcards.shard}"
        " --output=results/measure_volumes/{wildcards.shard}"
        " --work=work/measure_volumes/{wildcards.shard} --n-processes={threads}"
        " --max-same-reason-share={params.max_share:q} > {log:q} 2>&1"

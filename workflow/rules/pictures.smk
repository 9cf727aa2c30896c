# Takes results/prepare_images/{shard}/ and results/segment_organs/{shard}/
# Makes results/draw_pictures/{shard}/: small pictures to judge scans by, and the ledger
#
# Beside measure_volumes, while the images are there. No table is made from pictures.


rule draw_pictures:
    """Draw pictures of the scans of a shard."""
    input:
        shard="scans/{shard}.parquet",
        prepared=PREPARED,
        segmented=SEGMENTED,
    output:
        PICTURES,
    log:
        "logs/draw_pictures/{shard}.log",
    benchmark:
        "logs/benchmarks/draw_pictures/{shard}.tsv"
    priority: 2
    threads: lambda wildcards: n_processes("draw_pictures")
    resources:
        mem_mb=mem_mb("draw_pictures"),
        runtime=runtime("draw_pictures"),
        slurm_extra=without_broken_nodes,
        shards_in_flight=1,
    params:
        organs=compared(as_flag("--organs", config["pictures"]["organs"])),
        max_organs=compared(config["pictures"]["max_organs"]),
        max_share=uncompared(config["max_same_reason_share"]),
    shell:
        "organome draw-pictures --shard={input.shard:q}"
        " --images=results/prepare_images/{wildcards.shard}"
        " --labelmaps=results/segment_organs/{wildcards.shard}"
        " --output=results/draw_pictures/{wildcards.shard}"
        " --work=work/draw_pictures/{wildcards.shard}"
        " {params.organs:q} --max-organs={params.max_organs:q} --n-processes={threads}"
        " --max-same-reason-share={params.max_share:q} > {log:q} 2>&1"

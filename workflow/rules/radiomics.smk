# Takes results/prepare_images/{shard}/, results/segment_organs/{shard}/ and files of parameters
# Makes results/measure_radiomics/{shard}/: the rows of radiomics, and the ledger
#
# Beside measure_volumes, not after it: both need images and labelmaps only, so that other settings
# measure radiomics again and nothing else. Without any contrast in the configuration nobody asks
# for these jobs.


rule measure_radiomics:
    """Measure the radiomics features of a shard."""
    input:
        shard="scans/{shard}.parquet",
        prepared=PREPARED,
        segmented=SEGMENTED,
        # Files of a few lines: Snakemake compares what stands in them, not only when it was written.
        settings=lambda wildcards: list(PARAMETER_FILES.values()),
    output:
        RADIOMICS,
    log:
        "logs/measure_radiomics/{shard}.log",
    benchmark:
        "logs/benchmarks/measure_radiomics/{shard}.tsv"
    priority: 2
    threads: lambda wildcards: n_processes("measure_radiomics")
    resources:
        mem_mb=mem_mb("measure_radiomics"),
        runtime=runtime("measure_radiomics"),
        slurm_extra=without_broken_nodes,
        shards_in_flight=1,
    params:
        settings=compared(
            [f"{contrast}={path}" for contrast, path in PARAMETER_FILES.items()]
        ),
        engine=compared(config["radiomics"]["engine"]),
        max_share=uncompared(config["max_same_reason_share"]),
    shell:
        "organome measure-radiomics --shard={input.shard:q}"
        " --images=results/prepare_images/{wildcards.shard}"
        " --labelmaps=results/segment_organs/{wildcards.shard}"
        " --output=results/measure_radiomics/{wildcards.shard}"
        " --work=work/measure_radiomics/{wildcards.shard}"
        " --settings {params.settings:q} --engine={params.engine:q} --n-processes={threads}"
        " --max-same-reason-share={params.max_share:q} > {log:q} 2>&1"

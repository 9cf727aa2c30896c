# Takes scans/{shard}.parquet and the files of the cohort
# Makes results/prepare_images/{shard}/: checked images and the ledger


rule prepare_images:
    """Turn a shard's archives and files into checked images."""
    input:
        shard="scans/{shard}.parquet",
    output:
        PREPARED if config["keep_images"] else temp(PREPARED),
    log:
        "logs/prepare_images/{shard}.log",
    benchmark:
        "logs/benchmarks/prepare_images/{shard}.tsv"
    threads: lambda wildcards: n_processes("prepare_images")
    resources:
        mem_mb=mem_mb("prepare_images"),
        runtime=runtime("prepare_images"),
        slurm_extra=without_broken_nodes,
        shards_in_flight=1,
    params:
        kind=compared(config["cohort"]["kind"]),
        root=uncompared(config["cohort"]["root"]),
        stations=compared(config["stations"]),
        contrasts=compared(config["prepare"]["contrasts"]),
        missing_rescale=compared(config["prepare"]["missing_rescale"]),
        correct_swaps=compared(config["prepare"]["correct_swaps"]),
        orientation=compared(config["prepare"]["orientation"]),
        covariates=compared(as_flag("--covariates", config["cohort"]["covariates"])),
        readers=uncompared([] if config["keep_images"] else flags_of_readers()),
        max_share=uncompared(config["max_same_reason_share"]),
    shell:
        "organome prepare-images --shard={input.shard:q}"
        " --output=results/prepare_images/{wildcards.shard}"
        " --work=work/prepare_images/{wildcards.shard}"
        " --kind={params.kind:q} --root={params.root:q} --stations={params.stations:q}"
        " --contrasts {params.contrasts:q} --missing-rescale={params.missing_rescale:q}"
        " --correct-swaps={params.correct_swaps:q} --orientation={params.orientation:q}"
        " {params.covariates:q} {params.readers:q} --n-processes={threads}"
        " --max-same-reason-share={params.max_share:q} > {log:q} 2>&1"


# Only with `keep_images: false`. A declared folder of images would be another input of the steps
# that read them, and changing the setting would make every shard stale.
rule drop_images:
    """Delete the images of a shard that has been measured and drawn."""
    input:
        PREPARED,
        MEASURED,
        RADIOMICS if WITH_RADIOMICS else [],
        PICTURES if WITH_PICTURES else [],
    output:
        touch(DROPPED),
    log:
        "logs/drop_images/{shard}.log",
    benchmark:
        "logs/benchmarks/drop_images/{shard}.tsv"
    priority: 4
    localrule: True
    shell:
        "rm -rf results/prepare_images/{wildcards.shard} > {log:q} 2>&1"

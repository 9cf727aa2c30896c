# Beside measure_volumes, not after it: both need images and labelmaps only, so that other settings
# measure radiomics again and nothing else. Without any contrast in the configuration nobody asks
# for these jobs.


rule measure_radiomics:
    input:
        shard=f"{config['scans']}/{{shard}}.parquet",
        prepared=PREPARED,
        segmented=SEGMENTED,
        # Files of a few lines: Snakemake compares what stands in them, not only when it was written.
        settings=list(radiomics_files().values()),
    output:
        RADIOMICS,
    log:
        "logs/measure_radiomics/{shard}.log",
    threads: n_processes("measure_radiomics")
    resources:
        mem_mb=mem_mb("measure_radiomics"),
        runtime=runtime("measure_radiomics"),
        slurm_extra=without_broken_nodes,
    params:
        settings=[f"{contrast}={path}" for contrast, path in radiomics_files().items()],
        engine=config["radiomics"]["engine"],
        max_share=config["max_same_reason_share"],
    shell:
        "organome measure-radiomics --shard {input.shard:q}"
        " --images results/prepare_images/{wildcards.shard}"
        " --labelmaps results/segment_organs/{wildcards.shard}"
        " --output results/measure_radiomics/{wildcards.shard}"
        " --work work/measure_radiomics/{wildcards.shard}"
        " --settings {params.settings:q} --engine {params.engine}"
        " --n-processes {threads}"
        " --max-same-reason-share {params.max_share} > {log:q} 2>&1"

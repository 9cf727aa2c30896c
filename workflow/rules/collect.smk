# The folders go through a list file: ten thousand paths do not fit on a command line.

COLLECTION = config["resources"]["collect_tables"]


rule collect_tables:
    input:
        measured_ledgers,
        radiomics_ledgers,
    output:
        TABLES,
    log:
        "logs/collect_tables/collect_tables.log",
    threads: 2
    resources:
        mem_mb=lambda wildcards, attempt: round(COLLECTION["mem_gb"] * 1000) * attempt,
        # With jobs of its own it may wait an hour for the first of them.
        runtime=lambda wildcards, attempt: (
            (COLLECTION["runtime_min"] + 60 * bool(COLLECTION["jobs"])) * attempt
        ),
    params:
        scans=config["scans"],
        radiomics=(
            "--radiomics results/measure_radiomics"
            if config["radiomics"]["contrasts"]
            else ""
        ),
        where=where_to_collect,
    shell:
        "(organome list-measured --scans {params.scans:q} --results results/measure_volumes"
        " --output work/collect_tables/measured.txt &&"
        " organome collect-tables --measured work/collect_tables/measured.txt"
        " --output results/tables {params.radiomics} {params.where}) > {log:q} 2>&1"

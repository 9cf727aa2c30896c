# The folders go through a list file: ten thousand paths do not fit on a command line.


rule collect_tables:
    input:
        measured_ledgers,
    output:
        TABLES,
    log:
        "logs/collect_tables/collect_tables.log",
    threads: 2
    resources:
        mem_mb=lambda wildcards, attempt: 8000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        scans=config["scans"],
    shell:
        "(organome list-measured --scans {params.scans:q} --results results/measure_volumes"
        " --output work/collect_tables/measured.txt &&"
        " organome collect-tables --measured work/collect_tables/measured.txt"
        " --output results/tables) > {log:q} 2>&1"

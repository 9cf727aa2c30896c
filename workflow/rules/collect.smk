# Takes results/measure_volumes/*/ and, where it was measured, results/measure_radiomics/*/
# Makes results/tables/: the tables of the cohort and their dictionary


# Asked for by name while shards are left; `organome run` does when nothing else helps. No benchmark:
# where one lies, Snakemake takes a rule without output for done.
rule tables_so_far:
    """Collect the shards that are through; the scans of the others are rows without numbers."""
    log:
        "logs/collect_tables/tables_so_far.log",
    threads: 2
    resources:
        mem_mb=mem_mb("collect_tables"),
        runtime=runtime("collect_tables"),
        slurm_extra=without_broken_nodes,
    params:
        radiomics="--radiomics" if WITH_RADIOMICS else "",
        mixed_models=compared(config["mixed_models"]),
        where=where_to_collect,
    shell:
        "organome collect-tables --scans=scans --results=results --output=results/tables"
        " {params.radiomics} --mixed-models={params.mixed_models:q} --notes=work/collected_shards.json --n-workers={threads} {params.where} > {log:q} 2>&1"


use rule tables_so_far as collect_tables with:
    input:
        measured_ledgers,
        radiomics_ledgers,
    output:
        report(TABLES, caption="../report/tables.rst", category="Tables"),
    log:
        "logs/collect_tables/collect_tables.log",
    benchmark:
        "logs/benchmarks/collect_tables/collect_tables.tsv"

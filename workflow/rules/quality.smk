# Takes results/tables/, and what people wrote: participants, thresholds, ratings, exclusions
# Makes results/quality/: what is odd in the tables, norms and indices, changes between visits


rule check_quality:
    """Judge organs and scans, fit norms, index and score volumes, pair visits."""
    input:
        tables=TABLES,
        thresholds=THRESHOLDS,
        participants=named_file("participants"),
        ratings=hand_files("ratings"),
        exclusions=hand_files("exclusions"),
        norms=named_file("norms"),
        repeatability=named_file("repeatability"),
    output:
        report(QUALITY, caption="../report/quality.rst", category="Quality"),
    log:
        "logs/check_quality/check_quality.log",
    benchmark:
        "logs/benchmarks/check_quality/check_quality.tsv"
    resources:
        mem_mb=mem_mb("collect_tables"),
        runtime=runtime("collect_tables"),
        slurm_extra=without_broken_nodes,
    params:
        files=lambda wildcards, input: quality_flags(input),
    shell:
        "organome check-quality --tables=results/tables --output=results/quality"
        " --thresholds={input.thresholds:q} {params.files} > {log:q} 2>&1"

# Takes results/tables/, results/quality/, ratings, and results/draw_pictures/ where there are any
# Makes results/report/: pages to look at the cohort and to rate its scans; logs/job_costs.html


rule write_report:
    """Write the report: a start page, and pages of scans sorted by doubt."""
    input:
        tables=TABLES,
        quality=QUALITY,
        pictures=expand(PICTURES, shard=SHARDS) if WITH_PICTURES else [],
        ratings=hand_files("ratings"),
        repeatability=named_file("repeatability"),
    output:
        page=report(
            REPORT,
            caption="../report/report.rst",
            category="Report",
            labels={"what": "start page"},
        ),
        jobs=report(
            JOB_COSTS,
            caption="../report/job_costs.rst",
            category="Report",
            labels={"what": "cost of jobs"},
        ),
    log:
        "logs/write_report/write_report.log",
    benchmark:
        "logs/benchmarks/write_report/write_report.tsv"
    resources:
        mem_mb=mem_mb("collect_tables"),
        runtime=runtime("collect_tables"),
        slurm_extra=without_broken_nodes,
    params:
        ratings=lambda wildcards, input: shlex.join(
            f"--ratings={path}" for path in input.ratings
        ),
        repeatability=lambda wildcards, input: shlex.join(
            f"--repeatability={path}" for path in input.repeatability
        ),
    shell:
        "organome write-report . --output=results/report --jobs={output.jobs:q}"
        " {params.ratings} {params.repeatability}"
        " > {log:q} 2>&1"

# Takes results/segment_organs/{shard}/ and the references of config["evaluate"]
# Makes results/evaluate_labels/{shard}/ and results/evaluation/: metrics, tables and figures
#
# Not part of the cohort's tables: asked for by name, `snakemake evaluate`.


rule evaluate:
    """Compare the labelmaps with references; tables and figures of the paper."""
    input:
        EVALUATION,
    localrule: True


rule evaluate_labels:
    """Compare the labelmaps of a shard with references."""
    input:
        shard="scans/{shard}.parquet",
        segmented=SEGMENTED,
        references=references,
    output:
        EVALUATED,
    log:
        "logs/evaluate_labels/{shard}.log",
    benchmark:
        "logs/benchmarks/evaluate_labels/{shard}.tsv"
    priority: 2
    threads: lambda wildcards: n_processes("evaluate_labels")
    resources:
        mem_mb=mem_mb("evaluate_labels"),
        runtime=runtime("evaluate_labels"),
        slurm_extra=without_broken_nodes,
        shards_in_flight=1,
    params:
        profile=compared(config["evaluate"]["profile"]),
        tolerance_mm=compared(config["evaluate"]["tolerance_mm"]),
        max_share=uncompared(config["max_same_reason_share"]),
    shell:
        "organome evaluate-labels --shard={input.shard:q}"
        " --labelmaps=results/segment_organs/{wildcards.shard}"
        " --references={input.references:q}"
        " --output=results/evaluate_labels/{wildcards.shard}"
        " --work=work/evaluate_labels/{wildcards.shard}"
        " --profile={params.profile:q} --tolerance-mm={params.tolerance_mm:q}"
        " --n-processes={threads}"
        " --max-same-reason-share={params.max_share:q} > {log:q} 2>&1"


rule write_evaluation:
    """Write the tables and figures of the evaluation, the paper's figures beside them."""
    input:
        evaluated=evaluated_ledgers,
        references=references,
        published=PUBLISHED,
    output:
        EVALUATION,
    log:
        "logs/write_evaluation/write_evaluation.log",
    benchmark:
        "logs/benchmarks/write_evaluation/write_evaluation.tsv"
    resources:
        mem_mb=8000,
        runtime=60,
        slurm_extra=without_broken_nodes,
    params:
        profile=compared(config["evaluate"]["profile"]),
        tolerance_mm=compared(config["evaluate"]["tolerance_mm"]),
        n_bootstrap=compared(config["evaluate"]["n_bootstrap"]),
        seed=compared(config["evaluate"]["seed"]),
        overlays=compared(config["evaluate"]["overlays"]),
    shell:
        "organome write-evaluation --scans=scans --results=results"
        " --references={input.references:q} --published={input.published:q}"
        " --output=results/evaluation"
        " --profile={params.profile:q} --tolerance-mm={params.tolerance_mm:q}"
        " --n-bootstrap={params.n_bootstrap:q} --seed={params.seed:q}"
        " --overlays={params.overlays:q} > {log:q} 2>&1"

# Takes results/tables/, the images and the labelmaps
# Makes a round in the folder annotate.output: what an annotator gets


# Asked for by name. No output and no benchmark: each call begins a round, unless one waits for labels.
rule annotate:
    """Begin a round: choose scans and write them for MONAI Label and 3D Slicer."""
    input:
        TABLES,
    log:
        "logs/annotate/annotate.log",
    localrule: True
    params:
        output=uncompared(config["annotate"]["output"]),
        n=uncompared(config["annotate"]["n"]),
        strategy=uncompared(config["annotate"]["strategy"]),
        seed=uncompared(config["annotate"]["seed"]),
    shell:
        "organome annotate export --run=. --output={params.output:q} --n={params.n}"
        " --strategy={params.strategy:q} --seed={params.seed} > {log:q} 2>&1"

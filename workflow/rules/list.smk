# Not part of the pipeline: asked for by name, before it. As a step of the pipeline, one new
# participant would make every shard stale.


rule list_scans:
    log:
        "logs/list_scans/list_scans.log",
    localrule: True
    params:
        cohort=config["cohort"],
        scans=config["scans"],
        shard_size=config["shard_size"],
        stations=config["stations"],
    shell:
        "organome list-scans --kind {params.cohort[kind]} --cohort {params.cohort[name]:q}"
        " --root {params.cohort[root]:q} --scans {params.scans:q} --shard-size {params.shard_size}"
        " --stations {params.stations} --protocols {params.cohort[protocols]:q}"
        " 2>&1 | tee {log:q}"

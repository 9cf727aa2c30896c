# Takes the cohort as delivered
# Makes scans/NNNN.parquet, the sample sheet, one file a shard
#
# Not part of the pipeline: asked for by name, before it. As a step of the pipeline, one new
# participant would make every shard stale. No benchmark: where one lies, Snakemake takes a rule without
# output for done.


rule list_scans:
    """Deal the scans of the cohort to shards."""
    log:
        "logs/list_scans/list_scans.log",
    localrule: True
    params:
        kind=uncompared(config["cohort"]["kind"]),
        name=uncompared(config["cohort"]["name"]),
        root=uncompared(config["cohort"]["root"]),
        protocols=uncompared(config["cohort"]["protocols"]),
        shard_size=uncompared(config["shard_size"]),
        stations=uncompared(config["stations"]),
        first_chunk=uncompared(config["cohort"]["first_chunk"]),
        n_stations=uncompared(config["cohort"]["n_stations"]),
        check=uncompared(config["cohort"]["check_files"]),
    shell:
        "organome list-scans --kind={params.kind:q} --cohort={params.name:q}"
        " --root={params.root:q} --scans=scans --shard-size={params.shard_size:q}"
        " --stations={params.stations:q} --first-chunk={params.first_chunk:q}"
        " --n-stations={params.n_stations:q} --check={params.check:q}"
        " --protocols {params.protocols:q}"
        " 2>&1 | tee {log:q}"

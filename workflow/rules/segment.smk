# Takes results/prepare_images/{shard}/ and the model
# Makes results/segment_organs/{shard}/: labelmaps on the grid of the images, and the ledger


# The run is bound to the model that it started with: a job that finds another one refuses it.
rule pin_model:
    """Note the digest of the model."""
    input:
        model_files,
    output:
        PINNED_MODEL,
    log:
        "logs/pin_model/pin_model.log",
    benchmark:
        "logs/benchmarks/pin_model/pin_model.tsv"
    localrule: True
    params:
        model=compared(config["segment"]["model"]),
        root=uncompared(config["cohort"]["root"]),
        allow_phantom_model=uncompared(config["segment"]["allow_phantom_model"]),
    shell:
        "organome pin-model --model={params.model:q} --output={output:q} --root={params.root:q}"
        " --allow-phantom-model={params.allow_phantom_model:q} > {log:q} 2>&1"


rule segment_organs:
    """Turn a shard's images into labelmaps; first, this kind of machine proves that it can."""
    input:
        shard="scans/{shard}.parquet",
        prepared=PREPARED,
        model=pinned_model,
        scheme=scheme_file,
    output:
        SEGMENTED,
    log:
        "logs/segment_organs/{shard}.log",
    benchmark:
        "logs/benchmarks/segment_organs/{shard}.tsv"
    priority: 1
    threads: segment_threads
    resources:
        mem_mb=mem_mb("segment_organs"),
        runtime=runtime("segment_organs"),
        # `gpu`, never `gpus`: the slurm plugin asks sbatch for the former only.
        gpu=n_gpus,
        nodes=1,
        slurm_extra=without_broken_nodes,
        shards_in_flight=1,
    params:
        root=uncompared(config["cohort"]["root"]),
        source=compared(config["segment"]["source"]),
        model=compared(config["segment"]["model"]),
        only_model=f"--model-digest={PINNED_MODEL}" if WITH_MODEL else "",
        scheme=compared(config["segment"]["scheme"]),
        contrasts=compared(config["segment"]["contrasts"]),
        combine=compared(config["segment"]["combine"]),
        fold_agreement=compared(config["segment"]["fold_agreement"]),
        repair_sides=compared(config["segment"]["repair_sides"]),
        transform=compared(transform_flag()),
        orientation=compared(config["prepare"]["orientation"]),
        tile_step_size=compared(config["segment"]["tile_step_size"]),
        precision=compared(precision_flag()),
        tile_batch=uncompared(config["segment"]["tile_batch"]),
        channels_last=uncompared(config["segment"]["channels_last"]),
        cuda_graphs=uncompared(config["segment"]["cuda_graphs"]),
        device=uncompared(config["segment"]["device"]),
        canary=uncompared(config["segment"]["canary"] if WITH_MODEL else ""),
        pack=uncompared(config["segment"]["pack"]),
        n_processes=processes_per_gpu,
        n_gpus=uncompared(config["resources"]["segment_organs"]["gpus"]),
        max_scan_min=uncompared(config["resources"]["segment_organs"]["max_scan_min"]),
        max_share=uncompared(config["max_same_reason_share"]),
    shell:
        "(if [ x{params.canary:q} != x ]; then"
        " organome check-canary --canary={params.canary:q} --checks=work/canary"
        " --model={params.model:q} {params.only_model} --scheme={params.scheme:q}"
        " --device={params.device:q} --tile-step-size={params.tile_step_size:q}"
        f" {{params.precision:q}} --n-threads={NETWORK_THREADS} || exit $?; fi;"
        " organome segment-organs --shard={input.shard:q}"
        " --images=results/prepare_images/{wildcards.shard}"
        " --output=results/segment_organs/{wildcards.shard}"
        " --work=work/segment_organs/{wildcards.shard} --root={params.root:q}"
        " --source={params.source:q} --model={params.model:q} {params.only_model}"
        " --scheme={params.scheme:q} --contrasts {params.contrasts:q}"
        " --combine={params.combine:q} --fold-agreement={params.fold_agreement:q}"
        " --repair-sides={params.repair_sides:q} --orientation={params.orientation:q}"
        " {params.transform:q} {params.precision:q}"
        " --tile-batch={params.tile_batch:q} --channels-last={params.channels_last:q}"
        " --cuda-graphs={params.cuda_graphs:q} --device={params.device:q}"
        f" --tile-step-size={{params.tile_step_size:q}} --n-threads={NETWORK_THREADS}"
        " --n-processes={params.n_processes} --n-gpus={params.n_gpus:q}"
        " --max-scan-min={params.max_scan_min:q} --pack={params.pack:q}"
        " --max-same-reason-share={params.max_share:q}) > {log:q} 2>&1"

# Takes the datasets that the configuration names
# Makes results/models/<name>/, the model, and results/cross_validation/, the cases each labelled by
# the fold that did not see it (unless it starts from a model); cases.parquet and test/ on the way
#
# Instead of the rules of a cohort, where the configuration has the key `train`. What nnU-Net leaves
# lies in work/nnunet and is no declared output: Snakemake deletes the outputs of a job that it starts
# again, and a fold goes on from its checkpoint.

import json

TRAIN, PLAN, ASKED = config["train"], config["plan"], config["resources"]
CASES = "cases.parquet"
RAW = "work/nnunet/raw/Dataset001_Organome/dataset.json"
PLANNED = "results/plan.json"
FOLD = "results/folds/{fold}.json"
FOLDS = expand(FOLD, fold=range(TRAIN["n_folds"]))
MODEL = f"results/models/{TRAIN['name']}/training.json"
# A fold that learned from everybody has nobody to be validated on; of folds that start from a model
# nobody knows here whom it learned from.
IS_VALIDATED = TRAIN["n_folds"] > 1 and "start_from" not in TRAIN
VALIDATED = ["results/cross_validation/references.tsv"] * IS_VALIDATED
LISTED_FROM = workflow.configfiles[-1] if workflow.configfiles else "config.yaml"


wildcard_constraints:
    fold=r"\d+",


rule list_cases:
    """List the images and references of all datasets.

    Once: what comes later would have folds begin anew. `--forcerun list_cases` takes it.
    """
    input:
        LISTED_FROM,
    output:
        CASES,
    log:
        "logs/list_cases/list_cases.log",
    benchmark:
        "logs/benchmarks/list_cases/list_cases.tsv"
    localrule: True
    shell:
        "organome list-cases --datasets={input:q} --output=. > {log:q} 2>&1"


rule build_dataset:
    """Write nnU-Net's dataset, and deal people to folds."""
    input:
        CASES,
    output:
        RAW,
    log:
        "logs/build_dataset/build_dataset.log",
    benchmark:
        "logs/benchmarks/build_dataset/build_dataset.tsv"
    threads: ASKED["processes"]
    resources:
        mem_mb=round(ASKED["mem_gb"] * 1000),
        runtime=ASKED["runtime_min"],
    params:
        modalities=compared(config["modalities"]),
        n_folds=compared(TRAIN["n_folds"]),
        seed=compared(TRAIN["seed"]),
    shell:
        "organome build-dataset --cases={input:q} --output=work/nnunet"
        " --modalities {params.modalities:q} --n-folds={params.n_folds} --seed={params.seed}"
        " --n-processes={threads} > {log:q} 2>&1"


rule plan_training:
    """Have nnU-Net plan, and prepare the images."""
    input:
        RAW,
    output:
        PLANNED,
    log:
        "logs/plan_training/plan_training.log",
    benchmark:
        "logs/benchmarks/plan_training/plan_training.tsv"
    threads: ASKED["processes"]
    resources:
        mem_mb=round(ASKED["mem_gb"] * 1000),
        runtime=ASKED["runtime_min"],
    params:
        plan=compared(plan_flags(PLAN)),
        start_from=compared(start_flag(TRAIN)),
    shell:
        "organome plan-training --folders=work/nnunet --output={output:q} {params.plan}"
        " {params.start_from}"
        " --n-processes={threads} > {log:q} 2>&1"


rule train_fold:
    """Train a fold, or go on with it: killed or preempted, it has lost an epoch at most."""
    input:
        cases=CASES,
        plan=PLANNED,
    output:
        FOLD,
    log:
        "logs/train_fold/{fold}.log",
    benchmark:
        "logs/benchmarks/train_fold/{fold}.tsv"
    threads: ASKED["processes"]
    resources:
        mem_mb=round(ASKED["mem_gb"] * 1000),
        runtime=ASKED["runtime_min"],
        # `gpu`, never `gpus`: the slurm plugin asks sbatch for the former only.
        gpu=gpus_of_fold,
        nodes=1,
    params:
        n_epochs=compared(TRAIN["n_epochs"]),
        n_iterations=compared(TRAIN["n_iterations"]),
        n_val_iterations=compared(TRAIN["n_val_iterations"]),
        initial_lr=compared(TRAIN["initial_lr"]),
        augmentation=compared(TRAIN["augmentation"]),
        start_from=compared(start_flag(TRAIN)),
        device=uncompared(TRAIN["device"]),
    shell:
        # SLURM's warning goes to the job's shell: exec has the step hear it.
        "exec organome train-fold --cases={input.cases:q} --folders=work/nnunet"
        " --fold={wildcards.fold} --output={output:q} --n-epochs={params.n_epochs}"
        " --n-iterations={params.n_iterations} --n-val-iterations={params.n_val_iterations}"
        " --initial-lr={params.initial_lr} --augmentation={params.augmentation} {params.start_from}"
        " --device={params.device} --n-processes={threads} >> {log:q} 2>&1"


rule bundle_model:
    """Bundle the folds to a model that can be installed."""
    input:
        cases=CASES,
        folds=FOLDS,
    output:
        MODEL,
        VALIDATED,
    log:
        "logs/bundle_model/bundle_model.log",
    benchmark:
        "logs/benchmarks/bundle_model/bundle_model.tsv"
    localrule: True
    params:
        folder=lambda wildcards, output: str(Path(output[0]).parent),
        name=compared(TRAIN["name"]),
        licence=compared(TRAIN["licence"]),
        tier=compared(TRAIN["tier"]),
        settings=compared(
            json.dumps(
                {"train": TRAIN, "plan": PLAN, "modalities": config["modalities"]}
            )
        ),
    shell:
        "organome bundle-model --cases={input.cases:q} --folders=work/nnunet"
        " --folds {input.folds:q} --output={params.folder:q}"
        " --cross-validation=results/cross_validation --name={params.name:q}"
        " --licence={params.licence:q} --tier={params.tier:q} --settings={params.settings:q}"
        " > {log:q} 2>&1"

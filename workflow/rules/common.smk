# Where the steps leave their results, and what cannot be said in a rule.
#
# A shard's output is declared by its ledger, not by its folder: Snakemake deletes the declared
# outputs of a job that it starts again, and the rest of the folder is what the step resumes from.

PREPARED = "results/prepare_images/{shard}/ledger.parquet"
SEGMENTED = "results/segment_organs/{shard}/ledger.parquet"
MEASURED = "results/measure_volumes/{shard}/ledger.parquet"
TABLES = "results/tables/dictionary.json"

if not config["keep_images"]:
    PREPARED = "results/prepare_images/{shard}"


def model_files(_wildcards):
    """Name the files of the model, so that a new model makes the labelmaps stale."""
    if config["segment"]["source"] != "model":
        return []
    model = Path(config["segment"]["model"])
    weights = sorted(model.glob("fold_*/checkpoint_final.pth"))
    return [model / "plans.json", model / "dataset.json", *weights]


def measured_ledgers(_wildcards):
    """Name the ledgers of all shards."""
    if not SHARDS:
        raise WorkflowError(
            f"no shards in {config['scans']}/: list the scans first (snakemake list_scans)"
        )
    return expand(MEASURED, shard=SHARDS)

# Organome: scans in, tables out. One shard (some hundred scans) is one job of each rule.
#
#   snakemake list_scans --configfile config/ukb.yaml      deal the cohort's scans to shards
#   snakemake --configfile config/ukb.yaml                 bring all shards through, collect the tables
#   snakemake tables_so_far --configfile config/ukb.yaml   collect what is there, with shards left
#   snakemake evaluate --configfile config/evaluate.yaml   compare labelmaps with references
#   snakemake annotate --configfile config/ukb.yaml        choose scans for an annotator
#   snakemake train --configfile config/train/phantoms.yaml    train a model by nnU-Net
#
# All paths are relative to the run folder (--directory, else where you stand). A config.yaml that
# lies in the run folder is read without being named.

import shutil
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.utils import min_version, validate

from organome.domain.errors import SetupError
from organome.io.configs import find_mistake, read_schema
from organome.io.models.places import locate_model
from organome.io.tables.withdrawn import check_none_pending

min_version("9.3")


# Used only when asked for (--software-deployment-method apptainer); see envs/.
container: str(Path(workflow.basedir) / "envs" / "organome.sif")


if Path("config.yaml").exists():

    configfile: "config.yaml"


# A training has a configuration, a schema and rules of its own.
KIND = "train" if "train" in config else "config"
SCHEMA = Path(workflow.basedir) / "workflow" / "schemas" / f"{KIND}.schema.yaml"
if mistake := find_mistake(config, read_schema(SCHEMA)):
    raise WorkflowError(mistake)
validate(config, str(SCHEMA))  # fills in the defaults


include: "workflow/rules/settings.smk"


# The model that is asked for by name, as a folder: jobs find it wherever they run.
try:
    check_none_pending(Path("scans"))
    if KIND == "train" and "start_from" in config["train"]:
        config["train"]["start_from"] = str(locate_model(config["train"]["start_from"]))
    if KIND == "config" and config["segment"]["source"] == "model":
        config["segment"]["model"] = str(locate_model(config["segment"]["model"]))
except SetupError as error:
    raise WorkflowError(str(error)) from None


if KIND == "train":

    include: "workflow/rules/train.smk"

    rule train:
        """Train all folds and bundle the model."""
        default_target: True
        input:
            MODEL,

else:
    # Names only: every job parses this file again, so the rows of the sample sheet are never read here.
    SHARDS = sorted(path.stem for path in Path("scans").glob("[0-9]*.parquet"))

    wildcard_constraints:
        shard=r"\d\d\d\d+",

    include: "workflow/rules/common.smk"
    include: "workflow/rules/list.smk"
    include: "workflow/rules/prepare.smk"
    include: "workflow/rules/segment.smk"
    include: "workflow/rules/measure.smk"
    include: "workflow/rules/radiomics.smk"
    include: "workflow/rules/pictures.smk"
    include: "workflow/rules/collect.smk"
    include: "workflow/rules/quality.smk"
    include: "workflow/rules/report.smk"
    include: "workflow/rules/evaluate.smk"
    include: "workflow/rules/annotate.smk"

    rule all:
        """Bring all shards through, collect the tables, check their quality and write the report."""
        default_target: True
        input:
            TABLES,
            QUALITY,
            REPORT,
            # Named although the tables are made from them: Snakemake does not miss what nobody asks for.
            expand(MEASURED, shard=SHARDS),
            expand(SEGMENTED, shard=SHARDS),
            radiomics_ledgers,
            expand(PICTURES, shard=SHARDS) if WITH_PICTURES else [],
            expand(DROPPED, shard=SHARDS) if not config["keep_images"] else [],


onstart:
    # What ended the jobs of an earlier run says nothing about the memory that these need.
    shutil.rmtree("work/failures", ignore_errors=True)


onerror:
    if KIND == "config":
        print("Shards are left. Tables of what is there: snakemake tables_so_far")

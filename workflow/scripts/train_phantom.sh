#!/usr/bin/env bash
# Train models/phantom on from what it is, and test it on phantoms that it has not seen; `make train-phantom`
# calls it:
#   workflow/scripts/train_phantom.sh FOLDER
#
# Started again, it goes on where it was. The model in models/phantom is replaced at the end, with the
# evaluation in its card.
set -euo pipefail
folder=$1

# make_set NAME SEED FLAGS...
make_set() {
  organome make-phantoms --preset tiny --formats nifti --n-repeats 0 --defects --reduce 1 \
    --seed "$2" --output "$folder/$1" "${@:3}" > /dev/null
}

make_set phantoms 101 --n-participants 60 --n-ct 60
make_set more_ct 103 --n-participants 1 --n-ct 120
make_set unseen 102 --n-participants 12 --n-ct 12
mkdir -p "$folder/train" "$folder/test"
# The model that it starts from, as it was at the beginning: it is replaced below.
[ -e "$folder/start" ] || cp -r models/phantom "$folder/start"
sed 's|start_from: phantom|start_from: ../start|' config/train/phantoms.yaml > "$folder/train/config.yaml"
organome run "$folder/train" -- --cores 2
rm -rf "$folder/models"
organome install-model "$folder/train/results/models/phantom" --models "$folder/models" --scheme mrsegmentator
cp config/method/phantom_model.yaml "$folder/test/config.yaml"
organome run "$folder/test" -- --cores 2
snakemake evaluate --directory "$folder/test" --cores 2
rm -rf models/phantom
cp -r "$folder/train/results/models/phantom" models/phantom
python - "$folder/test/results/evaluation/tables" >> models/phantom/README.md << 'PYTHON'
"""Print what the card says of an evaluation: mean Dice by sequence, Dice and error of volume by organ."""
import sys
from pathlib import Path

import pandas as pd

sequences, classes, volumes = (
    pd.read_csv(Path(sys.argv[1], f"{name}.csv")) for name in ("sequences", "classes", "volumes")
)
print("\n## On phantoms that it has not seen\n")
print("12 bodies with MRI and 12 with CT, labelled as a cohort with `tile_step_size: 0.75`, compared by `snakemake evaluate`.")
print("Mean Dice, macro over organs; organs that were missed or falsely added count 0:\n")
print("| set | scans | Dice | missed | falsely added |\n|---|---|---|---|---|")
for one in sequences[sequences["metric"] == "dice"].itertuples():
    print(f"| {one.set} | {one.n_scans} | {one.mean:.3f} | {one.n_missed} | {one.n_falsely_added} |")
print("\nMean Dice, and median error of the volume in per cent of the true one:\n")
found = classes.merge(volumes, on=["set", "organ"])
sets = list(dict.fromkeys(found["set"]))
print("| organ |", " | ".join(f"{one}: Dice | error %" for one in sets), "|")
print("|---" * (1 + 2 * len(sets)) + "|")
for organ, of_organ in found.groupby("organ", sort=False):
    cells = [f"{one.dice:.2f} | {one.median_error_pct:+.1f}" for one in of_organ.itertuples()]
    print(f"| {organ} | {' | '.join(cells)} |")
PYTHON

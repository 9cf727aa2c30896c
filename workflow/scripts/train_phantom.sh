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
tables=$folder/test/results/evaluation/tables
{
  printf '\n## On phantoms that it has not seen\n\n24 bodies (12 with MRI, 12 with CT), labelled as a cohort and compared by `snakemake evaluate`.\n'
  for table in sequences classes volumes; do printf '\n'; cat "$tables/$table.md"; done
} >> models/phantom/README.md

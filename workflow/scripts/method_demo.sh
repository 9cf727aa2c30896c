#!/usr/bin/env bash
# The method itself on phantoms; `make method-demo` and `make method-demo-small` call it:
#   workflow/scripts/method_demo.sh small|demo FOLDER N_ROUNDS N_A_ROUND FLAGS_OF_MAKE_PHANTOMS...
#
# Three sets of phantoms: `phantoms` have labels and train; `unseen` test every model and train none;
# `others` are what a model labels and an annotator corrects.
set -euo pipefail
size=$1 folder=$2 n_rounds=$3 n_scans=$4
shift 4

# make_set NAME SEED FLAGS...
make_set() {
  organome make-phantoms --preset tiny --formats nifti --n-repeats 0 --defects \
    --seed "$2" --output "$folder/$1" "${@:3}" > /dev/null
}

# install_model K: the model of the training `train_K`, as models_K/demo.
install_model() {
  rm -rf "$folder/models_$1"
  organome install-model "$folder/train_$1/results/models/demo" --models "$folder/models_$1" \
    --scheme mrsegmentator
}

# begin NAME K: a run folder NAME_K, with the configuration of NAME for the K-th model.
begin() {
  mkdir -p "$folder/$1_$2"
  sed "s/models_1/models_$2/" "config/method/$1.yaml" > "$folder/$1_$2/config.yaml"
}

# test_model K: label the unseen phantoms, compare with their truth.
test_model() {
  begin unseen "$1"
  organome run "$folder/unseen_$1" -- --cores 2
  snakemake evaluate --directory "$folder/unseen_$1" --cores 2
}

# correct ROUND: label the others by the ROUND-th model, correct some, train the next model on them, too.
correct() {
  local rounds=$folder/annotations next=$(($1 + 1))
  if [ ! -e "$folder/train_$next/config.yaml" ]; then
    begin others "$1"
    organome run "$folder/others_$1" -- --cores 2
    organome annotate export --run "$folder/others_$1" --output "$rounds" --n "$n_scans" --number "$1"
    organome dev annotator --rounds "$rounds" --truth "$folder/others/truth"
    organome annotate import --rounds "$rounds"
    organome annotate status --rounds "$rounds"
    organome annotate next --rounds "$rounds" --config "$folder/train_1/config.yaml" \
      --output "$folder/train_$next" --min-new "$n_scans" -- -- --cores 2
  fi
  organome run "$folder/train_$next" -- --cores 2
  install_model "$next"
}

make_set phantoms 1 "$@"
make_set unseen 2 --n-participants 2 --n-ct 1
# Enough for each round to have scans that no annotator has seen.
make_set others 3 --n-participants "$n_scans" --n-ct "$((n_scans * (n_rounds - 1) + 1))"
mkdir -p "$folder/train_1"
cp "config/method/train_$size.yaml" "$folder/train_1/config.yaml"
organome run "$folder/train_1" -- --cores 2
install_model 1
test_model 1
for ((round = 1; round <= n_rounds; round++)); do
  correct "$round"
  test_model $((round + 1))
done

echo
organome annotate status --rounds "$folder/annotations"
for ((k = 1; k <= n_rounds + 1; k++)); do
  echo "model $k on unseen phantoms: $folder/unseen_$k/results/evaluation/evaluation.md"
done

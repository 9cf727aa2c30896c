# One door to everything that is done with this repository; `make help` lists it.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# Python without its compiled files takes half as long again for every job of a small run.
unexport PYTHONDONTWRITEBYTECODE
STAMP := .venv/.installed

.PHONY: help setup demo demo-score method-demo method-demo-small check format test test-slow test-workflow test-browser test-slurm campaign fuzz soak parity bench bench-overhead bench-scan bench-segmentation bench-gpu bench-radiomics bench-report docs docs-pages pictures lock train-phantom clean

help: ## list what can be made
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 16

setup: $(STAMP) ## install into .venv what is tested (envs/constraints.txt)

$(STAMP): pyproject.toml envs/constraints.txt envs/install_pyradiomics.sh
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Organome needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1)." >&2; \
	  echo "Name another one: make setup PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "Installing into .venv (some minutes, about 2 GB; more where torch comes with CUDA)"
	@$(PYTHON) -m venv .venv
	@# One resolver run for everything: a second one would replace torch by another build.
	@.venv/bin/python -m pip install --disable-pip-version-check --quiet \
	  --constraint envs/constraints.txt --editable '.[dev]'
	@# Exit code 3: the script names what is missing, and everything else works without.
	@envs/install_pyradiomics.sh .venv/bin/python || [ $$? -eq 3 ]
	@echo "Compiling loops for this processor (a minute)"
	@.venv/bin/organome dev compile-kernels
	@touch $@

demo: setup ## run the main job on a phantom cohort, in demo/
	@organome make-phantoms --preset demo --output demo/cohort
	@mkdir -p demo/run demo/run_ct
	@cp config/demo.yaml demo/run/config.yaml
	@cp config/demo_ct.yaml demo/run_ct/config.yaml
	@organome run demo/run -- --cores 2
	@organome run demo/run_ct -- --cores 2
	@echo; echo "Volumes in mL; a dash where there is no number, and the reason beside it:"
	@organome show-table demo/run/results/tables/visits --n-rows 30 --columns participant \
	  instance n_scans_done liver_volume_ml liver_na_reason spleen_volume_ml left_kidney_volume_ml
	@echo; echo "Scans that failed:"
	@organome show-table demo/run/results/tables/scans --where status=failed \
	  --columns scan participant instance failed_step reason
	@echo; echo "Radiomics of livers (three of 107 features), fat fraction in percent:"
	@organome show-table demo/run/results/tables/radiomics --n-rows 5 \
	  --where organ=liver contrast=fat_fraction --columns participant instance n_voxels na_reason \
	  original_firstorder_Mean original_glcm_Contrast original_shape_Sphericity
	@echo; echo "Where to look:"
	@echo "  demo/run/results/tables/        scans, organs, visits, radiomics (Parquet), dictionary.json"
	@echo "  demo/run_ct/results/tables/     the same for the CT scans"
	@echo "  demo/run/results/segment_organs/  labelmaps"
	@echo "  make demo-score                 how close this is to the truth"

demo-score: ## compare the demo with the truth of its phantoms
	@organome dev score-phantoms --truth demo/cohort/truth \
	  --results demo/run/results demo/run_ct/results

method-demo: setup ## the method on phantoms: train five folds, test, two rounds of annotation
	@workflow/scripts/method_demo.sh demo demo/method 2 3 --n-participants 4 --n-ct 2

method-demo-small: setup ## the same in minutes with one round, to see that it works
	@workflow/scripts/method_demo.sh small demo/method_small 1 2 --n-participants 2 --n-ct 1

check: setup ## style, types, floors, workflow
	ruff check .
	ruff format --check .
	mypy
	lint-imports
	snakefmt --check Snakefile workflow
	snakemake --lint --configfile config/demo.yaml
	snakemake --lint --configfile config/train/phantoms.yaml

format: setup ## bring the code into shape
	ruff check --fix .
	ruff format .
	snakefmt Snakefile workflow

# Three at a time on two cores, because many wait for processes and clocks. What a module shares is made once,
# because its tests stay together; the longest modules begin, so that all end together. The slow ones share little.
PYTEST := pytest -n 3 --durations=12
# Three that each take all cores get in each other's way.
test test-slow test-workflow: export OMP_NUM_THREADS := 1
BY_MODULE := --dist loadscope --no-loadscope-reorder
SUITES := tests/unit/steps tests/workflow $(wildcard tests/reports) tests/unit

test: setup ## unit, workflow and report tests
	$(PYTEST) $(BY_MODULE) $(SUITES) -m "not slow and not fuzz and not slurm and not gpu"

test-slow: setup ## tests that take longer than ten seconds each
	$(PYTEST) --dist worksteal $(SUITES) -m "slow and not slurm and not gpu"

test-workflow: setup ## small cohorts through the real workflow
	$(PYTEST) $(BY_MODULE) tests/workflow -m "not slurm and not gpu"

test-browser: setup ## the report in Debian's chromium
	@tests/browser/install.sh
	pytest tests/browser -m browser

# They wait more than they work, so there are more of them than cores; each has its own cluster.
test-slurm: setup ## the demo and planted faults on SLURM clusters of their own (root)
	@tests/slurm/install.sh
	pytest -n 3 --dist load --maxschedchunk 1 tests/slurm -m slurm

CAMPAIGN ?= --seed 1
campaign: setup ## kill and damage whole runs, hundreds of times (an hour)
	@cd tests && python -m campaigns $(CAMPAIGN)

FUZZ ?= --n 2000 --seed 1
fuzz: setup ## damage files at every place; deliveries, regions and settings at random (half an hour)
	$(PYTEST) $(SUITES) -m fuzz
	@cd tests && python -m fuzz $(FUZZ)

SOAK ?= --minutes 30
soak: setup ## random faults on that cluster for half an hour
	@tests/slurm/install.sh
	@cd tests && python -m slurm.soak $(SOAK)

bench-overhead: setup ## what a job costs on SLURM beyond its work
	@tests/slurm/install.sh
	python benchmarks/slurm_overhead.py

bench-scan: setup ## a whole scan from archive to rows, beside the peers' programs (half an hour)
	@command -v dcm2niix > /dev/null || echo "dcm2niix is not on the PATH (pip has it), so the peers are left out" >&2
	python -m benchmarks.whole_scan 2>&1 | tee benchmarks/whole_scan.txt

bench-report: setup ## what the report of 100,000 participants costs to make and to open
	@tests/browser/install.sh
	python -m benchmarks.report | tee benchmarks/report.txt

bench-radiomics: setup ## what radiomics costs, beside pyradiomics and others (a quarter of an hour)
	python -m benchmarks.radiomics 2>&1 | tee benchmarks/radiomics.txt

bench: setup ## what planning and collecting cost, by size of the cohort
	python benchmarks/planning.py
	python benchmarks/listing.py
	python benchmarks/tables.py

bench-segmentation: setup ## MRI segmentation beside stock nnU-Net, each row three times (16 GiB, half an hour)
	python -m benchmarks.segmentation --sizes station stitched --models phantom2.0 phantom --networks tiles real \
	  --engines stock ours --repeats 3 --patience-s 0 --no-shards --no-levers 2>&1 | tee benchmarks/segmentation.txt

bench-gpu: setup ## segmentation on a GPU beside stock nnU-Net; writes docs/gpu.md (an hour)
	python -m benchmarks.segmentation_gpu

PARITY_PEER := .venv/peers/mrsegmentator==2.0.0
parity: setup ## the labels of mrsegmentator 2.0.0 and ours, in all orientations
	@python -m benchmarks.segmentation_peers environment $(PARITY_PEER)
	pytest tests/parity

docs-pages: setup ## write the pages that are made from schemas
	organome dev describe-tables --output docs/tables.md
	organome dev describe-config --schema workflow/schemas/config.schema.yaml --output config/README.md
	python docs/draw_map.py
	python docs/draw_inputs.py

DOCS_TOOLS := import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["docs"])
docs: docs-pages ## write those pages, and build all as a site in site/ (opens from a disk, needs no network)
	@python -c 'import material, mkdocs' 2> /dev/null || python -m pip install --disable-pip-version-check --quiet \
	  --constraint envs/constraints.txt $$(python -c '$(DOCS_TOOLS)')
	@# Without --quiet, which would keep warnings from counting.
	@NO_MKDOCS_2_WARNING=1 mkdocs build --strict
	@echo "site/index.html"

pictures: setup ## draw the pictures of README and pages from the demo
	python docs/draw_pictures.py
	@tests/browser/install.sh
	python docs/draw_screenshots.py

lock: ## write envs/constraints.txt from what is installed in .venv (make docs first)
	@# +cpu and the like name a build, which is the platform's choice. All: setuptools, too.
	@{ sed -n '/^#/p' envs/constraints.txt; .venv/bin/python -m pip freeze --all --exclude-editable \
	  | grep -vE '^(#|-e|pip==|shfmt-py)' | sed -E 's/\+[a-z0-9.]+$$//'; } \
	  > envs/.constraints.new && mv envs/.constraints.new envs/constraints.txt

train-phantom: setup ## train models/phantom on by the training workflow, and evaluate it (about two hours)
	@workflow/scripts/train_phantom.sh demo/phantom_model

clean: ## remove what the demo and the tools made; .venv stays
	rm -rf demo site .snakemake .pytest_cache .mypy_cache .ruff_cache .import_linter_cache build dist
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

"""What each key of the configuration does: to finished shards, and to the shell."""

import copy
import re
from collections.abc import Iterator
from functools import reduce
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from doubles.fake_organome import PretendedRun
from doubles.places import REPOSITORY

SCHEMA = yaml.safe_load((REPOSITORY / "workflow/schemas/config.schema.yaml").read_text())

CONFIG: dict[str, Any] = {
    "cohort": {"name": "tiny", "kind": "ukb", "root": "bulk"},
    "segment": {"model": "model", "device": "cpu"},
    "radiomics": {"contrasts": {"water": "mr"}},
}
QUALITY = {"check_quality", "write_report"}
COLLECT = {"collect_tables", *QUALITY}
MEASURE = {"measure_volumes", "measure_radiomics", "draw_pictures", *COLLECT}
SEGMENT = {"segment_organs", *MEASURE}
PREPARE = {"prepare_images", *SEGMENT}
NOTHING: set[str] = set()

# For each key another value, and which rules it makes do finished shards again.
KEYS: Final[dict[str, tuple[Any, set[str]]]] = {
    "cohort.name": ("other", NOTHING),  # stands in the sample sheet, which says it for each scan
    "cohort.kind": ("bids", PREPARE),
    "cohort.root": ("moved", NOTHING),
    "cohort.protocols": (["t1"], NOTHING),  # what is listed from now on
    "cohort.check_files": (True, NOTHING),  # listing looks for shards that are to be done again
    "cohort.covariates": (["sex"], PREPARE),
    "cohort.first_chunk": (0, NOTHING),  # how chunks are numbered that are listed from now on
    "cohort.n_stations": (4, NOTHING),  # which scans listing flags
    "shard_size": (7, NOTHING),  # what is listed from now on
    "stations": ("separate", PREPARE),
    "prepare.contrasts": (["water"], PREPARE),
    "prepare.missing_rescale": ("hounsfield", PREPARE),
    "prepare.correct_swaps": (True, PREPARE),
    "prepare.orientation": ("RAS", PREPARE),
    "segment.source": ("labelmaps", SEGMENT),
    "segment.allow_phantom_model": (True, NOTHING),
    "segment.model": ("other_model", {"pin_model", *SEGMENT}),
    "segment.scheme": ("amos22", SEGMENT),
    "segment.contrasts": (["water"], SEGMENT),
    "segment.combine": ("consensus", SEGMENT),
    "segment.fold_agreement": (True, SEGMENT),
    "segment.repair_sides": (True, SEGMENT),
    "segment.tile_step_size": (0.75, SEGMENT),
    "segment.precision": ("single", SEGMENT),
    "segment.tile_batch": (2, NOTHING),
    "segment.channels_last": (True, NOTHING),
    "segment.cuda_graphs": (True, NOTHING),
    "segment.transform": ({"water": "inverted"}, SEGMENT),
    "segment.device": ("auto", NOTHING),
    "annotate.output": ("elsewhere", NOTHING),
    "annotate.n": (7, NOTHING),
    "annotate.strategy": ("random", NOTHING),
    "annotate.seed": (2, NOTHING),
    "segment.canary": ("canary", NOTHING),
    "segment.pack": (True, NOTHING),
    "radiomics.contrasts": ({"water": "dixon"}, {"measure_radiomics", *COLLECT}),
    "radiomics.engine": ("pyradiomics", {"measure_radiomics", *COLLECT}),
    "pictures.enabled": (False, {"write_report"}),
    "pictures.organs": (["liver"], {"draw_pictures", "write_report"}),
    "pictures.max_organs": (1, {"draw_pictures", "write_report"}),
    "quality.participants": ("people.tsv", QUALITY),
    "quality.thresholds": ("own.yaml", QUALITY),
    "quality.ratings": ("elsewhere", NOTHING),  # no file in it, as before
    "quality.exclusions": ("elsewhere", NOTHING),
    "quality.norms": ("norms.parquet", QUALITY),
    "quality.repeatability": ("repeatability.csv", QUALITY),
    # Of `snakemake evaluate`, which is asked for by name.
    "evaluate.references": ("references.tsv", NOTHING),
    "evaluate.profile": ("mrsegmentator-released", NOTHING),
    "evaluate.tolerance_mm": (3, NOTHING),
    "evaluate.n_bootstrap": (500, NOTHING),
    "evaluate.seed": (7, NOTHING),
    "evaluate.overlays": (False, NOTHING),
    "max_same_reason_share": (0.9, NOTHING),
    "mixed_models": (True, COLLECT),
    "keep_images": (False, {"drop_images"}),
    **{
        f"resources.{step}.{key}": (3, NOTHING)
        for step in (
            *("prepare_images", "segment_organs", "measure_volumes", "measure_radiomics"),
            "evaluate_labels",
            "draw_pictures",
        )
        for key in ("seconds_per_scan", "mem_gb", "processes")
    },
    "resources.segment_organs.gpus": (3, NOTHING),
    "resources.segment_organs.max_scan_min": (3, NOTHING),
    "resources.collect_tables.jobs": (3, NOTHING),
    "resources.collect_tables.mem_gb": (3, NOTHING),
    "resources.collect_tables.runtime_min": (3, NOTHING),
    "resources.collect_tables.interface": ("ib0", NOTHING),
}
ONE_OF_EACH = ("stations", "segment.scheme", "radiomics.engine", "keep_images")
HARMLESS = [key for key, (_, stale) in KEYS.items() if not stale]


def keys(schema: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    for name, key in schema["properties"].items():
        if "properties" in key:
            yield from keys(key, f"{prefix}{name}.")
        else:
            yield prefix + name, key


def put(config: dict[str, Any], key: str, value: Any) -> None:
    *sections, name = key.split(".")
    reduce(lambda section, one: section.setdefault(one, {}), sections, config)[name] = value


def stale_rules(run: PretendedRun) -> set[str]:
    result = run.snakemake("--dry-run")
    assert result.returncode == 0, result.output
    return {rule for rule, _ in result.jobs}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> PretendedRun:
    run = PretendedRun(tmp_path_factory.mktemp("settings"))
    run.write_config(CONFIG)
    run.add_model("model")
    run.add_model("other_model")
    for name in ("people.tsv", "own.yaml", "norms.parquet", "repeatability.csv"):
        (run.folder / name).touch()
    result = run.snakemake()
    assert result.returncode == 0, result.output
    return run


def test_every_key_of_the_schema_has_its_line_here() -> None:
    assert set(KEYS) == {key for key, _ in keys(SCHEMA)}


def test_what_changes_no_result_makes_no_finished_shard_stale(finished: PretendedRun) -> None:
    config = copy.deepcopy(CONFIG)
    for key in HARMLESS:
        put(config, key, KEYS[key][0])
    finished.write_config(config)
    assert stale_rules(finished) == set()


@pytest.mark.parametrize(
    "key",
    [
        pytest.param(key, marks=() if key in ONE_OF_EACH else pytest.mark.slow)
        for key in sorted(KEYS.keys() - set(HARMLESS))
    ],
)
def test_what_changes_a_result_makes_what_depends_on_it_stale(
    finished: PretendedRun, key: str
) -> None:
    config = copy.deepcopy(CONFIG)
    if key == "radiomics.engine":  # pyradiomics does not know all of what is set for "mr"
        put(config, "radiomics.contrasts", {"water": "ct"})
    put(config, key, KEYS[key][0])
    finished.write_config(config)
    assert stale_rules(finished) == KEYS[key][1]


def test_images_that_are_wanted_again_make_no_finished_shard_stale(tmp_path: Path) -> None:
    run = PretendedRun(tmp_path)
    run.add_model("model")
    run.write_config(CONFIG | {"keep_images": False})
    assert run.snakemake().returncode == 0
    assert not (run.folder / "results" / "prepare_images" / "0000").exists()
    assert stale_rules(run) == set()
    run.write_config(CONFIG)
    assert stale_rules(run) == set()


# --- the shell -----------------------------------------------------------------------------------

HOSTILE = """$(touch pwned) `touch pwned` "; touch pwned; ' & | * ~ -x"""
FREE_TEXT = {
    "cohort.root": f"--root {{shard}} {HOSTILE}",
    "segment.model": f"model {HOSTILE}",
    "segment.scheme": f"{HOSTILE}.yaml",
    "segment.canary": f"{HOSTILE} {{params.model}}",
    "radiomics.contrasts": {"water": f"{HOSTILE}.yaml"},
    "evaluate.references": f"{HOSTILE}.tsv",
    "quality.participants": f"{HOSTILE}.csv",
    "quality.thresholds": f"t {HOSTILE}.yaml",
    "quality.norms": f"{HOSTILE}.parquet",
    "quality.repeatability": f"r {HOSTILE}.csv",
}


def test_every_key_that_takes_any_text_is_among_the_hostile_ones() -> None:
    for name, key in keys(SCHEMA):
        kinds = [key, key.get("items", {}), key.get("additionalProperties", {})]
        patterns = [kind.get("pattern", "") for kind in kinds if kind.get("type") == "string"]
        takes_text = any(re.search(pattern, f"{HOSTILE}.yaml") for pattern in patterns)
        assert takes_text == (name in FREE_TEXT), name


def test_nothing_of_a_configuration_reaches_the_shell_unquoted(tmp_path: Path) -> None:
    config = copy.deepcopy(CONFIG)
    for key, value in FREE_TEXT.items():
        put(config, key, value)
    run = PretendedRun(tmp_path)
    run.write_config(config)
    run.add_model(FREE_TEXT["segment.model"])
    of_runs = (FREE_TEXT["segment.scheme"], FREE_TEXT["radiomics.contrasts"]["water"])
    of_runs += tuple(text for key, text in FREE_TEXT.items() if key.startswith("quality"))
    for name in (*of_runs, FREE_TEXT["evaluate.references"]):
        (run.folder / name).touch()
    for target in ("list_scans", "all", "evaluate"):
        result = run.snakemake(target)
        assert result.returncode == 0, result.output
    assert not list(tmp_path.rglob("pwned"))
    words = {word for call in run.calls for word in call}
    assert f"--root={FREE_TEXT['cohort.root']}" in words
    assert f"--model={FREE_TEXT['segment.model']}" in words
    assert f"--scheme={FREE_TEXT['segment.scheme']}" in words
    assert f"--canary={FREE_TEXT['segment.canary']}" in words
    assert f"water={HOSTILE}.yaml" in words
    assert f"--references={FREE_TEXT['evaluate.references']}" in words
    for key in ("participants", "norms", "repeatability"):
        assert f"--{key}={FREE_TEXT[f'quality.{key}']}" in words
    assert f"--thresholds={FREE_TEXT['quality.thresholds']}" in words


# --- mistakes ------------------------------------------------------------------------------------


def test_mistake_in_the_configuration_is_one_line(tmp_path: Path) -> None:
    config = copy.deepcopy(CONFIG)
    put(config, "segment.modle", "m")
    run = PretendedRun(tmp_path)
    run.write_config(config)
    result = run.snakemake("--dry-run")
    assert result.returncode != 0
    assert len([line for line in result.output.splitlines() if line.strip()]) <= 4, result.output
    assert "segment.modle is not a key of the configuration: did you mean segment.model?" in (
        result.output
    )


# --- what is left, and how much is under way -----------------------------------------------------


def test_tables_so_far_are_collected_whatever_is_left(tmp_path: Path) -> None:
    run = PretendedRun(tmp_path, n_shards=2)
    run.write_config(CONFIG)
    run.add_model("model")
    result = run.snakemake(impossible="segment-organs 0001")
    assert result.returncode != 0
    assert "snakemake tables_so_far" in result.output
    assert not (run.folder / "results" / "tables").exists()
    for _ in range(2):
        n_calls = len(run.calls)
        assert run.snakemake("tables_so_far").returncode == 0
        assert [call[0] for call in run.calls[n_calls:]] == ["collect-tables"]
    assert (run.folder / "results" / "tables" / "dictionary.json").exists()
    assert {"segment_organs", "measure_volumes", "collect_tables"} <= stale_rules(run)
    assert run.snakemake().returncode == 0
    assert stale_rules(run) == set()


def test_shards_under_way_are_bounded_and_those_begun_go_first(tmp_path: Path) -> None:
    run = PretendedRun(tmp_path, n_shards=3)
    run.write_config(CONFIG)
    run.add_model("model")
    # No shard can be segmented before the model is pinned, and another one would be prepared.
    assert run.snakemake("results/model/digest.txt").returncode == 0
    assert run.snakemake("--resources", "shards_in_flight=1").returncode == 0
    begun: list[str] = []
    for command, *words in run.calls:
        shards = [word for word in words if word.startswith("--shard=")]
        if shards and shards[0] not in begun:
            assert command == "prepare-images"
            begun += shards
        elif shards:
            assert shards[0] == begun[-1]
    assert len(begun) == 3

"""status and estimate of a training, from files as a training leaves them."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from doubles import trainings
from organome.domain.errors import SetupError
from organome.io.runs import open_run
from organome.steps.inspect import estimate, status
from organome.steps.inspect.training_estimates import TrainingEstimate
from organome.steps.inspect.trainings import State, TrainingStatus, read_training, shown_time

NOW = datetime(2026, 10, 1, 12, tzinfo=UTC)


def status_of(run: Path) -> TrainingStatus:
    return read_training(open_run(run), now=NOW)


def states(run: Path) -> list[str]:
    return [step.state.value for step in status_of(run).steps]


def test_a_training_that_was_not_begun_is_left(tmp_path: Path) -> None:
    trainings.configured(tmp_path)
    assert str(status_of(tmp_path)).splitlines() == [
        "training of model tiny: 2 folds of 4 epochs",
        "",
        "step           state",
        "list_cases     left",
        "build_dataset  left",
        "plan_training  left",
        "train_fold 0   left",
        "train_fold 1   left",
        "bundle_model   left",
    ]


def test_a_training_under_way_says_what_is_done_and_what_is_to_go(tmp_path: Path) -> None:
    trainings.configured(tmp_path)
    trainings.listed(tmp_path)
    trainings.planned(tmp_path)
    trainings.fold_log(tmp_path, 0, range(4), is_trained=True, validation_s=5)
    trainings.fold_done(tmp_path, 0)
    trainings.fold_log(tmp_path, 1, [0, 1])  # 10 s an epoch, three are left
    trainings.job_log(tmp_path, "train_fold", "Epoch 1\n", "1")
    os.utime(tmp_path / "logs/train_fold/1.log", (NOW.timestamp() - 180,) * 2)
    assert str(status_of(tmp_path)).splitlines()[3:] == [
        "list_cases     done       2 cases to train on, 1 to test on",
        "build_dataset  done       2 cases, 1 left out:"
        " work/nnunet/raw/Dataset001_Organome/left_out.tsv",
        "plan_training  done       batches of 2 patches of 16 x 24 x 32 voxels of 3 x 1.5 x 1.5 mm",
        "train_fold 0   done       4 of 4 epochs, validation Dice 0.500",
        "train_fold 1   under way  1 of 4 epochs, 30 s to go; log written 3 min ago",
        "bundle_model   left",
    ]
    assert "pseudonym" not in str(status_of(tmp_path))


def test_what_failed_says_why_and_where_its_log_is(tmp_path: Path) -> None:
    trainings.configured(tmp_path)
    trainings.listed(tmp_path)
    trainings.job_log(
        tmp_path, "build_dataset", "event=x\norganome: dataset bodies: 2 cases cannot be read\n"
    )
    shown = str(status_of(tmp_path))
    assert "build_dataset  failed     dataset bodies: 2 cases cannot be read" in shown
    assert "build_dataset failed, its log: logs/build_dataset/build_dataset.log" in shown


BUG = "Traceback of a bug:\n  File x, line 1, in run\n    raise error\nKeyError\n"


@pytest.mark.parametrize(
    ("log", "state", "said"),
    [
        ("organome: SIGTERM: what is done is kept, start again to go on\n", State.STOPPED, ""),
        ("organome: train.device is cuda, and torch finds no GPU here", State.FAILED, "no GPU"),
        (BUG, State.FAILED, "a bug: KeyError"),
        # The log of a fold goes on in the next attempt.
        (f"{BUG}2026-09-30 23:59:01.5: Epoch 1 \n", State.UNDER_WAY, "log written"),
        ("organome: no disk\n2026-09-30 23:59:01.5: Epoch 1 \n", State.UNDER_WAY, "log written"),
        ("", State.UNDER_WAY, "log written"),
    ],
)
def test_the_end_of_a_log_says_how_a_fold_ended(
    tmp_path: Path, log: str, state: State, said: str
) -> None:
    trainings.configured(tmp_path)
    trainings.fold_log(tmp_path, 1, [0, 1])
    trainings.job_log(tmp_path, "train_fold", log, "1")
    fold = status_of(tmp_path).folds[1]
    assert fold.state is state
    assert fold.fact.startswith("1 of 4 epochs, 30 s to go")
    assert said in fold.fact
    assert (fold.n_epochs, fold.n_left) == (1, 3)


def test_a_fold_whose_epochs_are_through_is_validated_still(tmp_path: Path) -> None:
    trainings.configured(tmp_path)
    trainings.fold_log(tmp_path, 0, range(4), is_trained=True)
    fold = status_of(tmp_path).folds[0]
    assert (fold.state, fold.fact) == (
        State.UNDER_WAY,
        "4 of 4 epochs, the validation is left",
    )


def test_a_fold_goes_on_where_more_epochs_are_asked_for_since(tmp_path: Path) -> None:
    trainings.configured(tmp_path, n_epochs=6)
    trainings.fold_log(tmp_path, 0, range(4), is_trained=True, validation_s=5)
    trainings.fold_done(tmp_path, 0, n_epochs=4)
    fold = status_of(tmp_path).folds[0]
    assert (fold.state, fold.n_epochs, fold.n_left) == (State.UNDER_WAY, 4, 2)


def test_a_training_is_over_when_its_model_is_there(tmp_path: Path) -> None:
    trainings.configured(tmp_path)
    trainings.listed(tmp_path)
    trainings.planned(tmp_path)
    for fold in (0, 1):
        trainings.fold_done(tmp_path, fold, dice=None)
    assert states(tmp_path) == ["done"] * 5 + ["left"]
    assert not status_of(tmp_path).is_over
    model = tmp_path / "results/models/tiny"
    model.mkdir(parents=True)
    (model / "training.json").touch()
    watched = status.run(tmp_path, watch=True)
    assert isinstance(watched, TrainingStatus)
    assert watched.is_over
    assert "bundle_model   done       results/models/tiny" in str(watched)


def test_json_holds_what_the_text_does(tmp_path: Path) -> None:
    trainings.configured(tmp_path)
    trainings.fold_log(tmp_path, 1, [0, 1])
    text = status.run(tmp_path, json=True)
    assert isinstance(text, str)
    content = json.loads(text)
    assert (content["model"], content["is_over"]) == ("tiny", False)
    assert [fold["n_epochs"] for fold in content["folds"]] == [0, 1]
    assert [fold["left_s"] for fold in content["folds"]] == [None, 30.0]
    assert content["before"][0]["state"] == "left"


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    trainings.configured(tmp_path)
    trainings.fold_done(tmp_path, 0)
    (tmp_path / "results/folds/0.json").write_text("{")
    with pytest.raises(SetupError, match=r"folds/0\.json: not JSON; delete it"):
        status.run(tmp_path)


def test_a_wrong_configuration_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("train: {nam: x}\ndatasets: []\n")
    with pytest.raises(SetupError, match=r"did you mean train\.name"):
        status.run(tmp_path)


def test_nothing_is_estimated_before_an_epoch_is_through(tmp_path: Path) -> None:
    trainings.configured(tmp_path)
    trainings.fold_log(tmp_path, 0, [0])
    with pytest.raises(SetupError, match="no epoch was timed yet; start the training"):
        estimate.run(tmp_path)


def test_the_rest_is_estimated_by_epochs_and_validations(tmp_path: Path) -> None:
    trainings.configured(tmp_path, n_folds=3)
    trainings.fold_log(tmp_path, 0, range(4), epoch_s=600, is_trained=True, validation_s=1200)
    trainings.fold_done(tmp_path, 0)
    trainings.fold_log(tmp_path, 1, [0, 1], epoch_s=1800)
    found = estimate.run(tmp_path)
    assert isinstance(found, TrainingEstimate)
    # Fold 1: 3 epochs of 1800 s. Fold 2: 4 of the median of 600 and 1800 s. Each 1200 s more.
    assert [found.left_s(fold) for fold in found.folds] == [0.0, 6600.0, 6000.0]
    assert str(found).splitlines() == [
        "fold          epochs  s an epoch    to go",
        "0             4 of 4       600.0      0 s",
        "1             1 of 4      1800.0  110 min",
        "2             0 of 4           -  100 min",
        "",
        "left to do: 3.5 h with one fold after another, 110 min with all at once, each on a machine"
        " of its own",
        "a validation takes 20 min, and is counted in",
    ]


def test_a_fold_that_needs_several_jobs_says_so_and_memory_is_proposed(tmp_path: Path) -> None:
    trainings.configured(tmp_path, n_epochs=100)
    trainings.fold_log(tmp_path, 0, [0, 1], epoch_s=2000)  # 200,000 s of 86,400 s a job: 3
    benchmark = tmp_path / "logs/benchmarks/train_fold/0.tsv"
    benchmark.parent.mkdir(parents=True)
    benchmark.write_text("s\tmax_rss\n100\t10000\n")  # MiB: 10.49 GB; a fifth more: 12.6, so 13
    shown = str(estimate.run(tmp_path))
    assert "a fold takes 3 jobs of 1440 minutes" in shown
    assert "-- --retries 2" in shown
    assert "without the validations: none is through yet" in shown
    assert shown.endswith("resources: {mem_gb: 13}")


@pytest.mark.parametrize(
    ("elapsed_s", "shown"),
    [
        (0.0, "0 s"),
        (4.26, "4.3 s"),
        (99.6, "100 s"),
        (120.0, "2 min"),
        (7140.0, "119 min"),
        (7200.0, "2.0 h"),
    ],
)
def test_times_read_well(elapsed_s: float, shown: str) -> None:
    assert shown_time(elapsed_s) == shown

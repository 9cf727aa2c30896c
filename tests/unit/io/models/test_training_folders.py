"""How far a fold is, by nnU-Net's logs."""

from datetime import timedelta
from pathlib import Path

from doubles.trainings import BEGUN, FOLD, fold_log
from organome.io.models.training_folders import FoldLog, TrainingFolders, read_fold_log


def read(run: Path) -> FoldLog:
    return read_fold_log(TrainingFolders(run / "work/nnunet").fold(0))


def test_a_fold_that_was_not_begun_has_no_epoch(tmp_path: Path) -> None:
    assert read(tmp_path) == FoldLog()
    assert read(tmp_path).epoch_s is None


def test_the_epoch_under_way_is_not_counted(tmp_path: Path) -> None:
    fold_log(tmp_path, 0, [0, 1, 2], epoch_s=8)
    assert read(tmp_path) == FoldLog(2, (8.0, 8.0))


def test_attempts_are_read_in_the_order_in_which_they_began(tmp_path: Path) -> None:
    # 1 October comes after 30 September, and its name before it.
    fold_log(tmp_path, 0, [0, 1], epoch_s=8)
    fold_log(tmp_path, 0, [1, 2], epoch_s=6, begun=BEGUN + timedelta(minutes=2), is_trained=True)
    names = sorted(path.name for path in (tmp_path / FOLD / "fold_0").iterdir())
    assert names[0].startswith("training_log_2026_10_1_")
    assert read(tmp_path) == FoldLog(3, (8.0, 6.0, 6.0))


def test_an_attempt_that_began_no_epoch_changes_nothing(tmp_path: Path) -> None:
    fold_log(tmp_path, 0, [0, 1], epoch_s=8)
    fold_log(tmp_path, 0, [], begun=BEGUN + timedelta(minutes=2))
    assert read(tmp_path) == FoldLog(1, (8.0,))


def test_the_validation_is_timed_from_the_end_of_training(tmp_path: Path) -> None:
    fold_log(tmp_path, 0, [0], epoch_s=8, is_trained=True, validation_s=30)
    assert read(tmp_path) == FoldLog(1, (8.0,), 30.0)


def test_a_clock_that_is_set_back_gives_no_time(tmp_path: Path) -> None:
    fold_log(tmp_path, 0, [0, 1], epoch_s=-3600)
    assert read(tmp_path) == FoldLog(1, ())


def test_a_torn_line_is_passed_over(tmp_path: Path) -> None:
    fold_log(tmp_path, 0, [0, 1], epoch_s=8)
    (path,) = (tmp_path / FOLD / "fold_0").iterdir()
    path.write_bytes(path.read_bytes() + b"2026-09-30 23:5\xff")
    assert read(tmp_path).n_epochs == 1


def test_the_first_epochs_do_not_count_when_there_are_later_ones() -> None:
    assert FoldLog(60, (100.0,) * 10 + (2.0,) * 50).epoch_s == 2.0

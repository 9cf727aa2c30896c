"""A signal that nnU-Net swallows: the fold ends before the next epoch, or after the last one."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from organome.domain.errors import Interrupted
from organome.shards.signals import listening
from organome.steps.train.train_fold import _train

# In a process of its own: nnU-Net reads its folders when it is imported.
NEXT_EPOCH = """
import os, signal
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from organome.shards.signals import listening
from organome.steps.train.trainer import OrganomeTrainer

begun = []
nnUNetTrainer.on_epoch_start = lambda self: begun.append(self)
trainer = object.__new__(OrganomeTrainer)
with listening() as requests:
    trainer.stop_if_asked = requests.check
    trainer.on_epoch_start()
    try:
        os.kill(os.getpid(), signal.SIG{name})
    except BaseException:  # as nnU-Net does around some of its work
        print("swallowed")
    try:
        trainer.on_epoch_start()
    except Exception as error:
        print(type(error).__name__, len(begun))
"""


@pytest.mark.parametrize("name", ["TERM", "USR1"])
def test_no_epoch_begins_after_it(name: str, tmp_path: Path) -> None:
    folders = {f"nnUNet_{one}": str(tmp_path) for one in ("raw", "preprocessed", "results")}
    done = subprocess.run(
        [sys.executable, "-c", NEXT_EPOCH.replace("{name}", name)],
        env=os.environ | folders,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines()[-2:] == ["swallowed", "Interrupted 1"], done.stderr[-2000:]


def test_in_the_last_epoch_the_fold_is_not_called_done(tmp_path: Path) -> None:
    def run_training() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except Interrupted:
            trainer.current_epoch = 4

    trainer = SimpleNamespace(current_epoch=0, num_epochs=4, run_training=run_training)
    with listening() as requests, pytest.raises(Interrupted):
        _train(trainer, tmp_path, requests, None)
    assert trainer.current_epoch == 4


def test_the_error_that_a_library_makes_of_it_is_still_the_signal() -> None:
    with pytest.raises(Interrupted, match="SIGUSR1"), listening():
        try:
            os.kill(os.getpid(), signal.SIGUSR1)
        except Interrupted:
            raise RuntimeError("one or more background workers are no longer alive") from None


def test_without_a_signal_it_is_an_error() -> None:
    with pytest.raises(RuntimeError), listening():
        raise RuntimeError("one or more background workers are no longer alive")


VALIDATION = """
import multiprocessing, os, signal, sys, time
from organome.shards.signals import listening
from organome.steps.train.train_fold import _leaving_at_once

if __name__ == "__main__":
    with listening(), _leaving_at_once():
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            pool.apply(int)  # the process is there, and waits for work
            os.killpg(0, signal.SIGTERM)
            time.sleep(3600)
"""


def test_in_the_validation_it_ends_at_once_with_the_processes_of_the_pool(tmp_path: Path) -> None:
    script = tmp_path / "validation.py"
    script.write_text(VALIDATION)
    done = subprocess.run(
        [sys.executable, script],
        start_new_session=True,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 75
    assert "SIGTERM: the training is kept, start again to go on" in done.stderr

import errno
import json
import logging
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from doubles.labelled_shard import STEP_SIZE, label_shard, write_tiny_model
from organome.compute.inference import loading
from organome.domain.canaries import CanaryCheck, Judgement
from organome.domain.errors import ScanError, SetupError
from organome.domain.outcomes import Reason
from organome.io.canaries.references import file_sha256, read_canary, write_canary
from organome.io.images.image_files import read_image, write_image
from organome.io.models.folders import model_digest
from organome.steps.canary import check_canary, make_canary


@dataclass(frozen=True)
class Set:
    """A canary, its model, and where checks go."""

    folder: Path

    @property
    def canary(self) -> Path:
        return self.folder / "canary"

    @property
    def model(self) -> Path:
        return self.folder / "model"

    @property
    def checks(self) -> Path:
        return self.folder / "work" / "canary"

    def check(self, **flags) -> CanaryCheck:
        settings = {"device": "cpu", "tile_step_size": STEP_SIZE} | flags
        return check_canary.run(
            canary=self.canary, model=self.model, checks=self.checks, **settings
        )

    def found(self) -> dict:
        (path,) = self.checks.iterdir()
        return json.loads(path.read_text())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Set:
    folder = tmp_path_factory.mktemp("made")
    shard = label_shard(folder / "run", n_scans=2)
    make_canary.run(
        images=shard.images,
        labelmaps=shard.labelmaps,
        output=folder / "canary",
        n_scans=2,
    )
    shutil.copytree(shard.model, folder / "model")
    shutil.rmtree(folder / "run")
    return Set(folder)


@pytest.fixture
def own(made: Set, tmp_path: Path) -> Set:
    shutil.copytree(made.folder, tmp_path, dirs_exist_ok=True)
    return Set(tmp_path)


@pytest.fixture
def other_weights(own: Set, monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """A function that makes the machine compute with weights that are off by a share of noise."""
    load = loading.load_segmenter

    def spoil(share: float) -> None:
        def load_spoilt(model, **flags):
            torch.manual_seed(0)
            spoilt = {
                name: value * (1 + share * torch.randn(value.shape))
                for name, value in model.weights[0].items()
            }
            return load(replace(model, weights=(spoilt,)), **flags)

        monkeypatch.setattr(loading, "load_segmenter", load_spoilt)

    return spoil


def relabel(own: Set, change: Callable[[np.ndarray], None]) -> None:
    """Change a reference labelmap, and have the canary say that it is so."""
    canary, _ = read_canary(own.canary)
    path = own.canary / canary.scans[0].labelmap
    labelmap = read_image(path)
    labels_zyx = sitk.GetArrayFromImage(labelmap)
    change(labels_zyx)
    changed = sitk.GetImageFromArray(labels_zyx)
    changed.CopyInformation(labelmap)
    write_image(path, changed)
    scan = replace(canary.scans[0], labelmap_sha256=file_sha256(path))
    write_canary(own.canary, replace(canary, scans=(scan, *canary.scans[1:])))


def refuse_to_load(*args, **kwargs):
    raise AssertionError("the model was loaded")


def test_the_machine_that_made_it_reproduces_it_to_the_last_voxel(own: Set) -> None:
    check = own.check()
    assert check.judgement is Judgement.HELD
    assert check.identical
    assert (check.n_scans, check.min_dice, check.max_volume_change) == (2, 1.0, 0.0)
    assert check.n_organs > 2
    assert str(check).endswith("2 reference scans, labelmaps bit-identical")
    assert own.found()["judgement"] == "held"
    assert own.found()["machine"]["versions"]["torch"]


def test_a_kind_of_machine_is_checked_once(
    own: Set, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    first = own.check()
    monkeypatch.setattr(loading, "load_segmenter", refuse_to_load)
    assert own.check() == first
    events = [message.split()[0] for message in caplog.messages]
    assert events == ["event=canary_checked", "event=canary_known"]


def test_each_kind_of_machine_has_a_check_of_its_own(
    own: Set, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = check_canary.read_machine("cpu")
    kinds = [
        here,
        replace(here, name="another processor"),
        replace(here, versions={**here.versions, "torch": "99.0"}),
    ]
    assert len({machine.kind for machine in kinds}) == 3
    for n_before, machine in enumerate(kinds):
        assert len(list(own.checks.glob("*"))) == n_before
        monkeypatch.setattr(check_canary, "read_machine", lambda device, machine=machine: machine)
        own.check()
    assert {path.stem for path in own.checks.iterdir()} == {one.kind for one in kinds}


def test_another_question_is_another_check(own: Set, monkeypatch: pytest.MonkeyPatch) -> None:
    own.check()
    monkeypatch.setattr(loading, "load_segmenter", refuse_to_load)
    with pytest.raises(AssertionError, match="was loaded"):
        own.check(min_dice=0.999)
    canary, _ = read_canary(own.canary)
    write_canary(own.canary, replace(canary, labelled_on=("elsewhere",)))
    with pytest.raises(AssertionError, match="was loaded"):
        own.check()


def test_a_machine_that_computes_otherwise_drifts_and_stays_so(
    own: Set, other_weights: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    other_weights(0.3)
    with pytest.raises(
        SetupError, match=r"canary drift on .*worst organ \w+ of 0000-000\d: Dice 0"
    ):
        own.check()
    assert own.found()["judgement"] == "drift"
    assert own.found()["min_dice"] < 0.99
    monkeypatch.setattr(loading, "load_segmenter", refuse_to_load)
    with pytest.raises(SetupError, match="remove it to check again") as caught:
        own.check()
    assert "\n" not in str(caught.value)


def test_small_differences_are_within_the_tolerance(
    own: Set, other_weights: Callable[[float], None]
) -> None:
    other_weights(1e-6)
    check = own.check(min_dice=0.9, max_volume_change=0.1)
    assert check.judgement is Judgement.HELD
    assert check.min_dice >= 0.9


def test_an_organ_that_vanishes_is_drift(own: Set) -> None:
    # 48 voxels of 0.15 mL: 7.2 mL of an organ that the model does not find there
    relabel(own, lambda labels_zyx: labels_zyx[0, :2].fill(40))
    with pytest.raises(SetupError, match=r"gluteus_minimus of 0000-0000: Dice 0\.0000, 0\.0 mL"):
        own.check(min_dice=0.5, max_volume_change=0.5)


def test_an_organ_that_appears_is_drift_unless_it_is_small(own: Set) -> None:
    volumes_ml = read_canary(own.canary)[0].scans[0].volumes_ml
    assert volumes_ml["right_iliac_artery"] < 5 < volumes_ml["spleen"]
    relabel(own, lambda labels_zyx: np.putmask(labels_zyx, labels_zyx == 17, 0))
    small = own.check()
    assert small.judgement is Judgement.HELD
    assert not small.identical
    relabel(own, lambda labels_zyx: np.putmask(labels_zyx, labels_zyx == 1, 0))
    with pytest.raises(
        SetupError, match=r"spleen of 0000-0000: Dice 0\.0000, \d+\.\d mL instead of 0"
    ):
        own.check()


def test_a_check_that_cannot_fail_is_refused(own: Set) -> None:
    with pytest.raises(SetupError, match="nothing to compare"):
        own.check(min_volume_ml=5000)
    with pytest.raises(SetupError, match="above 0"):
        own.check(min_volume_ml=0)


def test_another_model_needs_another_canary(own: Set) -> None:
    write_tiny_model(own.model, seed=1)
    with pytest.raises(SetupError, match=r"another model .* make it again"):
        own.check()
    assert not own.checks.exists()


@pytest.mark.parametrize("other", [{"tile_step_size": 0.5}, {"scheme": "amos22"}])
def test_other_settings_need_another_canary(own: Set, other: dict) -> None:
    with pytest.raises(SetupError, match=r"other settings .* make it again"):
        own.check(**other)


def test_the_model_must_have_the_digest_that_the_run_is_bound_to(own: Set) -> None:
    pinned = own.folder / "digest.txt"
    with pytest.raises(SetupError, match="no such file"):
        own.check(model_digest=pinned)
    pinned.write_text(f"{model_digest(own.model)}\n")
    assert own.check(model_digest=pinned).judgement is Judgement.HELD
    write_tiny_model(own.model, seed=1)
    shutil.rmtree(own.checks)
    with pytest.raises(SetupError, match="digest"):
        own.check(model_digest=pinned)


def test_a_canary_whose_files_changed_is_refused(own: Set) -> None:
    path = own.canary / read_canary(own.canary)[0].scans[1].image
    write_image(path, read_image(path) + 1)
    with pytest.raises(SetupError, match="not the file that the canary was made with"):
        own.check()
    path.unlink()
    with pytest.raises(SetupError, match="not the file that the canary was made with"):
        own.check()
    assert not own.checks.exists()


def test_a_check_that_cannot_be_read_is_made_again(own: Set) -> None:
    own.check()
    (path,) = own.checks.iterdir()
    path.write_text(path.read_text()[:100])
    assert own.check().judgement is Judgement.HELD
    assert own.found()["judgement"] == "held"


def test_a_fault_of_the_disk_behind_a_scan_is_the_machines(
    own: Set, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*args):
        try:
            raise OSError(errno.ESTALE, "Stale file handle")
        except OSError as error:
            raise ScanError(Reason.FILE_BROKEN, "it cannot be read") from error

    monkeypatch.setattr(check_canary, "read_image", lambda *args, **flags: lost())
    with pytest.raises(SetupError, match="Stale file handle"):
        own.check()


def test_a_scan_that_cannot_be_labelled_is_a_fault_of_the_set_up(
    own: Set, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*args):
        raise ScanError(Reason.LABEL_UNKNOWN, "value 99")

    monkeypatch.setattr(check_canary, "remap_labelmap", unknown)
    with pytest.raises(SetupError, match="a scan of the canary cannot be labelled: value 99"):
        own.check()
    assert not own.checks.exists()


def test_a_fault_of_the_machine_is_not_drift(own: Set, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(check_canary, "write_check", no_space)
    with pytest.raises(SetupError, match="No space left"):
        own.check()
    assert not own.checks.exists()


def test_checks_name_no_participant_and_no_path(own: Set, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    own.check()
    text = json.dumps(own.found()) + caplog.text
    assert str(own.folder) not in text
    assert "p-secret" not in text


def test_a_job_that_finds_a_check_loads_no_torch(own: Set) -> None:
    own.check()
    flags = {"canary": own.canary, "model": own.model, "checks": own.checks}
    program = (
        "import sys; from pathlib import Path, PosixPath;"
        "from organome.steps.canary import check_canary;"
        f"found = check_canary.run(**{flags!r}, device='cpu', tile_step_size={STEP_SIZE});"
        "sys.exit('torch' in sys.modules or found.judgement != 'held')"
    )
    subprocess.run([sys.executable, "-c", program], check=True)

import errno
import hashlib
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from zipfile import ZipFile, ZipInfo

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from doubles.models import tiny_plans
from doubles.places import REPOSITORY
from doubles.releases import (
    RELEASED,
    copy_release,
    of_the_numpy_1_era,
    old_plans,
    pack,
    perturbed_weights,
    scheme_dataset,
    tiny_weights,
    write_release,
    write_stock_checkpoint,
)
from organome.cli import app
from organome.domain.errors import Interrupted, MachineFault, SetupError
from organome.domain.known_models import KNOWN_MODELS, KnownModel
from organome.domain.schemes import BODY_COMPOSITION_SCHEME, MRSEGMENTATOR
from organome.io.models.checkpoints import CHECKPOINT
from organome.io.models.folders import read_model
from organome.steps.models import install_model, verify_model
from organome.steps.models.install_model import run

PHANTOM = REPOSITORY / "models" / "phantom"
ORGANOME = Path(sys.executable).with_name("organome")


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the archive of MRSegmentator holds, with five tiny networks; tests spoil copies."""
    return write_release(tmp_path_factory.mktemp("release") / "weights")


@pytest.fixture
def archive(release: Path, tmp_path: Path) -> Path:
    return pack(release, tmp_path / "weights.zip")


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_release_becomes_a_model_of_five_folds(archive: Path, tmp_path: Path) -> None:
    installed = run(str(archive), models=tmp_path / "models", name="mine")
    model = read_model(tmp_path / "models" / "mine")
    assert (model.configuration, model.mirroring_axes, len(model.weights)) == (RELEASED, None, 5)
    assert len({float(fold["decoder.seg_layers.0.weight"].sum()) for fold in model.weights}) == 5
    note = json.loads((installed.folder / "model.json").read_text())
    assert note["digest"] == model.digest
    assert (note["version"], note["source"], note["n_folds"]) == ("1.2", "weights.zip", 5)
    assert (note["archive_sha256"], note["verified"]) == (sha256(archive), False)
    assert sorted(path.name for path in installed.folder.iterdir()) == [
        *("dataset.json", *(f"fold_{n}" for n in range(5)), "model.json", "plans.json")
    ]


def test_what_nothing_vouches_for_is_said(archive: Path, tmp_path: Path) -> None:
    said = str(run(str(archive), models=tmp_path / "one"))
    assert "WARNING: no digest was known" in said
    assert "nor that they have no more than 5 fold(s)" in said
    assert sha256(archive) in said
    known = run(str(archive), models=tmp_path / "two", sha256=sha256(archive))
    assert known.note.verified
    assert "WARNING" not in str(known)


def test_installed_again_it_is_there(archive: Path, tmp_path: Path) -> None:
    first = run(str(archive), models=tmp_path / "models")
    before = (first.folder / "model.json").stat().st_mtime_ns
    again = run(str(archive), models=tmp_path / "models")
    assert (first.was_there, again.was_there, again.note) == (False, True, first.note)
    assert (first.folder / "model.json").stat().st_mtime_ns == before


def test_the_digest_does_not_depend_on_where_and_how_it_was_packed(
    archive: Path, release: Path, tmp_path: Path
) -> None:
    nested = pack(release, tmp_path / "nested.zip", within="mrsegmentator/weights/")
    digests = {
        run(str(source), models=tmp_path / f"{n}").note.digest
        for n, source in enumerate((archive, nested, release))
    }
    assert len(digests) == 1


@pytest.mark.slow
def test_the_phantom_model_as_a_release_of_five_folds_labels_a_phantom(tmp_path: Path) -> None:
    from organome.compute.inference.loading import load_segmenter, segment
    from organome.compute.labelmaps.overlap import count_confusion, dice_by_organ
    from organome.domain.scans import Contrast
    from organome.phantoms.bodies.anatomy import draw_body
    from organome.phantoms.rendering.render import SampledGrid, render_dixon, truth_labelmap

    release = write_release(
        tmp_path / "weights",
        plans=old_plans(json.loads((PHANTOM / "plans.json").read_text())),
        dataset=json.loads((PHANTOM / "dataset.json").read_text()),
        weights=perturbed_weights(PHANTOM),
    )
    installed = run(
        str(pack(release, tmp_path / "weights.zip")),
        models=tmp_path / "models",
        scheme="mrsegmentator",
    )
    assert verify_model.run(str(installed.folder)).endswith(f"({installed.note.archive_sha256})")
    single = (PHANTOM / "fold_0" / CHECKPOINT).stat().st_size
    assert (installed.folder / "fold_4" / CHECKPOINT).stat().st_size == pytest.approx(single, 0.01)
    body, grid = (
        draw_body(7),
        SampledGrid((112, 87, 26), (4.46, 4.46, 4.5), (-247.5, -191.8, 240.0)),
    )
    image = render_dixon(body, grid, np.random.default_rng(0))[Contrast.WATER]
    truth = truth_labelmap(body, grid)
    segmenter = load_segmenter(read_model(installed.folder), device="cpu", tile_step_size=0.9)
    dice = dice_by_organ(count_confusion(truth, segment(image, segmenter)))
    assert dice["liver"] > 0.8  # five disturbed folds are together about as good as one
    assert np.median(list(dice.values())) > 0.6


def test_five_folds_are_an_ensemble(archive: Path, tmp_path: Path) -> None:
    from dataclasses import replace

    from organome.compute.inference.loading import load_segmenter, segment

    run(str(archive), models=tmp_path / "models")
    model = read_model(tmp_path / "models" / "weights")
    image = sitk.GetImageFromArray(
        np.random.default_rng(1).normal(size=(12, 30, 30)).astype(np.float32)
    )
    image.SetSpacing((4.0, 4.0, 4.0))

    def labels(*folds: int) -> Any:
        weights = tuple(model.weights[fold] for fold in folds)
        chosen = replace(model, folds=tuple(map(str, folds)), weights=weights)
        return sitk.GetArrayFromImage(segment(image, load_segmenter(chosen, device="cpu")))

    together = labels(0, 1, 2, 3, 4)
    assert not any(np.array_equal(together, labels(fold)) for fold in (0, 4))


def assert_nothing_left(folder: Path) -> None:
    assert not (folder / "models").exists()
    assert not list(folder.glob("**/.*install*"))


def refused(source: Path, folder: Path, says: str, **more: Any) -> None:
    with pytest.raises(SetupError, match=says) as caught:
        run(str(source), models=folder / "models", **more)
    assert not isinstance(caught.value, MachineFault)
    assert_nothing_left(folder)


def test_a_tampered_archive_is_refused_unopened(archive: Path, tmp_path: Path) -> None:
    known = sha256(archive)
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 1
    archive.write_bytes(content)
    refused(archive, tmp_path, f"expected {known}; it was not opened", sha256=known)
    refused(archive, tmp_path, "not a whole zip archive")


def test_another_file_under_the_name_of_a_published_model_is_refused(
    archive: Path, tmp_path: Path
) -> None:
    published = KNOWN_MODELS["mrsegmentator-1.2"].sha256
    assert published is not None
    refused(archive, tmp_path, f"expected {published}", name="mrsegmentator-1.2")


class Planted:
    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return os.system, (f"touch '{self.trace}'",)


@pytest.mark.parametrize("place", ["network_weights", "logging", "optimizer_state"])
def test_a_pickle_that_runs_code_is_refused_and_does_not_run(
    release: Path, tmp_path: Path, place: str
) -> None:
    trace = tmp_path / "it ran"
    spoilt = copy_release(release, tmp_path / "spoilt")
    path = spoilt / "fold_3" / CHECKPOINT
    write_stock_checkpoint(path, tiny_weights(n_folds=1)[0], **{place: Planted(trace)})
    archive = pack(spoilt, tmp_path / "weights.zip")
    refused(archive, tmp_path, r"fold_3/checkpoint_final\.pth is refused: .* call .*\.system")
    assert not trace.exists()
    torch.load(path, weights_only=False)
    assert trace.exists()  # the plant works where pickles are trusted


def test_plans_that_run_code_are_refused_and_do_not_run(release: Path, tmp_path: Path) -> None:
    trace = tmp_path / "it ran"
    spoilt = copy_release(release, tmp_path / "spoilt")
    plans = tiny_plans()
    network = plans["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"]
    network |= {"nonlin": "os.system", "nonlin_kwargs": {"command": f"touch '{trace}'"}}
    plans["configurations"][RELEASED] = {"inherits_from": "3d_fullres"}
    (spoilt / "plans.json").write_text(json.dumps(plans))
    refused(pack(spoilt, tmp_path / "weights.zip"), tmp_path, r"nonlin 'os\.system' is not a layer")
    assert not trace.exists()


def test_a_name_that_leads_out_is_refused(archive: Path, tmp_path: Path) -> None:
    with ZipFile(archive, "a") as opened:
        opened.writestr("../escaped.json", b"{}")
    refused(archive, tmp_path, r"'\.\./escaped\.json' leads out of the folder")
    assert not list(tmp_path.rglob("escaped.json"))


def test_a_link_is_refused(archive: Path, tmp_path: Path) -> None:
    link = ZipInfo("fold_5")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    with ZipFile(archive, "a") as opened:
        opened.writestr(link, b"/etc")
    refused(archive, tmp_path, "'fold_5' is a link")


def test_a_truncated_archive_is_refused(archive: Path, tmp_path: Path) -> None:
    archive.write_bytes(archive.read_bytes()[:-500])
    refused(archive, tmp_path, "not a whole zip archive")


def spoil_weights(folder: Path) -> None:
    weights = {name: value / 0 for name, value in tiny_weights(n_folds=1)[0].items()}
    write_stock_checkpoint(folder / "fold_1" / CHECKPOINT, weights)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda f: (f / "fold_2" / CHECKPOINT).write_bytes(b"torn"), "not a checkpoint of torch"),
        (lambda f: (f / "fold_2" / CHECKPOINT).unlink(), "fold_2 has no checkpoint_final"),
        (
            lambda f: (f / "fold_4" / CHECKPOINT).rename(f / "fold_4" / "checkpoint_latest.pth"),
            "fold_4 has no checkpoint_final",
        ),
        (lambda f: (f / "fold_2").rename(f / "fold_all"), "fold_all lies beside folds"),
        (spoil_weights, "weights of fold 1 are NaN or infinite"),
        (lambda f: (f / "plans.json").unlink(), "no model of nnU-Net v2"),
        (lambda f: (f / "plans.json").write_text("{"), "cannot be read as JSON"),
        (lambda f: (f / "plans.json").write_text("[]"), "holds no JSON object"),
        (lambda f: (f / "plans.json").write_text("{}"), f"no configuration '{RELEASED}'"),
        (lambda f: (f / "dataset.json").unlink(), r"no dataset\.json"),
        (lambda f: (f / "version.json").write_text('{"weights_version": 1.0}'), "weights 1.0"),
        (
            lambda f: (f / "dataset.json").write_text(
                json.dumps(scheme_dataset(BODY_COMPOSITION_SCHEME))
            ),
            "has 10 classes, label scheme mrsegmentator has 40",
        ),
    ],
)
def test_what_is_not_a_whole_model_is_refused(
    release: Path, tmp_path: Path, spoil: Any, says: str
) -> None:
    spoilt = copy_release(release, tmp_path / "spoilt")
    spoil(spoilt)
    archive = pack(spoilt, tmp_path / "weights.zip")
    name = "mrsegmentator-1.1" if "weights 1.0" in says else None
    refused(archive, tmp_path, says, scheme="mrsegmentator", name=name)


@pytest.mark.parametrize("is_folder", [True, False])
@pytest.mark.parametrize("who", ["mrsegmentator-1.0", "training.json", "model.json"])
def test_a_model_without_its_last_fold_is_refused_where_its_number_is_known(
    release: Path, tmp_path: Path, who: str, is_folder: bool
) -> None:
    spoilt = copy_release(release, tmp_path / "spoilt")
    (spoilt / "version.json").unlink()
    if who == "training.json":
        (spoilt / who).write_text(json.dumps({"folds": [{"fold": n} for n in range(5)]}))
    if who == "model.json":
        whole = run(str(release), models=tmp_path / "whole").folder
        shutil.copy(whole / who, spoilt / who)
    shutil.rmtree(spoilt / "fold_4")
    source = spoilt if is_folder else pack(spoilt, tmp_path / "weights.zip")
    name = who if who.startswith("mrsegmentator") else None
    refused(source, tmp_path, rf"holds 4 fold\(s\), .*{who}.* 5: ", name=name)
    for file in ("model.json", "training.json"):  # whoever means it
        (spoilt / file).unlink(missing_ok=True)
    assert run(str(spoilt), models=tmp_path / "models", name="four").note.n_folds == 4


def test_a_file_of_others_called_like_our_record_of_a_training_says_nothing(
    release: Path, tmp_path: Path
) -> None:
    theirs = copy_release(release, tmp_path / "theirs")
    (theirs / "training.json").write_text("[]")
    assert run(str(theirs), models=tmp_path / "models").note.n_folds == 5


def test_a_training_under_way_is_refused(release: Path, tmp_path: Path) -> None:
    spoilt = copy_release(release, tmp_path / "spoilt")
    for path in spoilt.glob(f"fold_*/{CHECKPOINT}"):
        path.rename(path.with_name("checkpoint_best.pth"))
    archive = pack(spoilt, tmp_path / "weights.zip")
    refused(archive, tmp_path, r"only checkpoint_best\.pth")
    refused(spoilt, tmp_path, r"only checkpoint_best\.pth")


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    release = write_release(tmp_path / "weights", weights=tiny_weights(n_outputs=11))
    refused(release, tmp_path, "not those of a network of its plans with 41 outputs")


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"name": "../x"}, "name '../x'"),
        ({"name": ".x"}, "name '.x'"),
        ({"sha256": "abc"}, "64 hexadecimal digits"),
        ({"scheme": "unknown"}, "'unknown' is unknown"),
        ({"inside": "nowhere"}, "no folder 'nowhere'"),
    ],
)
def test_what_is_asked_for_wrongly_is_said(
    archive: Path, tmp_path: Path, more: dict[str, str], says: str
) -> None:
    refused(archive, tmp_path, says, **more)


def test_an_unknown_name_lists_the_known_ones(tmp_path: Path) -> None:
    refused(Path("mrsegmentator-9"), tmp_path, "not a URL, .*mrsegmentator-1.2, mrsegmentator-body")


def test_numpy_1_names_are_read(release: Path, tmp_path: Path) -> None:
    older = copy_release(release, tmp_path / "older")
    for path in older.glob(f"fold_*/{CHECKPOINT}"):
        of_the_numpy_1_era(path)
    digests = {
        run(str(source), models=tmp_path / source.name).note.digest for source in (older, release)
    }
    assert len(digests) == 1


def test_a_results_folder_of_nnunet_is_a_model(tmp_path: Path) -> None:
    results = tmp_path / "Dataset007_Mine" / "nnUNetTrainer__nnUNetPlans__3d_fullres"
    write_release(
        results,
        plans=tiny_plans(),
        weights=tiny_weights(n_folds=1),
        version=None,
        configuration="3d_fullres",
    )
    installed = run(str(tmp_path / "Dataset007_Mine"), models=tmp_path / "models")
    assert (installed.folder.name, installed.note.version) == ("Dataset007_Mine", None)
    assert (installed.note.configuration, installed.note.n_folds) == ("3d_fullres", 1)


def test_another_model_of_the_name_is_not_replaced(archive: Path, tmp_path: Path) -> None:
    installed = run(str(archive), models=tmp_path / "models", name="m")
    other = write_release(tmp_path / "other", weights=tiny_weights(n_folds=1))
    with pytest.raises(SetupError, match="installed from something else"):
        run(str(other), models=tmp_path / "models", name="m")
    (tmp_path / "models" / "own").mkdir()
    with pytest.raises(SetupError, match="was not installed: give another --name"):
        run(str(archive), models=tmp_path / "models", name="own")
    verify_model.run(str(installed.folder))


@pytest.mark.parametrize("is_there", [True, False], ids=["changed", "gone"])
def test_a_model_that_was_damaged_since_is_installed_again(
    archive: Path, tmp_path: Path, is_there: bool
) -> None:
    installed = run(str(archive), models=tmp_path / "models")
    path = installed.folder / "fold_0" / CHECKPOINT
    if is_there:
        path.write_bytes(path.read_bytes()[:-1])
    else:
        (installed.folder / "plans.json").unlink()
    with pytest.raises(SetupError, match="changed or damaged since" if is_there else "not a model"):
        verify_model.run(str(installed.folder))
    again = run(str(archive), models=tmp_path / "models")
    assert (again.was_there, again.note.digest) == (False, installed.note.digest)
    verify_model.run(str(installed.folder))
    assert [one.name for one in (tmp_path / "models").iterdir()] == ["weights"]


def test_a_file_that_is_not_there_is_said_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = str(tmp_path / "missing.zip")
    command = ["install-model", missing, "--name", "mrsegmentator-1.2", "--models", str(tmp_path)]
    assert app.run(command) == 2
    assert capsys.readouterr().err.startswith(f"organome: {missing!r} is not a URL, a file or")


def test_a_models_folder_that_cannot_be_made_is_said_in_one_line(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    models = tmp_path / "file" / "models"
    assert app.run(["install-model", str(archive), "--models", str(models)]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"organome: {models}")
    assert said.endswith(": Not a directory\n")
    assert len(said.splitlines()) == 1


def test_a_models_folder_that_may_not_be_written_is_said(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, **_: Any) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)  # root may write everywhere
    with pytest.raises(SetupError, match=r"models.*: Permission denied$"):
        run(str(archive), models=tmp_path / "models")


# Published models: their archives are not at hand, so these pretend that ours are published.


def publish(monkeypatch: pytest.MonkeyPatch, **about: Any) -> None:
    model = KnownModel(
        **{
            **{"name": "published", "version": "1.2", "scheme": "mrsegmentator"},
            **{"licence": None, "citation": "doi:x", "sha256": None, "url": "https://x.invalid/w"},
            **about,
        }
    )
    monkeypatch.setattr(install_model, "KNOWN_MODELS", {"published": model})


def test_known_models_are_those_of_the_authors() -> None:
    assert list(KNOWN_MODELS) == [
        *("mrsegmentator-1.0", "mrsegmentator-1.1", "mrsegmentator-1.2"),
        "mrsegmentator-body-comp",
    ]
    for model in KNOWN_MODELS.values():
        assert model.url.startswith("https://")
        assert model.sha256 is None or len(bytes.fromhex(model.sha256)) == 32
    assert KNOWN_MODELS["mrsegmentator-body-comp"].scheme == "body_composition"


def test_a_published_archive_brings_scheme_and_citation(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(monkeypatch, sha256=sha256(archive))
    installed = run(str(archive), models=tmp_path / "models", name="published")
    assert (installed.note.verified, installed.note.scheme) == (True, "mrsegmentator")
    assert "cite doi:x; licence: see its authors" in str(installed)
    assert installed.note.labels_as_delivered is None


def test_classes_of_a_published_archive_are_named_by_its_label_table(
    release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = copy_release(release, tmp_path / "other")
    labels = {"background": 0} | {f"class {n}": n for n in range(1, 41)}
    (other / "dataset.json").write_text(
        json.dumps({"channel_names": {"0": "MR"}, "labels": labels})
    )
    archive = pack(other, tmp_path / "weights.zip")
    refused(archive, tmp_path, "label 1 is class 1, not spleen", scheme="mrsegmentator")
    publish(monkeypatch, sha256=sha256(archive))
    installed = run(str(archive), models=tmp_path / "models", name="published")
    assert installed.note.labels_as_delivered == labels
    named = read_model(installed.folder).dataset["labels"]
    assert {label: name for name, label in named.items() if label} == dict(MRSEGMENTATOR.classes)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    handler = partial(Quiet, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_published_model_is_downloaded_by_its_name(
    archive: Path, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(monkeypatch, sha256=sha256(archive), url=f"{address}/weights.zip")
    installed = run("published", models=tmp_path / "models")
    assert installed.folder == tmp_path / "models" / "published"
    assert installed.note.source == f"{address}/weights.zip"
    assert run("published", models=tmp_path / "models").was_there
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["published"]


def test_an_address_is_downloaded_and_held_to_the_digest_given(
    archive: Path, address: str, tmp_path: Path
) -> None:
    url = f"{address}/weights.zip"
    known = sha256(archive)
    with pytest.raises(SetupError, match="it was not opened"):
        run(url, models=tmp_path / "models", sha256="0" * 64)
    with pytest.raises(SetupError, match="plain http"):
        run(url, models=tmp_path / "models")
    with pytest.raises(SetupError, match="404"):
        run(f"{address}/gone.zip", models=tmp_path / "models", sha256=known)
    assert_nothing_left(tmp_path)
    installed = run(url, models=tmp_path / "models", sha256=known)
    assert (installed.folder.name, installed.note.verified) == ("weights", True)


def test_without_a_network_the_machine_is_at_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(monkeypatch, sha256="0" * 64, url="http://127.0.0.1:1/weights.zip")
    with pytest.raises(MachineFault, match="download it elsewhere"):
        run("published", models=tmp_path / "models")
    assert_nothing_left(tmp_path)


def test_a_full_disk_leaves_nothing(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", "fold_0")

    monkeypatch.setattr("organome.steps.models.conversion.convert_checkpoint", full)
    with pytest.raises(MachineFault, match="No space left"):
        run(str(archive), models=tmp_path / "models")
    assert_nothing_left(tmp_path)


def test_asked_to_stop_it_leaves_nothing(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr("organome.steps.models.conversion.convert_checkpoint", interrupted)
    with pytest.raises(Interrupted):
        run(str(archive), models=tmp_path / "models")
    assert_nothing_left(tmp_path)


def install_command(archive: Path, folder: Path) -> list[str]:
    return [
        *(str(ORGANOME), "install-model", str(archive)),
        *("--models", str(folder / "models"), "--scheme", "mrsegmentator"),
    ]


def test_of_four_that_come_at_once_one_installs_and_the_others_find_it(
    archive: Path, tmp_path: Path
) -> None:
    started = [
        subprocess.Popen(
            install_command(archive, tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for _ in range(4)
    ]
    said = [process.communicate(timeout=300) for process in started]
    assert [process.returncode for process in started] == [0] * 4, said
    assert sum(b": installed," in out for out, _ in said) == 1
    assert sum(b": was there," in out for out, _ in said) == 3
    assert sorted(path.name for path in (tmp_path / "models").iterdir()) == ["weights"]
    verify_model.run(str(tmp_path / "models" / "weights"))


def test_what_a_killed_installer_held_is_taken_over(archive: Path, tmp_path: Path) -> None:
    hang = (
        "import sys, time; from pathlib import Path;"
        " import organome.steps.models.install_model as i;"
        " import organome.steps.models.conversion as c;"
        " c.convert_model = lambda *a, **k: (Path('hangs').touch(), time.sleep(600));"
        " i.run(sys.argv[1], models=Path(sys.argv[2]))"
    )
    models = tmp_path / "models"
    hanging = subprocess.Popen(
        [sys.executable, "-c", hang, str(archive), str(models)], cwd=tmp_path
    )
    while not (tmp_path / "hangs").exists():
        assert hanging.poll() is None
        time.sleep(0.1)
    hanging.kill()
    hanging.wait()
    left = models / ".weights.install"
    assert any(path.name == "unpacked" for path in left.rglob("*"))
    assert not run(str(archive), models=models).was_there
    assert [path.name for path in models.iterdir()] == ["weights"]

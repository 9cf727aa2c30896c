import shutil
from pathlib import Path

import pytest

from doubles.labelled_shard import STEP_SIZE, LabelledShard, label_shard
from organome.domain.errors import SetupError
from organome.io.canaries.references import check_files, read_canary
from organome.io.models.folders import model_digest
from organome.io.tables.step_settings import read_settings, write_settings
from organome.steps.canary import make_canary


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> LabelledShard:
    return label_shard(tmp_path_factory.mktemp("run"), n_scans=4)


def make(shard: LabelledShard, output: Path, **flags) -> make_canary.MadeCanary:
    return make_canary.run(images=shard.images, labelmaps=shard.labelmaps, output=output, **flags)


def test_it_holds_scans_that_went_through_and_what_made_them(
    shard: LabelledShard, tmp_path: Path
) -> None:
    made = make(shard, tmp_path / "canary", n_scans=2)
    canary, _ = read_canary(tmp_path / "canary")
    assert canary == made.canary
    check_files(tmp_path / "canary", canary)
    assert [scan.scan for scan in canary.scans] == ["0000-0001", "0000-0003"]
    assert {path.name for path in (tmp_path / "canary").iterdir()} == {
        "canary.json",
        *(f"{scan.scan}_t1.nii.gz" for scan in canary.scans),
        *(f"{scan.scan}_labels.nii.gz" for scan in canary.scans),
    }
    for scan in canary.scans:
        for name, folder in ((scan.image, shard.images), (scan.labelmap, shard.labelmaps)):
            assert (tmp_path / "canary" / name).read_bytes() == (folder / name).read_bytes()
        assert sum(scan.volumes_ml.values()) > 0
    assert canary.model_digest == model_digest(shard.model)
    assert canary.settings == {"scheme": "mrsegmentator", "tile_step_size": STEP_SIZE}
    assert len(canary.labelled_on) == 1
    assert {"organome", "torch", "nnunetv2", "SimpleITK"} <= set(canary.packed_on.versions)


def test_it_is_spread_over_the_shard_and_the_same_each_time(
    shard: LabelledShard, tmp_path: Path
) -> None:
    for n_scans, places in ((1, [2]), (3, [0, 2, 3]), (4, [0, 1, 2, 3])):
        made = [make(shard, tmp_path / f"{n_scans}{n}", n_scans=n_scans) for n in range(2)]
        assert made[0].canary == made[1].canary
        assert [scan.scan for scan in made[0].canary.scans] == [
            f"0000-{place:04d}" for place in places
        ]


def test_no_participant_and_no_path_is_in_it(shard: LabelledShard, tmp_path: Path) -> None:
    made = make(shard, tmp_path / "canary")
    text = (tmp_path / "canary" / "canary.json").read_text()
    assert "p-secret" not in text + str(made)
    assert str(shard.folder) not in text


def test_one_that_is_there_is_replaced_whole(shard: LabelledShard, tmp_path: Path) -> None:
    make(shard, tmp_path / "canary", n_scans=4)
    make(shard, tmp_path / "canary", n_scans=1)
    assert len(list((tmp_path / "canary").iterdir())) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["canary"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"n_scans": 5}, "4 went through"),
        ({"n_scans": 0}, "0 scans wanted"),
    ],
)
def test_more_scans_than_went_through_are_refused(
    shard: LabelledShard, tmp_path: Path, flags: dict, message: str
) -> None:
    with pytest.raises(SetupError, match=message):
        make(shard, tmp_path / "canary", **flags)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def own_shard(shard: LabelledShard, tmp_path: Path) -> LabelledShard:
    """A copy of the shard that may be damaged."""
    return LabelledShard(Path(shutil.copytree(shard.folder, tmp_path / "run")))


def test_images_that_were_not_kept_are_missed(own_shard: LabelledShard, tmp_path: Path) -> None:
    (own_shard.images / "0000-0002_t1.nii.gz").unlink()
    with pytest.raises(SetupError, match="keep_images"):
        make(own_shard, tmp_path / "canary", n_scans=1)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_labelmap_that_is_not_whole_is_no_reference(
    own_shard: LabelledShard, tmp_path: Path
) -> None:
    labelmap = own_shard.labelmaps / "0000-0002_labels.nii.gz"
    labelmap.write_bytes(labelmap.read_bytes()[:-20])
    with pytest.raises(SetupError, match="0000-0002"):
        make(own_shard, tmp_path / "canary", n_scans=1)


def test_labelmaps_that_came_along_are_no_reference(
    own_shard: LabelledShard, tmp_path: Path
) -> None:
    write_settings(own_shard.labelmaps, {"source": "labelmaps", "scheme": "mrsegmentator"})
    with pytest.raises(SetupError, match="not made by a model"):
        make(own_shard, tmp_path / "canary", n_scans=1)


@pytest.mark.parametrize("other", [{"repair_sides": True}, {"combine": "consensus"}])
def test_labelmaps_that_are_not_the_models_of_one_image_are_no_reference(
    own_shard: LabelledShard, tmp_path: Path, other: dict
) -> None:
    write_settings(own_shard.labelmaps, read_settings(own_shard.labelmaps) | other)
    with pytest.raises(SetupError, match=f"made with {next(iter(other))}"):
        make(own_shard, tmp_path / "canary", n_scans=1)


def test_a_precision_is_part_of_it_and_how_folds_are_averaged_is_no_hindrance(
    own_shard: LabelledShard, tmp_path: Path
) -> None:
    of_five = {"precision": "bfloat16", "fold_average": "as_nnunet"}
    write_settings(own_shard.labelmaps, read_settings(own_shard.labelmaps) | of_five)
    settings = make(own_shard, tmp_path / "canary", n_scans=1).canary.settings
    assert settings["precision"] == "bfloat16"
    assert "fold_average" not in settings


def test_what_made_the_labels_must_be_there(own_shard: LabelledShard, tmp_path: Path) -> None:
    (own_shard.labelmaps / "settings.json").unlink()
    with pytest.raises(SetupError, match=r"settings\.json: cannot be read; run the step again"):
        make(own_shard, tmp_path / "canary", n_scans=1)


def test_a_shard_with_the_agreement_of_folds_gives_the_same_canary(
    shard: LabelledShard, tmp_path: Path
) -> None:
    with_folds = label_shard(tmp_path / "run", n_scans=1, fold_agreement=True)
    canary = make(with_folds, tmp_path / "canary", n_scans=1).canary
    assert canary.settings == {"scheme": "mrsegmentator", "tile_step_size": STEP_SIZE}
    (first,) = canary.scans
    assert first == make(shard, tmp_path / "plain", n_scans=4).canary.scans[0]

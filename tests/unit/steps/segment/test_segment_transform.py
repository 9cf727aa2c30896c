"""Images that are changed before the network: other labels, done again, the images as before."""

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from doubles.segment_steps import SIZE_ZYX, PreparedShard, prepare_shard, put_image
from organome.domain.errors import SetupError
from organome.domain.outcomes import Status


@pytest.fixture
def shard(tmp_path: Path) -> PreparedShard:
    return prepare_shard(tmp_path, n_scans=1)


def test_labels_are_those_of_the_image_turned_by_hand(shard: PreparedShard, tmp_path: Path) -> None:
    (plain,) = shard.run()
    labels, image = shard.labelmap(0), shard.image(0).read_bytes()
    (turned,) = shard.run(transform=["t1:inverted"])
    assert turned.status is Status.DONE
    assert turned.fingerprint != plain.fingerprint
    assert shard.labelmap(0) != labels
    assert shard.image(0).read_bytes() == image
    settings = json.loads((shard.output / "settings.json").read_text())
    assert settings["transforms"] == {"t1": "inverted"}
    # The same noise (0 to 98), turned by hand: 98 - x, and what comes to 97.02 or more was air.
    by_hand = prepare_shard(tmp_path / "by_hand", n_scans=1)
    voxels_zyx = sitk.GetArrayFromImage(sitk.ReadImage(str(shard.image(0)))).astype(np.int16)
    assert voxels_zyx.shape == SIZE_ZYX
    assert (voxels_zyx.min(), voxels_zyx.max()) == (0, 98)
    put_image(by_hand.image(0), np.where(voxels_zyx < 1, 0, 98 - voxels_zyx).astype(np.int16))
    by_hand.run()
    assert by_hand.labelmap(0) == shard.labelmap(0)


def test_other_contrasts_stay_and_nothing_is_done_again(shard: PreparedShard) -> None:
    shard.run(transform=["t1:equalised"])
    labels = shard.labelmap(0)
    shard.run(transform=["t2:inverted"])
    plain = shard.labelmap(0)
    assert plain != labels
    shard.run()
    assert shard.labelmap(0) == plain


@pytest.mark.parametrize("word", ["t1", "t1:upside_down", "t9:inverted", "t1:inverted:twice"])
def test_a_word_that_is_not_known_is_refused(shard: PreparedShard, word: str) -> None:
    with pytest.raises(SetupError, match="inverted_robust"):
        shard.run(transform=[word])


def test_labelmaps_that_exist_are_not_made_of_images(shard: PreparedShard) -> None:
    with pytest.raises(SetupError, match="need a model"):
        shard.run(source="labelmaps", transform=["t1:inverted"])

"""What a plan refuses before nnU-Net begins."""

from pathlib import Path
from typing import Any

import pytest

from doubles.models import write_tiny_model
from organome.domain.errors import SetupError
from organome.steps.train import plan_training
from organome.steps.train.nnunet import Folders


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"spacing_zyx_mm": [3.0, 2.0, 2.0]}, "the spacing is that of train.start_from"),
        ({"patch_zyx": [16, 31, 32]}, r"16 x 31 x 32: .* takes multiples of 2 x 2 x 2 voxels"),
    ],
)
def test_what_does_not_fit_the_model_that_it_goes_on_from(
    tmp_path: Path, flags: dict[str, Any], said: str
) -> None:
    write_tiny_model(tmp_path / "model")
    raw = Folders(tmp_path / "work").raw
    raw.mkdir(parents=True)
    (raw / "dataset.json").write_text("{}")
    with pytest.raises(SetupError, match=said):
        plan_training.run(
            folders=tmp_path / "work",
            output=tmp_path / "plan.json",
            start_from=tmp_path / "model",
            **flags,
        )

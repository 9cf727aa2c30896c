"""The same model and images through mrsegmentator 2.0.0 and here; ``make parity`` runs it."""

import os
import subprocess
from itertools import permutations, product
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from organome.compute.inference.loading import load_segmenter, segment
from organome.domain.scans import Contrast
from organome.io.images.image_files import read_image, write_image
from organome.io.models.folders import read_model
from organome.phantoms.bodies.anatomy import draw_body
from organome.phantoms.rendering.render import SampledGrid, render_dixon, render_image

REPOSITORY = Path(__file__).parents[2]
MODEL = REPOSITORY / "models" / "phantom"
PEER = REPOSITORY / ".venv" / "peers" / "mrsegmentator==2.0.0" / "bin" / "python"
# No two spacings are alike, and no two sizes: an axis that is taken for another one shows. Two
# tiles of the network each.
GRIDS = {
    Contrast.WATER: SampledGrid((36, 30, 40), (6.5, 5.2, 4.1), (-114.0, -75.0, 180.0)),
    Contrast.CT: SampledGrid((64, 48, 30), (3.1, 3.9, 5.2), (-98.0, -92.0, 60.0)),
}
CODES = sorted(
    "".join(pair[side] for pair, side in zip(axes, sides, strict=True))
    for axes in permutations(("RL", "AP", "IS"))
    for sides in product((0, 1), repeat=3)
)
EQUAL_SHARE = 0.9999

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not PEER.exists(), reason="mrsegmentator is not installed: make parity does it"
    ),
]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the same two images in all orientations, as ``<contrast>_<code>.nii.gz``."""
    folder = tmp_path_factory.mktemp("images")
    body, chance = draw_body(3), np.random.default_rng(3)
    water = render_dixon(body, GRIDS[Contrast.WATER], chance)[Contrast.WATER]
    ct = render_image(body, Contrast.CT, GRIDS[Contrast.CT], chance)
    for contrast, image in ((Contrast.WATER, water), (Contrast.CT, ct)):
        for code in CODES:
            write_image(folder / f"{contrast}_{code}.nii.gz", sitk.DICOMOrient(image, code))
    return folder


@pytest.fixture(scope="module")
def peer_labels(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the labelmaps of mrsegmentator, which labels all images in one run."""
    output = tmp_path_factory.mktemp("peer")
    peers = REPOSITORY / "benchmarks" / "segmentation_peers.py"
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    done = subprocess.run(
        # All images in one chunk: workers are started again for every chunk.
        [PEER, peers, "mrsegmentator", images, output, MODEL, "--chunk", "96", "--n-workers", "2"],
        env={**os.environ, **one_thread},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return output


def test_images_of_all_orientations_get_the_labels_that_mrsegmentator_gives(
    images: Path, peer_labels: Path
) -> None:
    segmenter = load_segmenter(read_model(MODEL), device="cpu")
    assert len(CODES) == 48
    shares = {}
    labels_lps: dict[str, bytes] = {}
    for path in sorted(images.iterdir()):
        found = segment(read_image(path), segmenter)
        theirs = sitk.ReadImage(str(peer_labels / path.name))
        assert found.GetSize() == theirs.GetSize()
        for quantity in ("GetSpacing", "GetOrigin", "GetDirection"):
            np.testing.assert_allclose(
                getattr(found, quantity)(), getattr(theirs, quantity)(), atol=1e-3
            )
        found_zyx, theirs_zyx = sitk.GetArrayFromImage(found), sitk.GetArrayFromImage(theirs)
        shares[path.name] = float(np.mean(found_zyx == theirs_zyx))
        assert len(np.unique(theirs_zyx)) > 10, "labels of no organs would agree with anything"
        contrast = path.name.split("_")[0]
        turned = sitk.GetArrayFromImage(sitk.DICOMOrient(found, "LPS")).tobytes()
        assert labels_lps.setdefault(contrast, turned) == turned, path.name
    worst = min(shares, key=lambda name: shares[name])
    assert shares[worst] >= EQUAL_SHARE, f"{worst}: {shares[worst]:.5f}"

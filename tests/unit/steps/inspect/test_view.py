import runpy
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image

from doubles.measurable import MeasurableShard
from organome.domain.errors import SetupError
from organome.domain.organ_codes import colour_of
from organome.domain.organs import ORGAN_BY_NAME
from organome.domain.rows import scan_key_values
from organome.io.images.image_files import write_image
from organome.io.tables.parquet import write_table
from organome.io.tables.pictures import pictures_path, pictures_to_arrow
from organome.steps.inspect.view import run

FACTS = {
    "prepare_images": {"contrasts": ["water"], "size_xyz": [20, 20, 20], "flags": []},
    "segment_organs": {"contrast": "water", "source": "labelmaps", "scheme": "mrsegmentator"},
}
KEY = "0000-0000"


@pytest.fixture
def shard(tmp_path: Path) -> MeasurableShard:
    made = MeasurableShard(tmp_path, FACTS, n_scans=1)
    voxels_zyx = np.full((20, 20, 20), 300, np.int16)
    labels_zyx = np.zeros((20, 20, 20), np.uint8)
    labels_zyx[3:9, 3:9, 3:9] = 5
    for array, path in (
        (voxels_zyx, made.images / f"{KEY}_water.nii.gz"),
        (labels_zyx, made.labelmaps / f"{KEY}_labels.nii.gz"),
    ):
        image = sitk.GetImageFromArray(array)
        image.SetSpacing((15.0, 15.0, 15.0))
        write_image(path, image)
    made.write_ledgers()
    return made


def test_a_scan_is_shown_as_facts_and_written_for_every_viewer(
    shard: MeasurableShard, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shard.folder
    shown = run(
        KEY, folder, png=folder / "a.png", slicer=folder / "slicer", itksnap=folder / "snap"
    )
    said = str(shown)
    assert said.startswith(f"scan {KEY}")  # no colours: this is no terminal
    assert said.count("written: ") == 3
    with Image.open(folder / "a.png") as picture:
        pixels = {tuple(one) for one in np.asarray(picture).reshape(-1, 3)}
        assert not picture.info
    assert colour_of(ORGAN_BY_NAME["liver"]) in pixels

    slicer = MagicMock()
    monkeypatch.setitem(sys.modules, "slicer", slicer)
    runpy.run_path(str(folder / "slicer" / f"{KEY}_scene.py"))
    (volume,), (segmentation,) = (
        getattr(slicer.util, name).call_args.args for name in ("loadVolume", "loadSegmentation")
    )
    assert Path(volume).is_file()
    assert sitk.ReadImage(segmentation).GetMetaData("Segment0_Name") == "liver"

    registry = ET.parse(folder / "snap" / f"{KEY}.itksnap").getroot()
    layers = registry.findall("folder[@key='Layers']/folder/entry[@key='AbsolutePath']")
    assert [Path(one.get("value", "")).is_file() for one in layers] == [True, True]
    names = registry.findall("folder[@key='IRIS']/folder/folder/entry[@key='Label']")
    assert [one.get("value") for one in names][4] == "liver"


def test_without_its_image_the_stored_picture_is_shown_in_the_terminal(
    shard: MeasurableShard, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shard.folder
    (shard.images / f"{KEY}_water.nii.gz").unlink()
    with pytest.raises(SetupError, match="no picture of it was drawn"):
        run(KEY, folder, png=folder / "a.png")
    with pytest.raises(SetupError, match="its image not kept"):
        run(KEY, folder, slicer=folder / "slicer")
    path = folder / "one.webp"
    Image.new("RGB", (40, 20), (200, 0, 0)).save(path, lossless=True)
    row = {
        **scan_key_values(shard.scans[0]),
        "picture": "planes",
        "webp": path.read_bytes(),
        "width_px": 40,
        "height_px": 20,
        "mm_per_px": 1.0,
        "alt_text": "Red.",
    }
    write_table(pictures_path(folder / "results", "0000"), pictures_to_arrow([row]))
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(isatty=lambda: True))
    shown = run(KEY, folder, png=folder / "a.png")
    assert "\x1b[38;2;200;0;0;48;2;200;0;0m" in shown.picture
    assert (folder / "a.png").is_file()
    assert not run(KEY, folder, picture=False).picture
    with pytest.raises(SetupError, match="--organ liver: not drawn"):
        run(KEY, folder, organ="liver")

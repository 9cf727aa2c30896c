"""Labelmaps: on the very grid of the image, with names in the header, as a file or packed."""

import gzip
import warnings
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from organome.domain.errors import MachineFault, SetupError
from organome.domain.organ_codes import colour_of
from organome.domain.organs import Organ, Region, Side
from organome.domain.schemes import SCHEMES
from organome.io.files.identity import MISSING
from organome.io.files.packs import packed_sizes, write_pack
from organome.io.images.image_files import read_image, write_image
from organome.io.images.labelmaps import (
    PACK,
    labelmap_content,
    labelmap_identity,
    labelmap_path,
    read_labelmap,
    write_labelmap,
)

SCHEME = SCHEMES["mrsegmentator"]
CARET = 30


def label_table(path: Path) -> ElementTree.Element | None:
    """Read the table of labels in the header, None where there is none."""
    for extension in nib.load(path).header.extensions:
        if extension.get_code() == CARET:
            return ElementTree.fromstring(extension.content.rstrip(b"\0"))
    return None


def names_of(table: ElementTree.Element) -> dict[int, str | None]:
    return {int(one.attrib["Key"]): one.text for one in table.findall(".//LabelTable/Label")}


def colours_of(table: ElementTree.Element) -> dict[int, tuple[int, ...]]:
    return {
        int(one.attrib["Key"]): tuple(
            round(255 * float(one.attrib[name])) for name in ("Red", "Green", "Blue")
        )
        for one in table.findall(".//LabelTable/Label")
    }


def turned(seed: int) -> tuple[float, ...]:
    """A rotation by no simple angle."""
    turn, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    turn[:, 0] *= np.linalg.det(turn)
    return tuple(turn.ravel())


DIRECTIONS = {
    "axial": (1.0, 0, 0, 0, 1, 0, 0, 0, 1),
    "feet first": (1.0, 0, 0, 0, -1, 0, 0, 0, -1),
    "coronal": (1.0, 0, 0, 0, 0, 1, 0, -1, 0),
    **{f"oblique {seed}": turned(seed) for seed in range(6)},
}


def image_on(direction: tuple[float, ...], pixel: type = np.int16) -> sitk.Image:
    chance = np.random.default_rng(1)
    made = sitk.GetImageFromArray(chance.integers(0, 41, (20, 30, 40)).astype(pixel))
    made.SetSpacing((1.51, 2.2321, 3.007))
    made.SetOrigin((-211.5003, 107.251, 1234.567))
    made.SetDirection(direction)
    return made


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return labelmap_path(tmp_path, "0000-0003")


@pytest.fixture
def labelmap() -> sitk.Image:
    return image_on(DIRECTIONS["oblique 0"], np.uint8)


@pytest.mark.parametrize("direction", DIRECTIONS.values(), ids=DIRECTIONS)
def test_the_grid_is_that_of_the_image_to_the_last_bit(
    tmp_path: Path, path: Path, direction: tuple[float, ...]
) -> None:
    source = tmp_path / "image.nii.gz"
    write_image(source, image_on(direction))
    image = read_image(source)
    labels = sitk.Cast(image, sitk.sitkUInt8)
    write_labelmap(path, labels, SCHEME, grid_of=source)
    read = read_labelmap(path)
    assert read.GetPixelID() == sitk.sitkUInt8
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read), sitk.GetArrayFromImage(labels))
    for name in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
        assert getattr(read, name)() == getattr(image, name)(), name


def test_other_programs_read_it(path: Path, labelmap: sitk.Image) -> None:
    write_labelmap(path, labelmap, SCHEME)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plain = sitk.ReadImage(str(path))
        nifti = nib.load(path)
    expected = sitk.GetArrayFromImage(labelmap)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(plain), expected)
    np.testing.assert_array_equal(np.asarray(nifti.dataobj).T, expected)
    assert nifti.get_data_dtype() == np.uint8
    assert nifti.header.get_intent()[0] == "label"


@pytest.mark.parametrize("name", SCHEMES)
def test_the_header_names_the_labels(path: Path, labelmap: sitk.Image, name: str) -> None:
    scheme = SCHEMES[name]
    write_labelmap(path, labelmap, scheme)
    table = label_table(path)
    assert table is not None
    structures = scheme.structures
    assert names_of(table) == {0: "background", **{one.label: one.name for one in structures}}
    assert colours_of(table) == {0: (0, 0, 0), **{one.label: colour_of(one) for one in structures}}
    known = {one.findtext("Name"): one.findtext("Value") for one in table.findall(".//MD")}
    assert known == {"LabelScheme": name}
    # For whoever looks without any program that knows it.
    assert f">{structures[3].name}</Label>".encode() in gzip.decompress(path.read_bytes())


def test_a_labelmap_without_names_has_none(path: Path, labelmap: sitk.Image) -> None:
    write_image(path, labelmap)
    assert label_table(path) is None


def test_equal_labelmaps_are_equal_bytes_wherever_they_lie(
    tmp_path: Path, path: Path, labelmap: sitk.Image
) -> None:
    other = tmp_path / "elsewhere" / "another_labels.nii.gz"
    for each in (path, other):
        write_labelmap(each, labelmap, SCHEME)
    assert path.read_bytes() == other.read_bytes()
    assert path.read_bytes()[3:8] == bytes(5)  # of gzip: no name, no time
    assert [one.name for one in tmp_path.iterdir() if one.is_file()] == [path.name]


def test_labels_of_another_type_or_size_are_refused(
    tmp_path: Path, path: Path, labelmap: sitk.Image
) -> None:
    with pytest.raises(ValueError, match="uint8"):
        write_labelmap(path, sitk.Cast(labelmap, sitk.sitkInt16), SCHEME)
    source = tmp_path / "image.nii.gz"
    write_image(source, labelmap[1:])
    with pytest.raises(ValueError, match="voxels"):
        write_labelmap(path, labelmap, SCHEME, grid_of=source)
    assert not path.exists()


def packed(path: Path, *others: str) -> None:
    """Put a labelmap that lies there into a pack instead, between others."""
    content = path.read_bytes()
    write_pack(
        path.with_name(PACK), [("a", b"a"), (path.name, content), *((n, b"") for n in others)]
    )
    path.unlink()


def test_packed_it_is_the_same(path: Path, labelmap: sitk.Image) -> None:
    write_labelmap(path, labelmap, SCHEME)
    lying = read_labelmap(path), labelmap_content(path), labelmap_identity(path)
    packed(path)
    assert not path.exists()
    assert sitk.Hash(read_labelmap(path)) == sitk.Hash(lying[0])
    assert read_labelmap(path).GetDirection() == lying[0].GetDirection()
    assert (labelmap_content(path), labelmap_identity(path)) == lying[1:]


def test_its_identity_is_of_its_content(path: Path, labelmap: sitk.Image) -> None:
    write_labelmap(path, labelmap, SCHEME)
    packed(path)
    before = labelmap_identity(path)
    write_labelmap(path, labelmap + 1, SCHEME)
    lying = labelmap_identity(path)
    packed(path, "more")
    assert before != lying == labelmap_identity(path)


@pytest.mark.parametrize("with_pack", [False, True])
def test_gone_it_is_a_fault_of_the_run(path: Path, labelmap: sitk.Image, with_pack: bool) -> None:
    if with_pack:
        write_pack(path.with_name(PACK), [("0000-0001_labels.nii.gz", b"")])
    with pytest.raises(SetupError, match="gone"):
        read_labelmap(path)
    assert labelmap_identity(path) == MISSING


def test_damaged_in_a_pack_that_one_is_asked_for_again(path: Path, labelmap: sitk.Image) -> None:
    write_labelmap(path, labelmap, SCHEME)
    content = bytearray(path.read_bytes())
    packed(path, "more")
    pack, ledger = path.with_name(PACK), path.with_name("ledger.parquet")
    ledger.touch()
    pack.write_bytes(pack.read_bytes().replace(content, content[:99] + b"~" + content[100:]))
    assert labelmap_identity(path) not in (MISSING, None)
    with pytest.raises(MachineFault, match=r"labelmaps\.zip: was damaged") as caught:
        read_labelmap(path)
    assert not caught.value.is_local
    assert list(packed_sizes(pack)) == ["a", "more"]
    assert not ledger.exists()


def test_damaged_before_it_was_packed_that_one_is_asked_for_again(
    path: Path, labelmap: sitk.Image
) -> None:
    write_labelmap(path, labelmap, SCHEME)
    path.write_bytes(path.read_bytes()[:-20] + bytes(20))
    packed(path, "more")
    ledger = path.with_name("ledger.parquet")
    ledger.touch()
    with pytest.raises(MachineFault, match="was damaged"):
        read_labelmap(path)
    assert list(packed_sizes(path.with_name(PACK))) == ["a", "more"]
    assert not ledger.exists()


def test_cut_short_a_pack_is_asked_for_again(path: Path, labelmap: sitk.Image) -> None:
    write_labelmap(path, labelmap, SCHEME)
    packed(path)
    pack = path.with_name(PACK)
    pack.write_bytes(pack.read_bytes()[:-30])
    with pytest.raises(MachineFault, match="was damaged"):
        read_labelmap(path)
    assert not pack.exists()


def test_a_table_of_any_text_comes_back(path: Path, labelmap: sitk.Image) -> None:
    structure = Organ(7, 'x < "y"', Region.OTHER, Side.NONE)
    write_labelmap(path, labelmap, replace(SCHEME, name="<a> & b", structures=(structure,)))
    table = label_table(path)
    assert table is not None
    assert names_of(table)[7] == 'x < "y"'
    assert table.findtext(".//MD/Value") == "<a> & b"

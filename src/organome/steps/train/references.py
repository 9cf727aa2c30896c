"""References of any scheme -> labelmaps of the 40 organs on the grid of their image."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import SimpleITK as sitk

from organome.compute.labelmaps.delivered import merge_to_organs, put_onto
from organome.domain.cases import Case
from organome.domain.errors import ScanError
from organome.domain.outcomes import Reason
from organome.domain.schemes import LabelScheme
from organome.io.files.packs import read_packed
from organome.io.images.image_files import read_delivered
from organome.io.images.labelmaps import LABELS_FILE, PACK
from organome.io.tables.schemes import PUBLISHED, find_scheme, write_published_scheme


def organ_labelmap(case: Case, scheme: LabelScheme, image: sitk.Image) -> sitk.Image:
    """Read the reference of a case, its classes merged to the 40 organs.

    Args:
        case: Whose reference.
        scheme: What its values, or the names of its masks, mean.
        image: On whose grid.

    Returns:
        Labels of uint8.

    Raises:
        ScanError: It cannot be read, holds an unknown value, or lies on another grid.
    """
    path = Path(case.reference)
    if path.is_dir():
        return _merged_masks(path, scheme, image)
    with _loose(path) as file:
        return merge_to_organs(read_delivered(file, constant=True), scheme, image)


def packed_reference(path: Path) -> bytes | None:
    """Read a reference that a run has published in the pack of its shard, and not as a file.

    Returns:
        Its file, None where it is not packed.

    Raises:
        ScanError: The pack is damaged; nothing is removed from somebody's run.
    """
    return None if path.is_file() else read_packed(path.with_name(PACK), path.name)


def covered_scheme(word: str, sources: Iterable[LabelScheme], folder: Path) -> str:
    """Name a scheme, or write it without the organs that its labelmaps cannot hold.

    Args:
        word: Name or file of the scheme; its values are labels of the sources' structures.
        sources: Schemes that the labelmaps were made from.
        folder: Where a file is written.

    Returns:
        Name or file.

    Raises:
        SetupError: The scheme is unknown.
    """
    stated = find_scheme(word)
    scheme = stated.without_missing(sources)
    if scheme is stated:
        return word
    write_published_scheme(folder, scheme)
    return str(folder / PUBLISHED)


@contextmanager
def _loose(path: Path) -> Iterator[Path]:
    """Name the file of a reference, unpacked for as long as it is read."""
    if (content := packed_reference(path)) is None:
        yield path
        return
    with TemporaryDirectory(prefix="organome-") as folder:
        unpacked = Path(folder, LABELS_FILE)
        unpacked.write_bytes(content)
        yield unpacked


def _merged_masks(folder: Path, scheme: LabelScheme, image: sitk.Image) -> sitk.Image:
    """Merge TotalSegmentator's folder of one mask a class."""
    wanted = {scheme.classes[source]: organ for source, organ in scheme.organ_labels.items()}
    missing = [name for name in wanted if not (folder / f"{name}.nii.gz").is_file()]
    if missing:
        fact = f"{len(missing)} of {len(wanted)} masks are missing ({missing[0]})"
        raise ScanError(Reason.LABELMAP_MISSING, fact)
    labels_zyx = np.zeros(image.GetSize()[::-1], np.uint8)
    for name, organ in wanted.items():
        delivered = read_delivered(folder / f"{name}.nii.gz", constant=True)
        mask = put_onto(delivered.image, image, delivered)
        labels_zyx[sitk.GetArrayViewFromImage(mask) > 0] = organ
    merged = sitk.GetImageFromArray(labels_zyx)
    merged.CopyInformation(image)
    return merged

"""Labelmaps that a cohort brings along: read, checked and written as those of a model are."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from organome.compute.geometry.grids import share_grid
from organome.compute.labelmaps.remapping import round_labels
from organome.domain.errors import ScanError
from organome.domain.flags import Flag
from organome.domain.outcomes import JsonValue, Outcome, Reason
from organome.domain.scans import Scan
from organome.io.files.cohort_roots import CohortRoot
from organome.io.files.delivered import is_folder
from organome.io.files.identity import MISSING, input_identity
from organome.io.images.image_files import read_delivered, read_published
from organome.io.images.reading import Delivered
from organome.steps.segment.labelling import STEP, Labelling

VERSION: Final = 5  # raised when the same input would give another result
_SOURCE: Final[Mapping[str, JsonValue]] = {"source": "labelmaps"}


class TakeLabelmaps:
    """Take the labelmap that is listed for each scan."""

    name = STEP
    version = VERSION

    def __init__(self, labelling: Labelling, root: CohortRoot, orientation: str = "") -> None:
        self._labelling = labelling
        self._root = root
        self._orientation = orientation

    def settings(self) -> Mapping[str, JsonValue]:
        """Return all settings that change results."""
        stated = {"orientation": self._orientation} if self._orientation else {}
        return self._labelling.settings({**_SOURCE, **stated})

    def input_identity(self, scan: Scan, upstream: Outcome | None) -> JsonValue:
        """Return the fingerprint of the prepared images and the identity of the listed file.

        Raises:
            MachineFault: The file is missing because the whole cohort is.
        """
        labelmap = None
        if scan.labelmap is not None:
            labelmap = input_identity(Path(scan.labelmap))
            if labelmap == MISSING:
                self._root.check()
        return [upstream.fingerprint if upstream else None, labelmap]

    def run_scan(
        self, scan: Scan, upstream: Outcome | None, place: Callable[[str], Path]
    ) -> Mapping[str, JsonValue]:
        """Bring the listed labelmap onto the grid of the image.

        Raises:
            ScanError: The scan has none of the wanted contrasts; or its labelmap is not there,
                cannot be read, has unknown labels or lies on another grid.
            MachineFault: The labelmap cannot be read because the whole cohort is gone.
        """
        assert upstream is not None
        labelling = self._labelling
        choice = labelling.choose(upstream)
        contrast = choice.contrasts[0]
        path = labelling.image_path(scan, contrast)
        image = read_published(path)
        delivered = self._read(scan)
        try:
            labels, is_rounded = round_labels(delivered.image, value_step=delivered.value_step)
            labelmap = labelling.organs(
                labels,
                image=image,
                names=delivered.names,
                may_be_part=delivered.is_part,
                error_mm=delivered.place_error_mm,
            )
        except ScanError as error:
            raise _of_labelmap(error) from error
        flags = {
            Flag.LABELS_ROUNDED: is_rounded,
            Flag.LABELMAP_TURNED: not share_grid(labels, image, error_mm=delivered.place_error_mm),
        }
        odd = {flag for flag, is_so in flags.items() if is_so}
        written = labelling.write(labelmap, image=path, place=place, flags=odd)
        return {
            **_SOURCE,
            "contrast": contrast.value,
            "contrast_choice": choice.reason.value,
            "scheme": labelling.scheme.name,
            **written,
        }

    def finish(self, outcomes: Sequence[Outcome], folder: Path) -> None:  # noqa: ARG002
        """Write what the labels mean and what made them."""
        self._labelling.finish(folder, self.settings())

    def _read(self, scan: Scan) -> Delivered:
        if scan.labelmap is None:
            raise ScanError(Reason.LABELMAP_MISSING, "no labelmap is listed for this scan")
        path = Path(scan.labelmap)
        try:
            if is_folder(path) or path.suffix.lower() == ".dcm":
                # Here: highdicom takes a quarter of a second, and most labelmaps are NIfTI.
                from organome.io.viewers.dicom_segmentations import read_dicom_segmentation

                return read_dicom_segmentation(path)
            return read_delivered(path, constant=True, orientation=self._orientation)
        except (ScanError, OSError) as error:
            self._root.check()
            if not isinstance(error, ScanError):
                raise
            if error.reason is Reason.FILE_MISSING:
                fact = "the listed labelmap does not exist"
                raise ScanError(Reason.LABELMAP_MISSING, fact) from error
            raise _of_labelmap(error) from error


def _of_labelmap(error: ScanError) -> ScanError:
    """Say that it is the labelmap that is at fault, and not the image."""
    return ScanError(error.reason, f"labelmap: {error.fact}")

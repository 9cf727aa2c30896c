"""What the steps before measuring have published of a shard: images, labelmaps and outcomes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pyarrow.parquet as pq
import SimpleITK as sitk

from organome.domain.errors import SetupError
from organome.domain.flags import Flag
from organome.domain.outcomes import JsonValue, Outcome
from organome.domain.scans import Contrast, Scan
from organome.domain.schemes import LabelScheme
from organome.io.images.image_files import read_published, read_published_slice
from organome.io.images.labelmaps import labelmap_identity, labelmap_path, read_labelmap
from organome.io.tables.ledgers import LEDGER, read_ledger, settings_of
from organome.io.tables.schemes import scheme_of_labelmaps


@dataclass(frozen=True, slots=True)
class LabelledShard:
    """A shard that prepare_images and segment_organs have been through.

    Attributes:
        images: Folder of the shard that prepare_images published.
        labelmaps: Folder of the shard that segment_organs published.
        prepared: Outcomes of prepare_images by scan key.
        labelled: Outcomes of segment_organs by scan key.
        scheme: Label scheme of the labelmaps.
        settings: Digests of the settings of both steps, by step; one that is not stated is missing.
    """

    images: Path
    labelmaps: Path
    prepared: Mapping[str, Outcome]
    labelled: Mapping[str, Outcome]
    scheme: LabelScheme
    settings: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def open(cls, images: Path, labelmaps: Path, scans: Iterable[Scan]) -> Self:
        """Read the ledgers and the scheme of a shard.

        Raises:
            SetupError: If a step has not been through the shard, or does not know one of the scans.
        """
        prepared = read_ledger(images / LEDGER)
        labelled = read_ledger(labelmaps / LEDGER)
        for scan in scans:
            if scan.scan not in prepared:
                raise SetupError(f"{images / LEDGER}: {scan.scan} is listed but not in it")
        scheme = scheme_of_labelmaps(labelmaps, labelled)
        settings = {
            step: digest
            for step, folder in (("prepare_images", images), ("segment_organs", labelmaps))
            if (digest := settings_of(pq.read_schema(folder / LEDGER)))
        }
        return cls(images, labelmaps, prepared, labelled, scheme, settings)

    def identity(self, scan: Scan) -> JsonValue:
        """Return the outcomes before and the labelmap itself: GPUs differ in single voxels."""
        return [
            self.prepared[scan.scan].fingerprint,
            self.labelled[scan.scan].fingerprint,
            labelmap_identity(labelmap_path(self.labelmaps, scan.scan)),
        ]

    def has_fat_fraction(self, scan: Scan) -> bool:
        """Whether both images of a fat fraction are there, and plausible; exchanged they may be."""
        facts = self.prepared[scan.scan].facts
        is_odd = Flag.FAT_WATER_IMPLAUSIBLE in (facts.get("flags") or ())
        return {Contrast.FAT, Contrast.WATER} <= set(facts.get("contrasts", ())) and not is_odd

    def seen_xyz(self, scan: Scan) -> Any:
        """Return the boxes of the labelled image that were seen; None: all of it."""
        return self._of_labelled(scan, "seen_xyz")

    def round_xyz(self, scan: Scan) -> Any:
        """Return the round field of view of the labelled image; None: it is not round."""
        return self._of_labelled(scan, "round_xyz")

    def _of_labelled(self, scan: Scan, name: str) -> Any:
        contrast = self.labelled[scan.scan].facts.get("contrast")
        return self.prepared[scan.scan].facts.get(name, {}).get(contrast)

    def read_labelmap(self, scan: Scan) -> sitk.Image:
        """Read the labelmap of a scan.

        Raises:
            MachineFault: If it is gone or damaged: then its step is asked for it again.
            ScanError: If it is whole and cannot be read all the same.
        """
        return read_labelmap(labelmap_path(self.labelmaps, scan.scan))

    def read_image(self, scan: Scan, contrast: str) -> sitk.Image:
        """Read an image of a scan.

        Raises:
            MachineFault: If it is gone or damaged: then its step is asked for it again.
            ScanError: If it is whole and cannot be read all the same.
        """
        return read_published(self.images / f"{scan.scan}_{contrast}.nii.gz")

    def read_slice(self, scan: Scan, name: str) -> sitk.Image:
        """Read an image of one slice that goes with a scan.

        Raises:
            MachineFault: If it is gone or damaged: then its step is asked for it again.
        """
        return read_published_slice(self.images / f"{scan.scan}_{name}.nii.gz")

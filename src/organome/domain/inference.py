"""How a model is run: settings of the inference, and the memory that a scan will need."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final, Literal

Device = Literal["auto", "cpu", "cuda"]  # where networks run


class Transform(StrEnum):
    """What an image goes through just before the network."""

    INVERTED = "inverted"  # as the authors did to have MRI annotated by a model for CT
    INVERTED_ROBUST = "inverted_robust"  # the same, and single hot voxels do not count
    EQUALISED = "equalised"  # by its histogram


TRANSFORM_BYTES: Final = 24  # a voxel: three images of double precision


class InputResampling(StrEnum):
    """How an image is brought to the spacing of the model."""

    EXACT = "exact"  # as the plans say, which is how the model saw its training images
    LINEAR = "linear"  # trilinear instead of splines: quicker, other labels at some boundaries


class Precision(StrEnum):
    """With what numbers the network computes."""

    STOCK = "stock"  # as nnU-Net does: half precision on a GPU, single on a processor
    SINGLE = "single"
    BFLOAT16 = "bfloat16"  # quicker on processors that have it; other labels at some boundaries


class FoldAverage(StrEnum):
    """How the logits of several folds were averaged."""

    AS_NNUNET = "as_nnunet"  # those of each fold, rounded to half precision before
    BY_TILE = "by_tile"  # tile by tile, in less memory: some voxels in 100,000 have other labels


@dataclass(frozen=True, slots=True)
class InferenceSettings:
    """How a model is run.

    Attributes:
        tile_step_size: Step of the sliding window as a share of the patch, above 0 and up to 1.
        tile_batch: Tiles that go through the network at a time; 0 for one on a processor, and on a
            GPU as many as it was seen to hold.
        precision: With what numbers the network computes.
        skip_air: Whether tiles that hold nothing but air are background without a look at them.
        compile: Whether the network is compiled first; pays on GPUs, after minutes.
        channels_last: Whether the network gets its channels last in memory.
        cuda_graphs: Whether the calls of the network are recorded once and replayed; GPUs only.
        resampling: How the image is brought to the spacing of the model.
        fold_labels: Whether the labels of each fold alone are given besides those of their mean.
        fold_average: How the logits of several folds are averaged.
        folds_resident: Whether the networks of all folds stay on the device, or are swapped in.
        sums_on_device: Whether logits are summed up and turned into labels on the device of the
            network, or by the processor.
    """

    tile_step_size: float = 0.5
    tile_batch: int = 0
    precision: Precision = Precision.STOCK
    skip_air: bool = False
    compile: bool = False
    channels_last: bool = False
    cuda_graphs: bool = False
    resampling: InputResampling = InputResampling.EXACT
    fold_labels: bool = False
    fold_average: FoldAverage = FoldAverage.AS_NNUNET
    folds_resident: bool = True
    sums_on_device: bool = True

    def lean(self, n_folds: int) -> "InferenceSettings":
        """Return settings that take less memory, the very same where there are none.

        First those that give the same labels. From there, folds are averaged in another way, and
        some voxels have another label: only where nothing else fits.

        Args:
            n_folds: Folds of the model.
        """
        leaner = replace(
            self,
            tile_batch=1,
            compile=False,
            cuda_graphs=False,
            folds_resident=False,
            sums_on_device=False,
        )
        if leaner == self and n_folds > 1:
            return replace(self, fold_average=FoldAverage.BY_TILE)
        return leaner

    def n_sums(self, n_folds: int) -> int:
        """Return how many sums of logits are held: of the mean, and of each fold where needed."""
        by_fold = self.fold_labels or self.averages_finished(n_folds)
        return 1 + (n_folds if by_fold else 0)

    def averages_finished(self, n_folds: int) -> bool:
        """Return whether the logits of each fold are finished before they are averaged."""
        return n_folds > 1 and self.fold_average is FoldAverage.AS_NNUNET

    def of_labels(self) -> dict[str, Any]:
        """Return the settings that change labels, by name; those left at their default are omitted.

        So a setting that a later release adds makes no labelmap of an earlier one stale.
        """
        stock = InferenceSettings()
        names = ("precision", "skip_air", "resampling", "fold_labels")
        return {
            name: getattr(self, name)
            for name in names
            if getattr(self, name) != getattr(stock, name)
        }


@dataclass(frozen=True, slots=True)
class MemoryNeed:
    """Upper bounds of the memory that a scan takes while it is labelled, without the model itself.

    Attributes:
        prepare_bytes: Of the machine, while the image is prepared; the image itself is included.
        infer_bytes: Of the machine, while the network runs on a prepared image.
        restore_bytes: Of the machine, while labels are brought back to the image's grid.
        device_bytes: Of the GPU; 0 where the network runs on the processor.
    """

    prepare_bytes: int
    infer_bytes: int
    restore_bytes: int
    device_bytes: int

    @property
    def host_bytes(self) -> int:
        """Memory of the machine for one scan at a time."""
        return max(self.prepare_bytes, self.infer_bytes, self.restore_bytes)

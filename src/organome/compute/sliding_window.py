"""nnU-Net's predictor with a sliding window that a broken GPU can neither stall nor deceive.

The window of nnU-Net fetches patches in a thread. An error of the GPU in that thread ends the
thread, and the prediction waits for its next patch for ever. Errors outside of it are taken for a
lack of memory and tried again; NaN goes unnoticed.

Source: nnU-Net 2.8 (``predict_from_raw_data``), the same operations in the same order.
"""

from collections.abc import Sequence
from traceback import clear_frames
from typing import Final

import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.inference.sliding_window_prediction import compute_gaussian

from organome.compute.gpu_faults import NotFiniteError, gpu_faults_stop_the_job

_Slicer = tuple[slice, ...]
GAUSSIAN_SIGMA: Final = 1.0 / 8  # as a share of the patch
GAUSSIAN_SCALE: Final = 10.0  # half precision holds no smaller weights


class SlidingWindow(nnUNetPredictor):  # type: ignore[misc]  # nnU-Net ships no types
    """nnU-Net's predictor with a window of our own; all else is nnU-Net's."""

    def _internal_predict_sliding_window_return_logits(  # called by nnU-Net under this name
        self, data: torch.Tensor, slicers: Sequence[_Slicer], do_on_device: bool = True
    ) -> torch.Tensor:
        """Average the logits of all patches, weighted by a Gaussian.

        Args:
            data: Preprocessed voxels, c, z, y, x.
            slicers: Where the patches lie.
            do_on_device: Whether the sums are kept on the GPU; nnU-Net asks again without, when
                its memory does not suffice.

        Returns:
            Logits, label, z, y, x.

        Raises:
            RuntimeError: The memory of the GPU does not suffice.
            MachineFault: The GPU is at fault.
            NotFiniteError: Logits are NaN or infinite.
        """
        where = self.device if do_on_device else torch.device("cpu")
        try:
            with gpu_faults_stop_the_job():
                logits_czyx = self._sum_up(data, slicers, where)
        except RuntimeError as error:
            clear_frames(error.__traceback__)  # else they hold the memory that the next try needs
            torch.cuda.empty_cache()
            raise
        lowest, highest = logits_czyx.aminmax()
        # NaN is a valid result: whatever label it stands for would win.
        if not (lowest.isfinite() and highest.isfinite()):
            raise NotFiniteError
        return logits_czyx

    def _sum_up(
        self, data: torch.Tensor, slicers: Sequence[_Slicer], where: torch.device
    ) -> torch.Tensor:
        data = data.to(where)
        n_labels = self.label_manager.num_segmentation_heads
        sums_czyx = torch.zeros((n_labels, *data.shape[1:]), dtype=torch.half, device=where)
        weights_zyx = torch.zeros(data.shape[1:], dtype=torch.half, device=where)
        weight: torch.Tensor | float = 1.0
        if self.use_gaussian:
            weight = compute_gaussian(
                tuple(self.configuration_manager.patch_size),
                sigma_scale=GAUSSIAN_SIGMA,
                value_scaling_factor=GAUSSIAN_SCALE,
                device=where,
            )
        for place in slicers:
            patch = torch.clone(data[place][None], memory_format=torch.contiguous_format)
            patch = patch.to(self.device)
            found = self._internal_maybe_mirror_and_predict(patch)[0].to(where)
            if self.use_gaussian:
                found *= weight
            sums_czyx[place] += found
            weights_zyx[place[1:]] += weight
        return torch.div(sums_czyx, weights_zyx, out=sums_czyx)

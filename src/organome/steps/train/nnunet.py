"""Where nnU-Net works: its three folders within a run folder, and the one dataset in them.

nnU-Net takes its folders and the number of its processes from the environment, as soon as it is
imported. So this module imports nothing of it, and whoever uses nnU-Net calls ``at_work`` first.
"""

import os
from typing import Final

from organome.domain.organs import ORGANS
from organome.io.models.training_folders import CONFIGURATION as CONFIGURATION
from organome.io.models.training_folders import PLANS as PLANS
from organome.io.models.training_folders import TrainingFolders

DATASET_ID: Final = 1
IGNORE_LABEL: Final = len(ORGANS) + 1  # of voxels that may be any organ that nobody labelled
FILE_ENDING: Final = ".nii.gz"
SOURCES: Final = "organome_sources"  # in dataset.json: digest of the files it was made from


class Folders(TrainingFolders):
    """Folders of nnU-Net, and how it is brought to work there."""

    __slots__ = ()

    def at_work(self, n_processes: int) -> None:
        """Have nnU-Net work here.

        Args:
            n_processes: Processes that augment, and that resample; 1 at least: with 0 its planner
                fails.
        """
        for name in ("raw", "preprocessed", "results"):
            (self.root / name).mkdir(parents=True, exist_ok=True)
            os.environ[f"nnUNet_{name}"] = str((self.root / name).absolute())
        for name in ("nnUNet_n_proc_DA", "nnUNet_def_n_proc"):
            os.environ[name] = str(max(1, n_processes))

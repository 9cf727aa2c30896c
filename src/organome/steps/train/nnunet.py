"""Where nnU-Net works: its three folders within a run folder, and the one dataset in them.

nnU-Net takes its folders and the number of its processes from the environment, as soon as it is
imported. So this module imports nothing of it, and whoever uses nnU-Net calls ``at_work`` first.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

DATASET_ID: Final = 1
DATASET: Final = "Dataset001_Organome"
CONFIGURATION: Final = "3d_fullres"
PLANS: Final = "nnUNetPlans"
FILE_ENDING: Final = ".nii.gz"
SOURCES: Final = "organome_sources"  # in dataset.json: digest of the files it was made from
TRAINER: Final = "OrganomeTrainer"


@dataclass(frozen=True, slots=True)
class Folders:
    """Folders of nnU-Net.

    Attributes:
        root: The folder that they lie in.
    """

    root: Path

    @property
    def raw(self) -> Path:
        """Images and labels, as build_dataset made them."""
        return self.root / "raw" / DATASET

    @property
    def preprocessed(self) -> Path:
        """Fingerprint, plans, splits, and prepared images."""
        return self.root / "preprocessed" / DATASET

    @property
    def results(self) -> Path:
        """What training leaves: a folder for each fold."""
        return self.root / "results" / DATASET / f"{TRAINER}__{PLANS}__{CONFIGURATION}"

    def fold(self, fold: int) -> Path:
        """Checkpoints, log and validation of a fold."""
        return self.results / f"fold_{fold}"

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

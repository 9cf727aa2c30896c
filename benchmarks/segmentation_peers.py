"""The two peers, each run in a process of its own: stock nnU-Net and mrsegmentator.

    python -m benchmarks.segmentation_peers stock IMAGES OUTPUT MODEL [flags]
    python -m benchmarks.segmentation_peers environment PEER
    PEER/bin/python segmentation_peers.py mrsegmentator IMAGES OUTPUT MODEL [flags]

Both are called as their users do. Timers around their own functions note the CPU time of each
stage into the file that the variable SEGMENTATION_STAGES names, in the workers too: a spawned
worker runs this file before its work. The logits of a file may take the place of the network and of
the sums over its tiles, or those of a tile the place of the network alone. This
module knows nothing of Organome: the environment of mrsegmentator has none.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from functools import cache, wraps
from pathlib import Path
from typing import Any, Final

STAGES: Final = "SEGMENTATION_STAGES"
LOGITS: Final = "SEGMENTATION_LOGITS"
TILE: Final = "SEGMENTATION_TILE"
MRSEGMENTATOR: Final = "mrsegmentator==2.0.0"
N_WORKERS: Final = 3  # nnU-Net's default
CHUNK: Final = 8  # mrsegmentator's default: images in memory at once
SUFFIX: Final = ".nii.gz"


class NoPeerError(Exception):
    """The environment of a peer could not be made."""


def make_environment(folder: Path) -> Path:
    """Make an environment that has mrsegmentator, and this environment's torch and nnunetv2.

    Its own pins (torch <= 2.10, nnunetv2 <= 2.8.0) would bring gigabytes of CUDA, so it is
    installed without what it depends on, and finds that here.

    Returns:
        The Python of the environment.

    Raises:
        NoPeerError: It cannot be installed, for want of a network for instance.
    """
    python = folder / "bin" / "python"
    ready = folder / f"{MRSEGMENTATOR}.ready"
    if ready.exists():
        return python
    steps = (
        [sys.executable, "-m", "venv", "--clear", str(folder)],
        [str(python), "-m", "pip", "install", "--quiet", "--no-deps", MRSEGMENTATOR],
    )
    for step in steps:
        done = subprocess.run(step, check=False, capture_output=True, text=True)
        if done.returncode:
            raise NoPeerError("; ".join(done.stderr.strip().splitlines()[-2:]))
    (place,) = folder.glob("lib/python*/site-packages")
    (place / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    ready.touch()
    return python


def note(stage: str, cpu_s: float, wall_s: float) -> None:
    """Add the time of a stage to the notes."""
    if STAGES in os.environ:
        line = json.dumps({"stage": stage, "cpu_s": cpu_s, "wall_s": wall_s})
        with Path(os.environ[STAGES]).open("a") as notes:
            notes.write(line + "\n")  # one write of a line: appended whole


def time_calls(owner: Any, name: str, stage: str) -> None:
    """Note the time of every call of a function or method."""
    function = getattr(owner, name)

    @wraps(function)
    def timed(*arguments: Any, **keywords: Any) -> Any:
        cpu_s, wall_s = time.thread_time(), time.perf_counter()
        try:
            return function(*arguments, **keywords)
        finally:
            note(stage, time.thread_time() - cpu_s, time.perf_counter() - wall_s)

    setattr(owner, name, timed)


def _time_nnunet() -> None:
    """Put timers into nnU-Net, before anything imports its functions by name."""
    from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
    from nnunetv2.inference import export_prediction
    from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor

    time_calls(SimpleITKIO, "read_images", "read")
    time_calls(SimpleITKIO, "write_seg", "write")
    time_calls(DefaultPreprocessor, "run_case_npy", "prepare")
    export = "convert_predicted_logits_to_segmentation_with_correct_shape"
    time_calls(export_prediction, export, "export")
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    if TILE in os.environ:
        nnUNetPredictor._internal_maybe_mirror_and_predict = _fixed_tile
        time_calls(nnUNetPredictor, "_internal_maybe_mirror_and_predict", "network")
        return
    if LOGITS in os.environ:
        nnUNetPredictor.predict_logits_from_preprocessed_data = _fixed_logits
    time_calls(nnUNetPredictor, "predict_logits_from_preprocessed_data", "network")


@cache
def tile_logits() -> Any:
    """Read the logits that every tile has."""
    import numpy as np
    import torch

    return torch.from_numpy(np.load(os.environ[TILE]))


def _fixed_tile(_predictor: Any, tiles: Any) -> Any:
    return tile_logits().repeat(len(tiles), 1, 1, 1, 1)  # a copy: nnU-Net weights it in place


def _fixed_logits(_predictor: Any, data: Any) -> Any:
    import numpy as np
    import torch

    logits_czyx = np.load(os.environ[LOGITS])
    if logits_czyx.shape[1:] != tuple(data.shape[1:]):
        raise ValueError(f"logits of {logits_czyx.shape} for an image of {tuple(data.shape)}")
    return torch.from_numpy(logits_czyx)


def stock_predictor(folder: Path, device: str) -> Any:
    """Make nnU-Net's own predictor of a model's folder, with all its folds."""
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    folds = [
        torch.load(path, map_location="cpu", weights_only=True)
        for path in sorted(folder.glob("fold_*/checkpoint_final.pth"))
    ]
    dataset = json.loads((folder / "dataset.json").read_text())
    plans = PlansManager(json.loads((folder / "plans.json").read_text()))
    configuration = plans.get_configuration(folds[0]["init_args"]["configuration"])
    # By hand and not from the folder: that resolves the trainer by its name, and imports them all.
    network = get_network_from_plans(
        configuration.network_arch_class_name,
        configuration.network_arch_init_kwargs,
        configuration.network_arch_init_kwargs_req_import,
        1,
        plans.get_label_manager(dataset).num_segmentation_heads,
        deep_supervision=False,
    )
    predictor = nnUNetPredictor(device=torch.device(device), allow_tqdm=False)
    predictor.manual_initialization(
        network,
        plans,
        configuration,
        [fold["network_weights"] for fold in folds],
        dataset,
        folds[0]["trainer_name"],
        folds[0].get("inference_allowed_mirroring_axes"),
    )
    return predictor


def run_stock(arguments: argparse.Namespace) -> None:
    """Predict a folder by nnU-Net's multi-process file interface."""
    predictor = stock_predictor(arguments.model, arguments.device)
    images = sorted(arguments.images.glob(f"*{SUFFIX}"))
    _note_start()
    predictor.predict_from_files(
        [[str(image)] for image in images],
        [str(arguments.output / image.name.removesuffix(SUFFIX)) for image in images],
        num_processes_preprocessing=arguments.n_workers,
        num_processes_segmentation_export=arguments.n_workers,
    )


def run_mrsegmentator(arguments: argparse.Namespace) -> None:
    """Predict a folder by mrsegmentator's command line."""
    from mrsegmentator import main, simpleitk_reader_writer

    time_calls(simpleitk_reader_writer.SimpleITKIO, "read_image", "read")
    time_calls(simpleitk_reader_writer.SimpleITKIO, "write_seg", "write")
    os.environ["MRSEG_WEIGHTS_PATH"] = str(arguments.model)
    folds = list(arguments.model.glob("fold_*"))
    flags = ["--no_tqdm", "--log_level", "WARNING", "--batchsize", str(arguments.chunk)]
    flags += ["--nproc", str(arguments.n_workers), "--nproc_export", str(arguments.n_workers)]
    flags += ["--fold", "0"] if len(folds) == 1 else []
    flags += ["--cpu_only"] if arguments.device == "cpu" else []
    sys.argv = ["mrsegmentator", "-i", str(arguments.images), "-o", str(arguments.output), *flags]
    _note_start()
    main.main()
    for path in arguments.output.glob(f"*_seg{SUFFIX}"):
        path.rename(path.with_name(path.name.replace(f"_seg{SUFFIX}", SUFFIX)))


def note_done() -> None:
    """Note all CPU time up to now, of ended children too; what comes later is taking down."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    note("done", sum(one.ru_utime + one.ru_stime for one in used), 0.0)


def _note_start() -> None:
    import torch

    torch.set_num_threads(1)
    note("start", time.process_time(), 0.0)


ENGINES: Final[dict[str, Callable[[argparse.Namespace], None]]] = {
    "stock": run_stock,
    "mrsegmentator": run_mrsegmentator,
}


def main() -> None:
    """Run one peer on one folder, or make the environment of mrsegmentator."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="engine", required=True)
    environment = commands.add_parser("environment", help="install mrsegmentator")
    environment.add_argument("folder", type=Path)
    for engine in ENGINES:
        command = commands.add_parser(engine)
        for name in ("images", "output", "model"):
            command.add_argument(name, type=Path)
        command.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
        command.add_argument("--n-workers", type=int, default=N_WORKERS)
        command.add_argument("--chunk", type=int, default=CHUNK, help="of mrsegmentator")
    arguments = parser.parse_args()
    if arguments.engine == "environment":
        print(make_environment(arguments.folder))
        return
    arguments.output.mkdir(parents=True, exist_ok=True)
    ENGINES[arguments.engine](arguments)
    note_done()


if STAGES in os.environ and __name__ in ("__main__", "__mp_main__"):
    _time_nnunet()
    if __name__ == "__mp_main__":
        _note_start()
if __name__ == "__main__":
    main()

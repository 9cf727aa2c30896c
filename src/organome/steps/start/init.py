"""init: a run folder with a commented configuration, ready for ``organome run``."""

import difflib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from organome.domain.errors import SetupError
from organome.io.files.assets import asset
from organome.io.files.atomic import write_text_atomic
from organome.io.models.places import locate_model
from organome.io.runs import CONFIG, Run, check_root
from organome.io.tables.schemes import find_scheme

KINDS: Final = ("ukb", "nako", "bids", "folder")
# On a cluster a job that has lost its GPU shall stop; a newcomer may have none.
_DEVICE: Final = "  device: auto                 # on a cluster: cuda; docs/your_cluster.md"
_NAME: Final = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class NewRun:
    """A run folder that was made.

    Attributes:
        config: Its configuration.
        problem: What is left to do before it can run, None if nothing.
    """

    config: Path
    problem: str | None

    def __str__(self) -> str:
        """Write it as plain text that ends in what to do next."""
        first = [] if self.problem is None else [f"first: {self.problem}"]
        folder = self.config.parent
        return "\n".join([f"wrote {self.config}", *first, f"next: organome run {folder}"])


def run(
    run_folder: Path,
    /,
    *,
    kind: str,
    root: Path,
    name: str | None = None,
    model: str | None = None,
    labelmaps: str | None = None,
) -> NewRun:
    """Begin a run: make a folder and write a commented configuration into it.

    Args:
        run_folder: Folder of the run; everything that the run makes lies in it.
        kind: How the cohort is laid out: ``ukb`` (UK Biobank archives), ``nako`` (NAKO as TPTBox
            writes it), ``bids``, or ``folder`` (a TSV file that names the images).
        root: Folder of the cohort; of ``folder`` the TSV file.
        name: Name of the cohort, for the tables; without one that of the kind.
        model: Name of an installed model, or folder of one.
        labelmaps: Label scheme of the labelmaps that the cohort has already; then nothing is
            segmented.

    Raises:
        SetupError: There is a configuration already, no such kind, or no such cohort.
    """
    if kind not in KINDS:
        close = difflib.get_close_matches(kind, KINDS, n=1)
        meant = f"; did you mean {close[0]}?" if close else ""
        raise SetupError(f"--kind {kind}: it must be one of {', '.join(KINDS)}{meant}")
    if name is not None and not _NAME.fullmatch(name):
        raise SetupError(f"--name {name}: letters, digits, '_' and '-' only")
    if model is not None and labelmaps is not None:
        raise SetupError("--model and --labelmaps: name one of them")
    if labelmaps is not None:
        find_scheme(labelmaps)
    check_root(kind, root, named="--root")
    path = run_folder / CONFIG
    if run_folder.exists() and not run_folder.is_dir():
        raise SetupError(f"{run_folder}: a file; name a folder for the run")
    if path.exists():
        raise SetupError(f"{path}: is there already; edit it, or name another folder")
    example = asset(f"config/{'labelmaps' if labelmaps else kind}.yaml")
    changes = {"kind": kind, "root": str(root.absolute())}
    changes |= {"name": name} if name else {}
    changes |= {"model": _as_written(model)} if model else {}
    changes |= {"scheme": labelmaps} if labelmaps else {}
    text = example.read_text(encoding="utf-8")
    text = re.sub(r"^  device: cuda$", _DEVICE, text, flags=re.MULTILINE)
    for key, value in changes.items():
        text = _with_value(text, key, value)
    try:
        run_folder.mkdir(parents=True, exist_ok=True)
        write_text_atomic(path, text)
    except PermissionError as error:
        raise SetupError(
            f"{run_folder}: cannot be written: {error.strerror}; name a folder elsewhere"
        ) from error
    return NewRun(path, _problem(path))


def _as_written(model: str) -> str:
    """Word a model as in a configuration, where a path is relative to the run folder."""
    return str(Path(model).absolute()) if "/" in model or Path(model).is_dir() else model


def _with_value(text: str, key: str, value: str) -> str:
    """Replace the value of a key in YAML, and keep its comment."""
    quoted = value if re.fullmatch(r"[\w./-]+", value) else "'" + value.replace("'", "''") + "'"
    return re.sub(
        rf"^(\s+{key}: )(\S+)( *)(#.*)?$",
        lambda found: f"{found[1]}{quoted}{'  ' + found[4] if found[4] else ''}",
        text,
        count=1,
        flags=re.MULTILINE,
    )


def _problem(path: Path) -> str | None:
    segment = Run(path.parent).config()["segment"]
    if segment["source"] != "model":
        return None
    try:
        locate_model(segment["model"], relative_to=path.parent)
    except SetupError as error:
        return str(error)
    return None

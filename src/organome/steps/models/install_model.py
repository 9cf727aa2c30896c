"""install_model: a published model, an archive or a folder -> a model by name, ready to run.

The only command that uses the network. What is downloaded is digested before it is opened, looked
through before it is unpickled, converted to plain tensors, tried on its own plans, and put in its
place by one rename. Any number of jobs may install the same model at once: one does, the others
wait and find it.
"""

import logging
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from organome.domain.errors import MachineFault, SetupError
from organome.domain.known_models import KNOWN_MODELS, KnownModel, ModelOrigin
from organome.domain.models import ModelNote
from organome.domain.schemes import LabelScheme
from organome.io.canaries.references import file_sha256
from organome.io.files.atomic import ATTEMPT, publish_folder
from organome.io.models.archives import check_sha256, unpack_archive
from organome.io.models.downloads import download
from organome.io.models.folders import check_unchanged, model_digest, read_note
from organome.io.models.layouts import BEST_CHECKPOINT, MODEL_FILES, find_model
from organome.io.models.places import models_folder
from organome.io.tables.schemes import find_scheme
from organome.shards.faults import machine_faults_stop_the_job
from organome.shards.lease import LEASE, LEASE_TERMS, Lease, LeaseTerms
from organome.shards.signals import StopRequests, listening

_logger = logging.getLogger(__name__)

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SHA256: Final = re.compile(r"[0-9a-fA-F]{64}")
_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """What is to be installed.

    Attributes:
        name: Name of its folder.
        source: URL, or path of a local archive or folder.
        inside: Folder within the source, where that holds several models.
        known: The published model that it is, None for any other.
        expected_sha256: What the source must have, None where nobody knows.
        scheme: Label scheme that its classes must be those of, None for any.
    """

    name: str
    source: str
    inside: str | None
    known: KnownModel | None
    expected_sha256: str | None
    scheme: LabelScheme | None

    @property
    def is_url(self) -> bool:
        """Whether it has to be downloaded."""
        return _URL.match(self.source) is not None


@dataclass(frozen=True, slots=True)
class InstalledModel:
    """A model that is there.

    Attributes:
        folder: Where it lies.
        note: What it is.
        was_there: Whether it had been installed before.
    """

    folder: Path
    note: ModelNote
    was_there: bool

    def __str__(self) -> str:
        """Write it as plain text, with a warning where nothing vouches for it."""
        note = self.note
        lines = [
            f"{self.folder}: {'was there' if self.was_there else 'installed'},"
            f" {note.n_folds} fold(s) of {note.configuration}, digest {note.digest}",
            f"made from {note.source}, SHA-256 {note.archive_sha256}",
        ]
        if not note.verified:
            lines.append(
                "WARNING: no digest was known for it, so nothing says that this is what its authors"
                f" published, nor that they have no more than {note.n_folds} fold(s); compare it"
                " with theirs, and give it as --sha256 elsewhere"
            )
        if note.scheme is None:
            lines.append(
                "its classes were compared with no label scheme; name one (--scheme), or the run"
                " will say what differs"
            )
        else:
            lines.append(f"label scheme: {note.scheme}")
        if note.labels_as_delivered is not None:
            lines.append("its classes now bear the names of the authors' label table")
        if note.citation:
            lines.append(f"cite {note.citation}; licence: {note.licence or 'see its authors'}")
        return "\n".join([*lines, f"configuration: segment: {{model: {self.called}}}"])

    @property
    def called(self) -> str:
        """What ``segment.model`` has to say."""
        is_own = self.folder.parent.absolute() == models_folder().absolute()
        return self.folder.name if is_own else str(self.folder.absolute())


def run(
    source: str,
    /,
    *,
    models: Path | None = None,
    name: str | None = None,
    sha256: str | None = None,
    scheme: str | None = None,
    inside: str | None = None,
) -> InstalledModel:
    """Install a model of nnU-Net v2.

    Args:
        source: Name of a published model (mrsegmentator-1.2, mrsegmentator-1.1, mrsegmentator-1.0,
            mrsegmentator-body-comp), the URL of a zip archive, or a local .zip or folder.
        models: Folder that holds models, in which it gets a folder of its name. Without it your own
            models, where ``segment.model`` finds them by name.
        name: Name of the model; where it is that of a published one, a local file is held to its
            digest. Without it: the published name, or that of the file or folder.
        sha256: What the archive must have; of a folder the digest of the model in it.
        scheme: Label scheme that the classes must be those of; a published model has its own.
        inside: Folder within the archive or the folder, where that holds several models.

    Returns:
        The model, and whether it had been there.

    Raises:
        SetupError: The archive is another one, damaged, or refused; a checkpoint is more than plain
            data; it is not a model, not a whole one, or not one that can be run; another one has
            the name; or a file may not be read, or a folder not be written.
        MachineFault: It cannot be downloaded here, or the disk is full or away.
        Interrupted: If asked to stop; nothing is left behind.
    """
    wanted = _model_request(source, name=name, sha256=sha256, scheme=scheme, inside=inside)
    models = models or models_folder()
    try:
        with listening() as interrupts, machine_faults_stop_the_job(models):
            return _install(wanted, models, interrupts)
    except OSError as error:
        if error.filename is None:
            raise
        raise SetupError(f"{error.filename}: {error.strerror}") from error


def _model_request(
    source: str, *, name: str | None, sha256: str | None, scheme: str | None, inside: str | None
) -> ModelRequest:
    """Make sense of what was asked for; the flags of install-model say what each is."""
    known = KNOWN_MODELS.get(name or source)
    is_published = known is not None and source == known.name
    if not is_published and _URL.match(source) is None and not Path(source).exists():
        raise SetupError(
            f"{source!r} is not a URL, a file or a published model ({', '.join(KNOWN_MODELS)})"
        )
    called = name or (known.name if known else _stem(source))
    if not _NAME.fullmatch(called):
        raise SetupError(f"name {called!r}: letters, digits, '.', '_' and '-' only")
    if sha256 is not None and not _SHA256.fullmatch(sha256):
        raise SetupError(f"sha256 {sha256!r} is not a SHA-256: 64 hexadecimal digits")
    if known and known.sha256 and sha256 and sha256.lower() != known.sha256:
        raise SetupError(f"{called}: SHA-256 as published is {known.sha256}, not {sha256}")
    word = scheme or (known.scheme if known else None)
    return ModelRequest(
        name=called,
        source=known.url if known is not None and is_published else source,
        inside=inside,
        known=known,
        expected_sha256=sha256 or (known.sha256 if known else None),
        scheme=None if word is None else find_scheme(word),
    )


def _stem(source: str) -> str:
    path = urlsplit(source).path.rstrip("/") if _URL.match(source) else Path(source).resolve()
    return Path(path).name.removesuffix(".zip")


def _install(wanted: ModelRequest, output: Path, interrupts: StopRequests) -> InstalledModel:
    destination = output / wanted.name
    there = _already(wanted, destination)
    if there is not None:
        return there
    with _holding(output / f".{wanted.name}.install", interrupts) as (work, lease):
        there = _already(wanted, destination)  # while this one waited
        if there is not None:
            return there
        from organome.steps.models.conversion import convert_model

        origin, delivered = _fetch(wanted, work)
        interrupts.check()
        made = work / "model"
        note = convert_model(delivered, made, origin=origin, scheme=wanted.scheme)
        interrupts.check()
        lease.check()
        with interrupts.shielded():
            publish_folder(made, destination)
    _logger.info("event=model_installed model=%s digest=%s", note.name, note.digest)
    return InstalledModel(destination, note, was_there=False)


def _already(wanted: ModelRequest, destination: Path) -> InstalledModel | None:
    """Find the model in its place, None where nothing is there or what is there is damaged.

    Raises:
        SetupError: Something else is there.
    """
    if not destination.exists():
        return None
    note = read_note(destination)
    if note is None:
        raise SetupError(f"{destination} is there and was not installed: give another --name")
    expected = wanted.expected_sha256 or _digest_at_hand(wanted)
    is_this = note.archive_sha256 == expected.lower() if expected else note.source == wanted.source
    if not is_this:
        raise SetupError(
            f"{destination} was installed from something else ({note.source},"
            f" {note.archive_sha256}): give another --name, or remove it"
        )
    try:
        check_unchanged(destination, model_digest(destination))
    except MachineFault:
        raise
    except SetupError as error:
        _logger.warning("event=model_replaced model=%s why=%s", wanted.name, error)
        return None
    return InstalledModel(destination, note, was_there=True)


def _digest_at_hand(wanted: ModelRequest) -> str | None:
    """Digest what is to be installed, where it lies on this machine."""
    path = Path(wanted.source)
    if wanted.is_url:
        return None
    if path.is_dir():
        return model_digest(find_model(path, inside=wanted.inside, name=path.name))
    return file_sha256(path)


def _fetch(wanted: ModelRequest, work: Path) -> tuple[ModelOrigin, Path]:
    """Bring what is to be installed here, checked; return the folder of the model as delivered."""
    expected = wanted.expected_sha256
    path = Path(wanted.source)
    if wanted.is_url:
        path = work / "archive.zip"
        _logger.info("event=download model=%s", wanted.name)
        download(wanted.source, path, insecure=expected is not None)
    shown = wanted.source if wanted.is_url else path.name
    if path.is_dir():
        delivered = find_model(path, inside=wanted.inside, name=shown)
        found = model_digest(delivered)
        check_sha256(found, expected, of=shown)
    else:
        found = unpack_archive(
            path,
            work / "unpacked",
            wanted=MODEL_FILES,
            noted={BEST_CHECKPOINT},
            expected_sha256=expected,
        )
        delivered = find_model(work / "unpacked", inside=wanted.inside, name=shown)
    if expected is None:
        _logger.warning("event=model_unverified model=%s sha256=%s", wanted.name, found)
    origin = ModelOrigin(
        name=wanted.name,
        source=shown,
        archive_sha256=found,
        verified=expected is not None,
        known=wanted.known,
    )
    return origin, delivered


@contextmanager
def _holding(
    folder: Path, interrupts: StopRequests, *, terms: LeaseTerms = LEASE_TERMS
) -> Iterator[tuple[Path, Lease]]:
    """Yield a folder to work in while no other process installs the same; leave nothing of it."""
    made_parent = not folder.parent.exists()
    lease = Lease.take(folder, terms=terms, stop_waiting=interrupts.check)
    work = folder / ATTEMPT
    try:
        for left in folder.iterdir():  # of installers that were killed
            if left.name != LEASE:
                shutil.rmtree(left, ignore_errors=True)
        work.mkdir()
        yield work, lease
    except OSError:
        lease.check()  # another one, which took this one for dead, has cleared away its files
        raise
    finally:
        with interrupts.shielded():
            shutil.rmtree(work, ignore_errors=True)
            lease.release()
            with suppress(OSError):
                folder.rmdir()
                if made_parent:
                    folder.parent.rmdir()

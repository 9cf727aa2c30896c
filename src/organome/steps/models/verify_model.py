"""verify_model: is an installed model still what was installed?"""

from organome.domain.errors import SetupError
from organome.io.models.folders import check_unchanged, model_digest, read_note
from organome.io.models.places import locate_model


def run(model: str, /, *, digest: str | None = None) -> str:
    """Digest a model folder and compare it with what install-model noted.

    Args:
        model: Name of an installed model, or model folder.
        digest: A digest that it must have, from a table or a colleague; needed for a folder that
            install-model did not make.

    Returns:
        What it is, in a line.

    Raises:
        SetupError: It is something else, or there is nothing to compare it with.
        MachineFault: The folder cannot be read, or its mount is lost.
    """
    folder = locate_model(model)
    found = model_digest(folder)
    check_unchanged(folder, found)
    note = read_note(folder)
    if digest is not None and digest.lower() != found:
        raise SetupError(f"model {model}: digest is {found}, expected {digest}")
    if note is None and digest is None:
        raise SetupError(
            f"model {model}: digest is {found}; it was not installed by install-model, so there is"
            " nothing to compare it with (--digest)"
        )
    origin = "" if note is None else f", made from {note.source} ({note.archive_sha256})"
    return f"{model}: digest {found} as expected{origin}"

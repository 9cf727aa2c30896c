"""pin_model: the digest of the model, noted once, so that a whole run is bound to one model."""

from pathlib import Path

from organome.io.models.folders import check_unchanged, model_digest, write_pinned
from organome.io.models.phantoms import check_made_for


def run(
    *, model: Path, output: Path, root: Path | None = None, allow_phantom_model: bool = False
) -> str:
    """Note the digest of a model.

    Args:
        model: Model folder.
        output: Text file for the digest. One that holds this very digest only gets a new time.
        root: Cohort that it is to label; None to leave open which.
        allow_phantom_model: Whether a model trained on phantoms may label what is not phantoms.

    Returns:
        The digest, hexadecimal.

    Raises:
        SetupError: The folder is not a model folder or not what was installed; or the model was
            trained on phantoms, and the cohort is not made of them.
        MachineFault: It cannot be read, or its mount is lost.
    """
    digest = model_digest(model)
    check_unchanged(model, digest)
    if root is not None:
        check_made_for(model, root, allowed=allow_phantom_model)
    write_pinned(output, digest)
    return digest

"""pin_model: the digest of the model, noted once, so that a whole run is bound to one model."""

import os
from pathlib import Path

from organome.io.files.atomic import write_text_atomic
from organome.io.models.folders import check_unchanged, model_digest


def run(*, model: Path, output: Path) -> str:
    """Note the digest of a model.

    Args:
        model: Model folder.
        output: Text file for the digest. One that holds this very digest only gets a new time.

    Returns:
        The digest, hexadecimal.

    Raises:
        SetupError: The folder is no model folder, or not what was installed.
        MachineFault: It cannot be read, or its mount is lost.
    """
    digest = model_digest(model)
    check_unchanged(model, digest)
    content = f"{digest}\n"
    if output.is_file() and output.read_text(encoding="utf-8") == content:
        os.utime(output)
    else:
        write_text_atomic(output, content)
    return digest

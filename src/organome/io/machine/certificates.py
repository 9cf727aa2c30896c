"""A certificate and its key: the bearers trust each other and nobody else."""

import subprocess
from pathlib import Path
from typing import Final

from organome.domain.errors import SetupError

_REQUEST: Final = "[req]\nprompt = no\ndistinguished_name = name\n[name]\nCN = organome\n"


def write_certificate(folder: Path, *, valid_days: int = 30) -> tuple[Path, Path]:
    """Write a new self-signed certificate and its key into a folder that only we can enter.

    Args:
        folder: Made if need be.
        valid_days: Days until it expires.

    Returns:
        The certificate and the key, both PEM.

    Raises:
        SetupError: If there is no openssl, or it fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    request = folder / "request.cnf"  # openssl's own default differs from system to system
    request.write_text(_REQUEST)
    kind = ["-newkey", "rsa:2048", "-nodes", "-sha256", "-days", str(valid_days)]
    files: list[str | Path] = ["-config", request, "-keyout", key, "-out", certificate]
    try:
        made = subprocess.run(
            ["openssl", "req", "-x509", *kind, *files], capture_output=True, text=True, check=False
        )
    except FileNotFoundError as error:
        raise SetupError(
            "openssl is not on the PATH; workers are not talked to in clear"
        ) from error
    if made.returncode != 0:
        raise SetupError(f"openssl: {(made.stderr.strip().splitlines() or ['failed'])[-1]}")
    key.chmod(0o600)
    return certificate, key

"""Settings of radiomics in files: YAML in the format of pyradiomics' parameter files."""

from pathlib import Path
from typing import Any

import yaml

from organome.domain.errors import SetupError
from organome.domain.fingerprints import digest_of


def read_parameter_file(path: Path) -> dict[str, Any]:
    """Read a parameter file.

    Raises:
        SetupError: If it is not there or is not one.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise SetupError(f"{path}: cannot be read as settings of radiomics ({error})") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise SetupError(f"{path}: holds no settings of radiomics")
    return content


def parameters_digest(parameters: dict[str, Any], engine: str) -> str:
    """Digest what decides on the features, comments and order left out."""
    return digest_of([engine, parameters])[:16]

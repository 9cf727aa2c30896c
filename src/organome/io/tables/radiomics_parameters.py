"""Settings of radiomics in files: YAML in the format of pyradiomics' parameter files."""

import logging
import warnings
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from organome.domain.errors import SetupError
from organome.domain.fingerprints import digest_of
from organome.domain.radiomics_parameters import check_parameters, read_parameters
from organome.domain.radiomics_settings import Engine, RadiomicsSettings


def read_settings(path: Path, engine: Engine) -> tuple[dict[str, Any], RadiomicsSettings | None]:
    """Read a parameter file and check all that stands in it.

    Returns:
        Its content, and what the native engine makes of it, None for the other.

    Raises:
        SetupError: If the engine does not do what the file asks for, or would pass it over.
    """
    parameters = read_parameter_file(path)
    source = str(path)
    if engine is Engine.NATIVE:
        settings = read_parameters(parameters, source=source)
        if settings.filters.wavelet is not None:
            _check_wavelet(settings.filters.wavelet, source)
        return parameters, settings
    check_for_pyradiomics(parameters, source=source)
    return parameters, None


def check_for_pyradiomics(parameters: Mapping[str, Any], *, source: str) -> None:
    """Check a parameter file by the schema of pyradiomics, and for what that lets through.

    Args:
        parameters: Its content.
        source: Where it is from, for errors.

    Raises:
        SetupError: If pyradiomics is not installed, or would refuse something or pass it over.
    """
    if parameters.get("organome"):
        raise SetupError(f"{source}: organome: the engine pyradiomics does not know these settings")
    content = check_parameters(parameters, source=source)
    if "Wavelet" in content.types:
        _check_wavelet(content.of_type("Wavelet").get("wavelet", "coif1"), source)
    parts = {name: part for name, part in parameters.items() if part}
    if "imageType" in parts:
        parts["imageType"] = {name: own or {} for name, own in content.types.items()}
    _check_by_schema(parts, source)


def _check_wavelet(name: str, source: str) -> None:
    import pywt  # here, because few files name one

    if name not in pywt.wavelist(kind="discrete"):
        raise SetupError(
            f"{source}: imageType.Wavelet: wavelet is {name!r},"
            " which is not a discrete wavelet of PyWavelets"
        )


def _check_by_schema(parameters: dict[str, Any], source: str) -> None:
    try:
        import radiomics
        from pykwalify.core import Core
    except ImportError as error:
        raise SetupError(
            "the engine pyradiomics is not installed; see docs/radiomics.md"
        ) from error
    if not parameters:
        return
    schema, functions = radiomics.getParameterValidationFiles()
    logging.getLogger("pykwalify").setLevel(logging.CRITICAL + 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        checker = Core(
            source_data=deepcopy(parameters), schema_files=[schema], extensions=[functions]
        )
        try:
            checker.validate(raise_exception=False)
            found = list(checker.validation_errors or [])
        except Exception as error:  # what its functions for single settings raise
            found = [str(error)]
    if found:
        raise SetupError(f"{source}: refused by pyradiomics: {' '.join(str(found[0]).split())}")


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

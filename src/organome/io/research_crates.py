"""Releases described as RO-Crates, which archives of research data read.

Source: RO-Crate 1.2 (w3id.org/ro/crate), by the library ``rocrate``.
"""

import mimetypes
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

_TYPES: Final = {
    ".parquet": "application/vnd.apache.parquet",
    ".md": "text/markdown",
    ".tsv": "text/tab-separated-values",
    ".yaml": "application/yaml",
}


def describe_release(folder: Path, about: Mapping[str, Any]) -> None:
    """Write ``ro-crate-metadata.json`` into the folder of a release, an entry for each file.

    Args:
        folder: The folder.
        about: Name, date, version and description of the release, ``organome_version`` and the
            digests of ``models``.
    """
    from rocrate.model.contextentity import ContextEntity  # takes half a second to import
    from rocrate.rocrate import ROCrate

    crate = ROCrate()
    crate.name, crate.description = about["name"], about["description"]
    crate.root_dataset["version"] = about["version"]
    crate.root_dataset["datePublished"] = about["date"]
    software = {
        "@type": "SoftwareApplication",
        "name": "Organome",
        "softwareVersion": about["organome_version"],
    }
    instrument = [crate.add(ContextEntity(crate, "#organome", properties=software))]
    for digest in about["models"]:
        model = {"@type": "SoftwareApplication", "name": "model", "identifier": f"sha256:{digest}"}
        instrument.append(
            crate.add(ContextEntity(crate, f"#model-{digest[:12]}", properties=model))
        )
    files = [
        crate.add_file(path, dest_path=path.relative_to(folder).as_posix(), properties=_about(path))
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    ]
    action = {"@type": "CreateAction", "name": "Collection of the tables", "endTime": about["date"]}
    made = crate.add(ContextEntity(crate, "#collection", properties=action))
    made["instrument"], made["result"] = instrument, files
    crate.root_dataset["mentions"] = [made]
    crate.metadata.write(folder)  # the files are there


def _about(path: Path) -> dict[str, Any]:
    kind = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0]
    size = {"contentSize": str(path.stat().st_size)}
    return size | ({"encodingFormat": kind} if kind else {})

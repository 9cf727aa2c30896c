"""Datastores of MONAI Label: a folder of images, labels beside them, and an index in JSON.

```
<datastore>/<scan>.nii.gz                    images
<datastore>/labels/original/<scan>.nii.gz    what an annotator begins with
<datastore>/labels/final/<scan>.nii.gz       what an annotator has submitted
<datastore>/datastore_v2.json                which label is of which image
```

Labels that come back are numbered in the order of the segments that are there, whatever numbers
they had. The index names them in that order; its ``idx`` also counts segments that are not written,
so that it says nothing.

Source: MONAI Label 0.8, ``monailabel/datastore/local.py`` and its plugin for 3D Slicer.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from organome.domain.errors import SetupError
from organome.io.files.atomic import write_text_atomic

INDEX: Final = "datastore_v2.json"
ORIGINAL: Final = Path("labels", "original")
FINAL: Final = Path("labels", "final")
EXT: Final = ".nii.gz"
# Segments of its plugin that are never written.
_NOT_WRITTEN: Final = frozenset({"background", "foreground_scribbles", "background_scribbles"})


def write_index(folder: Path, scans: Iterable[str], labels: Mapping[str, int]) -> None:
    """Write the index of a datastore whose images and original labels are there.

    Args:
        folder: The datastore.
        scans: Keys of the scans, each the name of an image and of its label.
        labels: What the values of the original labels mean, by name.
    """

    def entry(key: str, **more: Any) -> dict[str, Any]:
        # No time: the same export is the same bytes.
        return {"ext": EXT, "info": {"ts": 0, "name": f"{key}{EXT}", **more}}

    objects = {
        key: {
            "image": entry(key),
            "labels": {"original": entry(key, params={"label_names": dict(labels)})},
        }
        for key in scans
    }
    index = {
        "name": "organome",
        "description": "Scans to annotate",
        "images_dir": ".",
        "labels_dir": "labels",
        "objects": objects,
    }
    (folder / FINAL).mkdir(parents=True, exist_ok=True)
    write_text_atomic(folder / INDEX, json.dumps(index, indent=1) + "\n")


def read_final_names(folder: Path) -> dict[str, tuple[str, ...]]:
    """Read the names of submitted labels, by scan: the first is that of value 1, and so on.

    Returns:
        Only scans whose labels are named.

    Raises:
        SetupError: The index is not there or damaged.
    """
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        infos = {
            str(key): one["labels"]["final"]["info"].get("label_info")
            for key, one in index["objects"].items()
            if "final" in one["labels"]
        }
        return {
            key: tuple(name for name in _names(info) if name not in _NOT_WRITTEN)
            for key, info in infos.items()
            if info
        }
    except FileNotFoundError as error:
        raise SetupError(f"{folder / INDEX}: not there; is it the folder of a round?") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SetupError(f"{folder / INDEX}: damaged; MONAI Label writes it anew") from error


def _names(info: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    return (str(one["name"]).strip() for one in info)

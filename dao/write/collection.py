"""Collections that annbatch wrote: a Zarr group of shuffled AnnData datasets of the same features.

After ``DatasetCollection`` of annbatch 0.3 (scverse/annbatch, src/annbatch/io.py): the datasets are
called ``dataset_0``, ``dataset_1`` and so on, each an anndata element.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from dao.errors import SourceError

__all__ = ["collection_folder", "datasets_of", "is_collection"]

_ENCODING = "annbatch-preshuffled"
_DATASET = re.compile(r"dataset_(\d+)")


def collection_folder(value: Any) -> Path | None:
    """Return where an ``annbatch.DatasetCollection`` lies; None for anything else.

    Raises
    ------
    dao.errors.SourceError
        If it is empty, or is not in a local folder.
    """
    kind = type(value)
    if (kind.__module__.partition(".")[0], kind.__name__) != ("annbatch", "DatasetCollection"):
        return None
    group: Any = next(iter(value), None)
    root = getattr(getattr(group, "store", None), "root", None)
    if not isinstance(root, Path):
        msg = "This DatasetCollection is empty or not in a local folder. Give the path of a folder."
        raise SourceError(msg)
    return root / Path(group.path).parent


def is_collection(path: Path) -> bool:
    """Whether a folder is a collection."""
    try:
        attributes = json.loads((path / "zarr.json").read_bytes())["attributes"]
    except (OSError, ValueError, KeyError):
        return False
    return bool(attributes.get("encoding-type") == _ENCODING)


def datasets_of(path: Path) -> list[tuple[str, Path]]:
    """Return id and folder of each dataset of a collection, in its order.

    Ids are the name of the collection and the number of the dataset.

    Raises
    ------
    dao.errors.SourceError
        If there are none.
    """
    found = [(int(m[1]), p) for p in path.iterdir() if (m := _DATASET.fullmatch(p.name))]
    if not found:
        msg = f"{path} is a collection of annbatch without datasets."
        raise SourceError(msg)
    name = path.name.removesuffix(".zarr")
    return [(f"{name}_{number}", folder) for number, folder in sorted(found)]

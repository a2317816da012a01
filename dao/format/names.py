"""Names that become paths or labels: dataset ids, organisms, gene ids."""

from __future__ import annotations

import re

from dao.errors import DatasetIdError

# Letters of any script, digits and a little punctuation; never a separator, never hidden.
_DATASET_ID = re.compile(r"[^\W_](?:[\w.+@= -]{0,198}[\w+@=-])?", re.UNICODE)
_RESERVED = {"con", "prn", "aux", "nul"}

_ENSEMBL_VERSION = re.compile(r"^(ENS[A-Z]{0,6}[GTPE]\d{11})\.\d+(_PAR_Y)?$")

UNKNOWN_ORGANISM = "unknown"


def check_dataset_id(dataset_id: object) -> str:
    """Return the id if it can safely be the name of a folder on any system.

    Raises
    ------
    dao.errors.DatasetIdError
        If it is empty, hidden, too long, or has a path separator or another character
        that some file system refuses.
    """
    if not isinstance(dataset_id, str):
        msg = f"A dataset id must be a string, not {type(dataset_id).__name__}: {dataset_id!r}."
        raise DatasetIdError(msg)
    if not _DATASET_ID.fullmatch(dataset_id) or dataset_id.lower() in _RESERVED:
        msg = (
            f"{dataset_id!r} cannot be a dataset id: it becomes the name of a folder, so it must "
            "start with a letter or digit and hold only letters, digits, spaces and _ - . + @ = "
            "(200 characters at most, no path separator). Give another id, for example "
            "write_store(path, {'my_id': source})."
        )
        raise DatasetIdError(msg)
    return dataset_id


def is_safe_path(path: object) -> bool:
    """Whether a path read from a manifest stays inside the store on any system."""
    if not isinstance(path, str) or not path or "\\" in path or "\0" in path or ":" in path:
        return False
    try:
        path.encode()
    except UnicodeEncodeError:  # half of a surrogate pair: no file has such a name
        return False
    return all(part not in {"", ".", ".."} for part in path.split("/"))


def organism_slug(organism: str) -> str:
    """Return the organism as it stands in file names: ``"Homo sapiens"`` -> ``"homo_sapiens"``."""
    return re.sub(r"[^a-z0-9]+", "_", organism.lower()).strip("_") or "organism"


def cut_version(feature_id: str) -> str:
    """Return an Ensembl id without its version suffix; any other id as it is.

    >>> cut_version("ENSG00000141510.18"), cut_version("RP11-34P13.7")
    ('ENSG00000141510', 'RP11-34P13.7')
    """
    if "." not in feature_id:  # most of millions of peaks have none
        return feature_id
    match = _ENSEMBL_VERSION.match(feature_id)
    return match[1] + (match[2] or "") if match else feature_id

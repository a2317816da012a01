"""A file of a store that is not found: what has happened, as far as that can be seen."""

from __future__ import annotations

from pathlib import Path

from dao.errors import CorruptStoreError, DaoError, StoreChangedError, StoreNotFoundError
from dao.format.manifest import MANIFEST_NAME, Manifest
from dao.generations import GENERATIONS

__all__ = ["changed_since", "missing_file"]


def missing_file(root: str | Path, path: str) -> DaoError:
    """Return the error to raise for a file that a manifest names and that is not there.

    Parameters
    ----------
    root
        Folder of the store.
    path
        Of the file, relative to it.
    """
    root = Path(root)
    if not root.is_dir():
        return StoreNotFoundError(
            f"{root} is not there any more: it was moved or removed, or its disk is not mounted. "
            "Open the store where it is now, with dao.load_store."
        )
    kept = sorted((root / GENERATIONS).glob("*.json"))
    try:
        texts = [file.read_bytes() for file in (root / MANIFEST_NAME, *kept)]
    except OSError:
        return StoreNotFoundError(
            f"{root / path} is missing, and so is {MANIFEST_NAME}: this folder is not a whole "
            "store any more. Open the store where it is now, with dao.load_store."
        )
    folder = "/".join(path.split("/")[:2])
    if not any(folder.encode() in text for text in texts):
        return StoreChangedError(
            f"{root / path} is missing: the store was overwritten or changed, and what is open "
            "here is of an earlier generation. Call dao.load_store again."
        )
    return CorruptStoreError(
        f"{root / path} is missing, and {MANIFEST_NAME} names it: a copy was not finished, or the "
        "file was removed. Copy it here again; `dao validate` lists all that is missing."
    )


def changed_since(root: object, opened: Manifest, now: bytes | None) -> DaoError | None:
    """Return the error to raise for damage that is none: the store is another one by now.

    Parameters
    ----------
    root
        Of the store, as it is named in messages.
    opened
        The manifest that was read when the store was opened.
    now
        The content of ``dao.json`` now; None if it is not there.

    Returns
    -------
    None if the files of what is open ought to be there.
    """
    if now is None:
        return StoreNotFoundError(
            f"{root} is not there any more: it was moved or removed after it was opened here. Open "
            "the store where it is now, with dao.load_store."
        )
    try:
        current = Manifest.from_json(now, f"{root}/{MANIFEST_NAME}")
    except DaoError:
        return None
    later = [r for r in current.history if r.get("generation", 0) > opened.generation]
    if current.uuid != opened.uuid or "overwrite" in {r.get("action") for r in later}:
        done = "overwritten: there is another store at this place now"
    elif current.generation > opened.generation and not _folders(opened) <= _folders(current):
        actions = ", ".join(dict.fromkeys(str(r.get("action")) for r in later)) or "changed"
        done = f"changed ({actions}), and files of what is open here are gone"
    else:
        return None
    return StoreChangedError(
        f"{root}: after it was opened here, the store was {done}. Call dao.load_store again."
    )


def _folders(manifest: Manifest) -> set[str]:
    return {dataset.path for dataset in manifest.datasets}

"""Commit: one writer at a time, everything new under fresh names, then one atomic rename."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dao.errors import (
    DaoError,
    StorageError,
    StoreBusyError,
    StoreExistsError,
    StoreNotFoundError,
)
from dao.format.manifest import MANIFEST_NAME, Manifest
from dao.generations import (
    GENERATIONS,
    generation_path,
    is_held,
    kept_generations,
    read_manifest,
    written_by,
)
from dao.write.files import fsync

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = [
    "LOCK_NAME",
    "ROOMS",
    "check_target",
    "commit",
    "garbage",
    "named",
    "no_store",
    "remove_all",
    "write_lock",
]

LOCK_NAME = ".dao-write.lock"
# Also the order of removal: what a generation is opened by goes before what it needs.
ROOMS = ("generations", "datasets", "features", "obs")


@contextmanager
def write_lock(root: Path, *, mode: str) -> Iterator[Manifest | None]:
    """Hold the right to write to a store; yield its manifest, or None for a new one.

    On an error everything that was written under the lock is removed again; what a killed
    writer left behind is removed on entry. The lock is the operating system's, so it does
    not outlive its holder.

    Raises
    ------
    dao.errors.StoreExistsError
        If ``mode`` is "create" and something is there already.
    dao.errors.StoreBusyError
        If another process is writing.
    dao.errors.StorageError
        If the file system refuses.
    """
    created = not root.exists()
    check_target(root, mode)
    with _storage_errors(root):
        root.mkdir(parents=True, exist_ok=True)
        lock = os.open(root / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _lock(lock, root)
        check_target(root, mode)
        manifest_path = root / MANIFEST_NAME
        before = None
        if manifest_path.exists():
            before = Manifest.from_json(manifest_path.read_bytes(), str(manifest_path))
        remove_all(garbage(root, before))
        try:
            with _storage_errors(root):
                yield before
        except BaseException:
            _undo(root, created=created)
            raise
        (root / LOCK_NAME).unlink(missing_ok=True)
    finally:
        os.close(lock)


def commit(root: Path, manifest: Manifest) -> None:
    """Make a new generation the store's content, durably and at once."""
    content = manifest.to_json().encode()
    Manifest.from_json(content)  # what cannot be read again must not replace what can
    text = (root / MANIFEST_NAME).read_bytes() if (root / MANIFEST_NAME).exists() else None
    before = None if text is None else Manifest.from_json(text)
    copies = {manifest.generation: content}
    if text is not None and before is not None:
        copies[before.generation] = text
    new = [*_new_files(root, manifest, before), *_keep(root, copies)]
    for path in new:
        fsync(path)
    # The folders that they are in, up to the root; those of other datasets have not changed.
    for folder in {root / parent for path in new for parent in path.relative_to(root).parents}:
        fsync(folder)
    staged = root / f".{MANIFEST_NAME}.new"
    staged.write_bytes(content)
    fsync(staged)
    staged.replace(root / MANIFEST_NAME)
    fsync(root)


def garbage(root: Path, manifest: Manifest | None, *, old_generations: bool = False) -> list[Path]:
    """Return what is not part of the store.

    That is what a killed writer left behind, and with ``old_generations`` also what only earlier
    generations need that no reader holds.
    """
    found = [p for p in (root / f".{MANIFEST_NAME}.new",) if p.exists()]
    keep = named(manifest) if manifest else set()
    if manifest and old_generations:
        earlier = [g for g in kept_generations(root) if g < manifest.generation]
        for generation in (g for g in earlier if is_held(root, g)):
            keep |= named(read_manifest(root, generation))
    for room in ROOMS:
        found.extend(
            path
            for path in sorted((root / room).glob("*"))
            if f"{room}/{path.name}" not in keep
            and (old_generations or manifest is None or written_by(path) > manifest.generation)
        )
    return found


def named(manifest: Manifest) -> set[str]:
    """Return the files and folders of a generation, relative to the store."""
    copy = f"{GENERATIONS}/{manifest.generation}.json"
    return {copy, *(f.path for f in manifest.files), *(d.path for d in manifest.datasets)}


def _keep(root: Path, copies: Mapping[int, bytes]) -> Iterator[Path]:
    """Leave copies of a manifest, and of the one before it where an older dao left none.

    Yields what was written.
    """
    folder = root / GENERATIONS
    folder.mkdir(exist_ok=True)
    for generation, text in copies.items():
        path = generation_path(root, generation)
        if not path.exists() or path.read_bytes() != text:
            path.write_bytes(text)
            yield path


def _new_files(root: Path, manifest: Manifest, before: Manifest | None) -> Iterator[Path]:
    old = set() if before is None else named(before)
    for name in sorted(named(manifest) - old):
        path = root / name
        yield from (p for p in ([path] if path.is_file() else path.rglob("*")) if p.is_file())


def check_target(root: Path, mode: str) -> None:
    """Refuse what is no place for a store.

    Raises
    ------
    dao.errors.StoreExistsError
        If a store must not be replaced, or something else is there.
    """
    if root.is_file() or (root.is_symlink() and not root.exists()):
        what = "a link to nothing" if root.is_symlink() else "a file"
        msg = f"{root} is {what}; a store is a folder. Choose another path."
        raise StoreExistsError(msg)
    if not root.exists():
        return
    if (root / MANIFEST_NAME).exists():
        if mode == "create":
            msg = (
                f"{root} holds a store already. Use mode='append' to add datasets, or "
                "mode='overwrite' to replace it."
            )
            raise StoreExistsError(msg)
        return
    strangers = [p.name for p in root.iterdir() if p.name not in {*ROOMS, LOCK_NAME}]
    strangers = [n for n in strangers if n != f".{MANIFEST_NAME}.new"]
    if strangers:
        msg = (
            f"{root} is a folder with other things in it ({', '.join(sorted(strangers)[:3])}) and "
            "no store. Choose a new or an empty folder."
        )
        raise StoreExistsError(msg)


def no_store(where: object, mode: str, near: str = "") -> StoreNotFoundError:
    """Return the error for a change of a store that is not there; ``near`` names others."""
    what = "adds datasets to a store" if mode == "append" else "replaces datasets of a store"
    return StoreNotFoundError(
        f"There is no store at {where}, and mode={mode!r} {what}. Correct the path, or pass "
        f"mode='create' to begin a store.{near}"
    )


def _lock(lock: int, root: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # The last holder may have removed the file between our opening and our locking it.
        ours = os.fstat(lock).st_ino == (root / LOCK_NAME).stat().st_ino
    except (BlockingIOError, FileNotFoundError):
        ours = False
    if not ours:
        msg = f"Another process is writing to {root}. Wait until it has ended and try again."
        raise StoreBusyError(msg)


def _undo(root: Path, *, created: bool) -> None:
    manifest = None
    if (root / MANIFEST_NAME).exists():
        manifest = Manifest.from_json((root / MANIFEST_NAME).read_bytes())
    remove_all(garbage(root, manifest))
    (root / LOCK_NAME).unlink(missing_ok=True)
    if manifest is None:
        for room in ROOMS:
            shutil.rmtree(root / room, ignore_errors=True)
        if created:
            shutil.rmtree(root, ignore_errors=True)


def remove_all(paths: list[Path]) -> None:
    """Remove files and folders, as far as they are there."""
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


@contextmanager
def _storage_errors(root: Path) -> Iterator[None]:
    """Say what the file system refused, in words."""
    try:
        yield
    except OSError as error:
        if isinstance(error, DaoError):
            raise
        reasons = {
            errno.ENOSPC: "the disk is full; nothing was changed. Free some space and try again",
            errno.EDQUOT: "the disk quota is used up; nothing was changed",
            errno.EROFS: "the file system is read-only",
            errno.EACCES: "permission is denied",
            errno.EPERM: "permission is denied",
            errno.ENOTDIR: "a part of the path is a file",
        }
        reason = reasons.get(error.errno or 0, str(error))
        msg = f"{root} cannot be written: {reason}."
        raise StorageError(msg) from error
    except RuntimeError as error:
        # zarrs reports what the file system says as text.
        if "os error" not in str(error):
            raise
        msg = f"{root} cannot be written: {error}. Nothing was changed."
        raise StorageError(msg) from error

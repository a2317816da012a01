"""Write to a URL: a generation is made in a local folder, uploaded, and committed by one request.

Nothing that is at the URL is touched before the commit, and new objects have names that no other
writer uses. The commit is a conditional put of ``dao.json``: create it, or replace the one that was
read at the begin. Of two writers one wins, and the other is told.
"""

from __future__ import annotations

import secrets
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dao.errors import ArgumentError, DaoError, StorageError, StoreExistsError
from dao.format.manifest import MANIFEST_NAME, Manifest
from dao.generations import GENERATIONS, written_by
from dao.remote.bucket import Bucket
from dao.remote.network import at_once
from dao.remote.problems import MissingObjectError
from dao.scratch import scratch_folder
from dao.write.commit import ROOMS, no_store

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Staging", "staged"]

_FILES_AT_ONCE = 16


@dataclass(frozen=True)
class Staging:
    """A local folder that will be a generation of the store at a URL.

    Attributes
    ----------
    root
        The folder; it holds as much of the store as appending to it needs.
    before, version
        The manifest at the URL, and which one it is; None if there is none.
    there
        Files that are at the URL already.
    token
        Becomes part of new names.
    """

    bucket: Bucket
    root: Path
    before: Manifest | None
    version: Mapping[str, Any] | None
    there: frozenset[str]
    token: str

    def publish(self, *, replace: bool) -> None:
        """Upload what is new and make it the store.

        Parameters
        ----------
        replace
            Remove what earlier generations have written, in the end.

        Raises
        ------
        dao.errors.StoreBusyError
            If another process has written to the store meanwhile.
        dao.errors.StorageError
            If the server refuses; the store is then as it was.
        """
        files = {str(p.relative_to(self.root)): p for p in self.root.rglob("*") if p.is_file()}
        manifest = Manifest.from_json(files[MANIFEST_NAME].read_bytes())
        # The copy that stays for `generation=` has a name that a faster writer would use too.
        copy = f"{GENERATIONS}/{manifest.generation}.json"
        names = [n for n in sorted(files) if n not in self.there and not _is_manifest(n)]
        try:
            for first in range(0, len(names), _FILES_AT_ONCE):
                some = names[first : first + _FILES_AT_ONCE]
                at_once([partial(self.bucket.put, name, files[name]) for name in some])
        except BaseException:
            self._remove(names)
            raise
        self._commit(files[MANIFEST_NAME].read_bytes(), names)
        with suppress(DaoError):  # the store is written; an earlier generation would not open
            self.bucket.put(copy, files[MANIFEST_NAME])
        if replace and self.before is not None:
            self._remove(self._older(self.before.generation))

    def _commit(self, content: bytes, names: list[str]) -> None:
        try:
            self.bucket.put_if(MANIFEST_NAME, content, self.version)
        except DaoError:
            # An answer that got lost: the request was made again, and met what it had written.
            try:
                now, _ = self.bucket.read_versioned(MANIFEST_NAME)
            except MissingObjectError:
                now = b""
            except DaoError as error:
                # Nothing is removed: the store may need it.
                msg = (
                    f"{self.bucket.root} may have been written, or not: the server did not answer "
                    "to the last request. Look at store.datasets before you write again."
                )
                raise StorageError(msg) from error
            if now != content:
                self._remove(names)
                raise

    def _older(self, generation: int) -> list[str]:
        """Return the objects that this generation and those before it have written."""
        names = [name for room in ROOMS for name in self.bucket.names(room)]
        return [n for n in names if written_by(Path(*Path(n).parts[:2])) <= generation]

    def _remove(self, names: list[str]) -> None:
        with suppress(DaoError):  # what stays is named by nothing
            self.bucket.delete(names)


def _is_manifest(name: str) -> bool:
    return name == MANIFEST_NAME or name.startswith(f"{GENERATIONS}/")


@contextmanager
def staged(url: str, options: Mapping[str, Any] | None, mode: str) -> Iterator[Staging]:
    """Yield a temporary folder to write into.

    Raises
    ------
    dao.errors.StoreExistsError
        If ``mode`` is "create" and there is a store.
    dao.errors.ArgumentError
        If nothing can be written to such a URL.
    """
    bucket = Bucket(url, options)
    if bucket.root.service == "http":
        msg = f"{bucket.root}: a web server is only read. Write to s3://, gs:// or az://."
        raise ArgumentError(msg)
    before, version, text = _current(bucket)
    if before is not None and mode == "create":
        msg = f"{bucket.root} holds a store already. Use mode='append' to add datasets, or "
        raise StoreExistsError(msg + "mode='overwrite' to replace it.")
    if before is None and mode in {"append", "replace"}:
        raise no_store(bucket.root, mode)
    with scratch_folder("dao-write-") as folder:
        root = folder / str(bucket.root).rpartition("/")[2]
        there = set()
        if before is not None:
            files = [before.vocabulary, *(s.file for s in before.feature_spaces)]
            for name in [f.path for f in files] if mode in {"append", "replace"} else []:
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_bytes(bucket.read(name))
                there.add(name)
            root.mkdir(exist_ok=True)
            (root / MANIFEST_NAME).write_bytes(text)
        token = f".x{secrets.token_hex(4)}"
        yield Staging(bucket, root, before, version, frozenset(there), token)


def _current(bucket: Bucket) -> tuple[Manifest | None, Mapping[str, Any] | None, bytes]:
    try:
        text, version = bucket.read_versioned(MANIFEST_NAME)
    except MissingObjectError:
        return None, None, b""
    return Manifest.from_json(text, str(bucket.root / MANIFEST_NAME)), version, text

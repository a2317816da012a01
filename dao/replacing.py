"""Files that dao writes or replaces: the old one stays until the new one is whole."""

from __future__ import annotations

import os
import secrets
import shutil
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from dao.errors import DaoError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["replace_file", "replacing"]

_LONGEST_NAME = 255


@contextmanager
def replacing(target: Path, *, durable: bool = True) -> Iterator[Path]:
    """Yield a path in the folder of a file, which takes the place of the file in the end.

    After an error, Ctrl-C included, the file is what it was, and nothing is left next to it. What
    is not a plain file, such as ``/dev/stdout``, is written directly.

    Parameters
    ----------
    target
        Absolute; behind a link it is the target of the link that is replaced.
    durable
        Whether the new file is on the disk, not only in its cache, before it takes the place.

    Raises
    ------
    dao.errors.StorageError
        If the file system refuses.
    """
    try:
        real = Path(os.path.realpath(target))
        if real.is_dir():
            msg = f"{target} is a folder. Name a file."
            raise StorageError(msg)
        if real.exists() and not real.is_file():
            yield real
            return
        staged = _beside(real)
        try:
            yield staged
            _finish(staged, real, durable=durable)
        except BaseException:
            with suppress(OSError):
                staged.unlink(missing_ok=True)
            raise
    except DaoError:
        raise
    except (OSError, RuntimeError) as error:  # h5py raises both
        raise _refused(target, error) from error


def replace_file(target: Path, content: bytes) -> None:
    """Write a file, or replace it; errors as those of `replacing`."""
    with replacing(target) as staged:
        staged.write_bytes(content)


def _beside(target: Path) -> Path:
    # The end stays: it says to libraries what kind of file they write.
    mark = f".{secrets.token_hex(4)}-"
    name = os.fsencode(target.name)[-(_LONGEST_NAME - len(mark)) :]
    return target.with_name(mark + os.fsdecode(name))


def _finish(staged: Path, target: Path, *, durable: bool) -> None:
    with suppress(FileNotFoundError):
        shutil.copymode(target, staged)
    if durable:
        with staged.open("rb") as file:
            os.fsync(file.fileno())
    staged.replace(target)


def _refused(target: Path, error: OSError | RuntimeError) -> StorageError:
    folder = target.parent
    if isinstance(error, FileNotFoundError) and not folder.is_dir():
        return StorageError(f"{target} cannot be written: there is no folder {folder}. Make it.")
    reason = getattr(error, "strerror", None) or str(error)
    return StorageError(f"{target} cannot be written: {reason}. Name another file.")

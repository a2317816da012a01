"""Every error that dao raises on purpose: one tree, so that ``except DaoError`` catches them all.

Each class also derives from the builtin that Python users would expect, so that
``except FileNotFoundError`` or ``except KeyError`` keep working. Messages say what was
wrong, where, and what to do next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dao.similar import similar

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "ArgumentError",
    "BackendContractError",
    "CorruptStoreError",
    "DaoError",
    "DaoWarning",
    "DatasetIdError",
    "ExpressionError",
    "FormatError",
    "FormatVersionError",
    "GeneratorStoppedError",
    "MissingExtraError",
    "MultipleFeatureSpacesError",
    "NoCommonFeaturesError",
    "ObsTypeError",
    "RecipeError",
    "SourceError",
    "StorageError",
    "StoreBusyError",
    "StoreChangedError",
    "StoreClosedError",
    "StoreExistsError",
    "StoreNotFoundError",
    "UnknownBackendError",
    "UnknownColumnError",
    "UnknownDatasetError",
    "UnknownFeatureError",
    "UnknownValueError",
]


class DaoError(Exception):
    """Base of all errors of dao."""

    def __str__(self) -> str:
        # KeyError would print the repr of the message, with escaped line breaks.
        return str(self.args[0]) if self.args else ""


class DaoWarning(UserWarning):
    """Something was done that the user may not have expected; nothing is lost."""


class ArgumentError(DaoError, ValueError):
    """An argument has a value that cannot be used, or two arguments conflict."""


class StoreNotFoundError(DaoError, FileNotFoundError):
    """There is no dao store, or no saved selection, at the given path."""


class StoreExistsError(DaoError, FileExistsError):
    """Something is already at the path that a new store should be written to."""


class StoreBusyError(DaoError, OSError):
    """Another process is writing to the same store."""


class StoreChangedError(DaoError, RuntimeError):
    """A store is not any more what a selection was made from, or what was opened."""


class StoreClosedError(DaoError, ValueError):
    """Something was read from a store that has been closed."""


class StorageError(DaoError, OSError):
    """The file system refused: disk full, no permission, read-only."""


class FormatError(DaoError, ValueError):
    """A manifest is not what the format says it must be; lists every problem found."""


class FormatVersionError(FormatError):
    """The store was written in a newer version of the format than this dao reads."""


class CorruptStoreError(DaoError, OSError):
    """Stored bytes are missing, truncated or altered; reading them would give wrong data."""


class RecipeError(DaoError, ValueError):
    """A recipe cannot be used; lists every problem found."""


class SourceError(DaoError, ValueError):
    """A file or object cannot be used as a source of cells."""


class DatasetIdError(DaoError, ValueError):
    """A dataset id is used twice, or cannot be the name of a folder."""


class NoCommonFeaturesError(DaoError, ValueError):
    """The datasets of an organism share no feature, or none that was asked for."""


class ObsTypeError(DaoError, TypeError):
    """An obs column holds values that parquet cannot hold, or types that cannot be united."""


class MultipleFeatureSpacesError(DaoError, ValueError):
    """An operation on X was asked of a selection that spans several organisms."""


class UnknownColumnError(DaoError, KeyError):
    """There is no such obs column."""


class UnknownValueError(DaoError, KeyError):
    """No cell of the store has this value in this column."""


class UnknownFeatureError(DaoError, KeyError):
    """The store has no such feature."""


class UnknownDatasetError(DaoError, KeyError):
    """The store has no such dataset, organism, layer or obsm."""


class UnknownBackendError(DaoError, KeyError):
    """No backend of this name is installed."""


class MissingExtraError(DaoError, ImportError):
    """An optional dependency is not installed; the message has the ``pip install``."""


class ExpressionError(DaoError, ValueError):
    """A filter expression cannot be parsed, or compares what cannot be compared."""


class BackendContractError(DaoError, RuntimeError):
    """A backend returned something that the protocol forbids."""


class GeneratorStoppedError(DaoError, RuntimeError):
    """Batches were asked of an iterator that has been closed."""


def near_matches(wanted: object, known: Iterable[object], limit: int = 3) -> str:
    """Return a sentence that names the known values closest to ``wanted``.

    Parameters
    ----------
    wanted
        What the user asked for.
    known
        What exists.
    limit
        How many near matches to name at the most.

    Returns
    -------
    ``" Did you mean 'a' or 'b'?"``, or the first known values where none is near; starts
    with a space so that it can be appended to a sentence.
    """
    names = [str(k) for k in known]
    close = similar(str(wanted), names, limit)
    if close:
        return f" Did you mean {_either(close)}?"
    if not names:
        return " There are none."
    shown = ", ".join(repr(n) for n in names[:10])
    rest = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return f" Known: {shown}{rest}."


def _either(names: Sequence[str]) -> str:
    quoted = [repr(n) for n in names]
    return quoted[0] if len(quoted) == 1 else ", ".join(quoted[:-1]) + " or " + quoted[-1]

"""obsm of several studies: columns with names are aligned by them, others must be alike."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dao.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dao.format.manifest import Manifest
    from dao.write.inspect import Study

__all__ = ["ObsmColumns", "align_obsm"]

_SHOWN = 4


@dataclass(frozen=True)
class ObsmColumns:
    """The columns of an obsm of one study.

    Attributes
    ----------
    width
        How many there are.
    names
        What they are called, if it is a DataFrame.
    places
        Which column of the store each of them becomes.
    """

    width: int
    names: tuple[str, ...] | None
    places: tuple[int, ...]

    @classmethod
    def of(cls, width: int, names: tuple[str, ...] | None) -> ObsmColumns:
        """Return columns that stay where they are."""
        return cls(width, names, tuple(range(width)))

    def placed(self, names: tuple[str, ...] | None, width: int) -> ObsmColumns | None:
        """Return the same columns in the places of others; None if these are not the same."""
        if (self.names, self.width) == (names, width):
            return self
        if self.names is None or names is None or sorted(self.names) != sorted(names):
            return None
        if len(set(names)) < len(names):
            return None
        return ObsmColumns(width, names, tuple(names.index(n) for n in self.names))


def align_obsm(studies: Sequence[Study], base: Manifest | None, *, asked: bool) -> list[Study]:
    """Return the studies with the columns of their obsm in the order of the store.

    Each obsm has the same columns in all datasets of an organism. Their order is that of the first
    dataset.

    Parameters
    ----------
    base
        The generation that is appended to, if any.
    asked
        Whether the obsm were asked for by name. Those that came along with a store are left as
        they are where they cannot be aligned.

    Raises
    ------
    dao.errors.ArgumentError
        If two studies have different columns.
    """
    known: dict[tuple[str, str], dict[tuple[tuple[str, ...] | None, int], str]] = {}
    for dataset in base.datasets if base else ():
        for name in dataset.obsm:
            info = dataset.matrices[f"obsm/{name}"]
            forms = known.setdefault((dataset.organism, f"obsm/{name}"), {})
            forms.setdefault((info.columns, info.shape[1]), dataset.id)
    return [
        replace(study, obsm={n: _aligned(study, n, known, asked=asked) for n in study.obsm})
        for study in studies
    ]


def _aligned(
    study: Study,
    name: str,
    known: dict[tuple[str, str], dict[tuple[tuple[str, ...] | None, int], str]],
    *,
    asked: bool,
) -> ObsmColumns:
    own = study.obsm[name]
    forms = known.setdefault((study.organism, name), {})
    for names, width in forms:
        found = own.placed(names, width)
        if found is not None:
            return found
    if forms and asked:
        (names, width), other = next(iter(forms.items()))
        raise ArgumentError(_unlike(study.id, own, name, other, names, width))
    forms[own.names, own.width] = study.id
    return own


def _unlike(
    dataset: str,
    own: ObsmColumns,
    name: str,
    other: str,
    names: tuple[str, ...] | None,
    width: int,
) -> str:
    key = name.partition("/")[2]
    mine, theirs = _described(own.names, own.width), _described(names, width)
    if own.names is not None and names is not None:
        only = [repr(n) for n in own.names if n not in names]
        lacks = [repr(n) for n in names if n not in own.names]
        parts = [f"only {dataset!r} has {_some(only)}"] if only else []
        parts += [f"it lacks {_some(lacks)}"] if lacks else []
        detail = f" ({'; '.join(parts)})" if parts else " (some names are there twice)"
        how = (
            "give all studies the same columns, as with "
            f"adata.obsm[{key!r}] = adata.obsm[{key!r}].reindex(columns=names)"
        )
    else:
        detail = ""
        how = "give all studies the same columns, or DataFrames with the same names"
    return (
        f"obsm {key!r} has {mine} in {dataset!r} and {theirs} in {other!r}{detail}. One obsm has "
        f"the same columns in all datasets of an organism: {how}, or store it under another name."
    )


def _described(names: tuple[str, ...] | None, width: int) -> str:
    if names is None:
        return f"{width:,} columns without names"
    return f"the columns {_some([repr(n) for n in names])}"


def _some(texts: Sequence[str]) -> str:
    more = len(texts) - _SHOWN
    return ", ".join(texts[:_SHOWN]) + (f" and {more} more" if more > 0 else "")

"""A branch of an ontology as a value: the terms that are meant, before anybody looks them up."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dao.arguments import flag
from dao.errors import ArgumentError

__all__ = ["Descendants", "descendants"]


@dataclass(frozen=True, slots=True)
class Descendants:
    """Terms and all that lies below them; made by `descendants`."""

    terms: tuple[str, ...]
    part_of: bool = False


def descendants(term: str | Iterable[str], *, part_of: bool = False) -> Descendants:
    """Return what stands, as a value in `Store.subset`, for a term and everything below it.

    The column needs an ontology: see `Store.add_ontology`. A cell matches if its label is the
    name, the id or an exact synonym of one of these terms.

    Parameters
    ----------
    term
        Name, id or exact synonym of a term, or several of them.
    part_of
        Follow ``part_of`` as well as ``is_a``: with it, the parts of the lung are below
        "lung".

    Raises
    ------
    dao.errors.ArgumentError
        If a term is no text.

    Examples
    --------
    >>> import dao
    >>> dao.descendants("T cell")
    Descendants(terms=('T cell',), part_of=False)
    >>> store.subset(cell_type=dao.descendants("lymphocyte")).n_obs  # doctest: +SKIP
    31204
    """
    terms = tuple(term) if isinstance(term, Iterable) and not isinstance(term, str) else (term,)
    if not terms or not all(isinstance(t, str) and t for t in terms):
        msg = f"descendants({term!r}): give the name or id of a term, or a list of them."
        raise ArgumentError(msg)
    return Descendants(terms, flag("part_of", part_of))

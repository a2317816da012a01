"""A branch of an ontology as a value: the terms that are meant, before anybody looks them up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dao.arguments import flag, listed, shown
from dao.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterable

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
    terms = [term] if isinstance(term, str) else listed(term)
    if not terms or not all(isinstance(t, str) and t for t in terms):
        msg = f"term={shown(term)}: pass the name or id of a term, or a list of them."
        raise ArgumentError(msg)
    return Descendants(tuple(terms), flag("part_of", part_of))

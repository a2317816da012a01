"""Ontologies that a store holds for its obs columns: labels, terms and the branches below them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dao.cached import cached_property
from dao.errors import UnknownValueError, near_matches

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pyarrow as pa

    from dao.where.branch import Descendants

__all__ = ["Ontology"]


@dataclass(frozen=True)
class Ontology:
    """Terms with their names and what they lie below.

    Attributes
    ----------
    source
        What the terms came from, for messages.
    terms
        Columns ``id``, ``name``, ``alt_ids``, ``synonyms`` (the exact ones), ``is_a`` and
        ``part_of``, one entry for each term.
    """

    source: str
    terms: Mapping[str, Sequence[Any]]

    @classmethod
    def from_table(cls, source: str, table: pa.Table) -> Ontology:
        """Return the ontology that a table of the store holds."""
        return cls(source, table.to_pydict())

    def find(self, label: object) -> str | None:
        """Return the id of the term that a label names, upper and lower case apart if need be.

        Ids and names come before synonyms. A synonym of several terms names none of them.
        """
        if not isinstance(label, str):
            return None
        exact = self._labels.get(label)
        return exact if exact is not None else self._folded.get(label.casefold())

    def branch(self, wanted: Descendants) -> set[str]:
        """Return the ids of terms and of all that lies below them.

        Raises
        ------
        dao.errors.UnknownValueError
            With the nearest terms.
        """
        found: set[str] = set()
        waiting = [self._require(term) for term in wanted.terms]
        while waiting:
            term = waiting.pop()
            if term not in found:
                found.add(term)
                waiting += self._below["is_a"].get(term, ())
                waiting += self._below["part_of"].get(term, ()) if wanted.part_of else ()
        return found

    def labels_in(self, wanted: Descendants, labels: Iterable[Any]) -> list[Any]:
        """Return those of some labels that lie in a branch."""
        ids = self.branch(wanted)
        return [label for label in labels if self.find(label) in ids]

    def _require(self, term: str) -> str:
        found = self.find(term)
        if found is None:
            is_id = ":" in term
            near = near_matches(term, self.terms["id" if is_id else "name"])
            msg = f"There is no term {term!r} in {self.source}.{near}"
            raise UnknownValueError(msg)
        return found

    @cached_property
    def _labels(self) -> dict[str, str]:
        ids = self.terms["id"]
        names = zip(self.terms["name"], ids, strict=True)
        others = [
            [
                (label, i)
                for i, labels in zip(ids, self.terms[kind], strict=True)
                for label in labels
            ]
            for kind in ("alt_ids", "synonyms")
        ]
        found: dict[str, str] = {}
        for pairs in ([(i, i) for i in ids], list(names), *others):
            found = {**_unambiguous(pairs), **found}
        return found

    @cached_property
    def _folded(self) -> dict[str, str]:
        return _unambiguous((label.casefold(), i) for label, i in self._labels.items())

    @cached_property
    def _below(self) -> dict[str, dict[str, list[str]]]:
        below: dict[str, dict[str, list[str]]] = {}
        for relation in ("is_a", "part_of"):
            children = below[relation] = defaultdict(list)
            for term, parents in zip(self.terms["id"], self.terms[relation], strict=True):
                for parent in parents:
                    children[parent].append(term)
        return below


def _unambiguous(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return label -> id, without labels of several ids."""
    meant: dict[str, set[str]] = defaultdict(set)
    for label, term in pairs:
        meant[label].add(term)
    return {label: next(iter(ids)) for label, ids in meant.items() if len(ids) == 1}

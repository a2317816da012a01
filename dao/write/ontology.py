"""An ontology becomes part of a store: a file read, its terms a table, one commit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from dao.backend import missing_extra
from dao.errors import ArgumentError, SourceError
from dao.format.manifest import OntologyInfo
from dao.format.names import organism_slug
from dao.ontology import Ontology
from dao.panics import panics_as_errors
from dao.paths import local_path
from dao.warn import warn
from dao.write.change import check_same, next_generation
from dao.write.commit import commit, write_lock
from dao.write.tables import write_table

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from dao.format.manifest import Manifest

__all__ = ["add_ontology", "read_terms"]

# What OBO files and those of OBO graphs call the same relation.
_PART_OF = {"part_of", "BFO:0000050"}


def add_ontology(
    root: Path,
    opened: Manifest,
    column: str,
    file: str | os.PathLike[str],
    known: Callable[[], Sequence[Any]],
) -> None:
    """Give a column an ontology, as a new generation of the store.

    Parameters
    ----------
    root
        Folder of the store.
    opened
        What the caller has open; the store may have grown since.
    known
        Gives the values of the column in the whole store.

    Raises
    ------
    dao.errors.SourceError
        If the file cannot be read.
    dao.errors.ArgumentError
        If none of the values is a term.
    dao.errors.StoreChangedError
        If there is another store at this path by now.
    """
    terms, version = read_terms(file)
    source = local_path(file, "file").name
    with write_lock(root, mode="append") as before:
        manifest = check_same(before, opened, root)
        ontology = Ontology(source, {str(k): list(v) for k, v in terms.items()})
        _check_overlap(ontology, column, known())
        path = f"obs/ontology_{organism_slug(column)}-{manifest.generation + 1}.parquet"
        info = OntologyInfo(write_table(root, path, terms), source, version)
        ontologies = {**manifest.ontologies, column: info}
        commit(root, next_generation(manifest, "ontology", [], ontologies=ontologies))


def read_terms(file: str | os.PathLike[str]) -> tuple[pd.DataFrame, str]:
    """Return the terms of an OBO file (``.obo``) or OBO graph (``.json``), and its version.

    Obsolete terms are left out.

    Raises
    ------
    dao.errors.SourceError
        If there is no such file, or it is none of these.
    dao.errors.MissingExtraError
        If the package that reads them is not installed.
    """
    path = str(local_path(file, "file"))
    try:
        import fastobo
    except ImportError as error:
        msg = "reading an ontology"
        raise missing_extra(msg, "ontology", error) from error
    try:
        with panics_as_errors(path, "fastobo"):
            document = fastobo.load_graph(path) if path.endswith(".json") else fastobo.load(path)
    except (SyntaxError, ValueError, TypeError, RuntimeError, OSError) as error:
        msg = f"{path} cannot be read as an ontology ({error}). Give an .obo file or an OBO graph."
        raise SourceError(msg) from error
    rows = [_term(frame) for frame in document if isinstance(frame, fastobo.term.TermFrame)]
    found = [row for row in rows if row is not None]
    if not found:
        msg = f"{path} has no terms. Give an .obo file or an OBO graph (.json)."
        raise SourceError(msg)
    versions = [c.raw_value() for c in document.header if c.raw_tag() == "data-version"]
    return pd.DataFrame(found), next(iter(versions), "")


def _term(frame: Any) -> dict[str, Any] | None:
    row: dict[str, Any] = {"id": str(frame.id), "name": ""}
    row |= {key: [] for key in ("alt_ids", "synonyms", "is_a", "part_of")}
    for clause in frame:
        match clause.raw_tag():
            case "name":
                row["name"] = clause.raw_value()
            case "alt_id":
                row["alt_ids"].append(clause.raw_value())
            case "is_a":
                row["is_a"].append(clause.raw_value())
            case "relationship" if str(clause.typedef) in _PART_OF:
                row["part_of"].append(str(clause.term))
            case "synonym" if clause.synonym.scope == "EXACT":
                row["synonyms"].append(clause.synonym.desc)
            case "is_obsolete" if clause.raw_value() == "true":
                return None
    return row


def _check_overlap(ontology: Ontology, column: str, known: Sequence[Any]) -> None:
    strangers = [value for value in known if ontology.find(value) is None]
    if not strangers:
        return
    shown = ", ".join(map(repr, strangers[:5])) + (", …" if len(strangers) > 5 else "")
    if len(strangers) == len(known):
        msg = f"No value of {column!r} is a term of {ontology.source}: {shown}. Another column?"
        raise ArgumentError(msg)
    msg = (
        f"{len(strangers)} of {len(known)} values of {column!r} are no terms of {ontology.source}, "
        f"so they lie in no branch: {shown}."
    )
    warn(msg)

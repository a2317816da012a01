"""A saved selection as frozen values: what its JSON file holds, parsed and checked."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from dao.errors import FormatError
from dao.format.manifest import FileInfo
from dao.format.parse import Problems, Reader, check_version

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["SavedDataset", "SavedSelection"]

_FORMAT = "dao selection"
_VERSION = 1


@dataclass(frozen=True, slots=True)
class SavedDataset:
    """A dataset that a selection has cells of.

    Attributes
    ----------
    selected
        Rows of the selection that are in it, each as often as it comes.
    n_obs, path, obs_sha256
        What it was: all its cells, its folder in the store, and the checksum of its obs.
    """

    id: str
    organism: str
    selected: int
    n_obs: int
    path: str
    obs_sha256: str


@dataclass(frozen=True, slots=True)
class SavedSelection:
    """What makes a selection, without the rows, which lie in a Parquet file of their own.

    Attributes
    ----------
    store, relative_store
        Where the store was: as an absolute path or URL, and seen from this file.
    uuid, generation
        Of the store.
    in_store_order
        Whether the rows come in store order, each once.
    n_vars
        Organism -> features of its space, in the order of the organisms.
    features
        The features that were selected, in their order; None for all of the space.
    zero_features
        Those of them that are zeros, whatever the store holds.
    obs_columns
        The columns that the store was opened with; None for all.
    rows
        The Parquet file, beside this one.
    """

    created: str
    created_by: str
    store: str
    relative_store: str
    uuid: str
    generation: int
    n_obs: int
    in_store_order: bool
    datasets: tuple[SavedDataset, ...]
    n_vars: Mapping[str, int]
    features: tuple[str, ...] | None
    zero_features: tuple[str, ...]
    obs_columns: tuple[str, ...] | None
    rows: FileInfo

    def to_json(self) -> str:
        """Return the text of the file."""
        content = {"format": _FORMAT, "format_version": _VERSION, **asdict(self)}
        return json.dumps(content, indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, where: str) -> SavedSelection:
        """Parse and check the text of a file.

        Raises
        ------
        dao.errors.FormatVersionError
            If a newer dao wrote it.
        dao.errors.FormatError
            With every problem found.
        """
        try:
            content = json.loads(text)
        except (ValueError, RecursionError) as error:
            msg = f"{where} is no saved selection: it is not JSON ({error})."
            raise FormatError(msg) from error
        if not isinstance(content, dict) or content.get("format") != _FORMAT:
            msg = f'{where} is no saved selection: it has no "format": "{_FORMAT}".'
            raise FormatError(msg)
        check_version(content, _VERSION, where)
        problems = Problems(where, what="a saved selection")
        saved = _parse(Reader(content, "", problems))
        problems.raise_if_any()
        return saved


def _parse(r: Reader) -> SavedSelection:
    r.equal("format_version", _VERSION)
    rows, n_vars = r.child("rows"), r.child("n_vars")
    return SavedSelection(
        created=r.text("created"),
        created_by=r.text("created_by"),
        store=r.text("store"),
        relative_store=r.text("relative_store"),
        uuid=r.text("uuid"),
        generation=r.size("generation"),
        n_obs=r.size("n_obs"),
        in_store_order=r.flag("in_store_order"),
        datasets=tuple(
            SavedDataset(
                id=d.text("id"),
                organism=d.text("organism"),
                selected=d.size("selected"),
                n_obs=d.size("n_obs"),
                path=d.path("path"),
                obs_sha256=d.text("obs_sha256"),
            )
            for d in r.children("datasets")
        ),
        n_vars={organism: n_vars.size(organism) for organism in n_vars.content},
        features=_texts_or_none(r, "features"),
        zero_features=r.texts("zero_features"),
        obs_columns=_texts_or_none(r, "obs_columns"),
        rows=FileInfo(rows.path("path"), rows.size("size"), rows.text("sha256")),
    )


def _texts_or_none(r: Reader, key: str) -> tuple[str, ...] | None:
    return None if r.content.get(key) is None else r.texts(key)

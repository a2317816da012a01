"""Sources: what the user hands to `dao.write_store`, with an id for each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dao.arguments import mapping, optional_text, shown
from dao.errors import ArgumentError, DatasetIdError, SourceError
from dao.format.names import check_dataset_id
from dao.paths import is_path, local_path
from dao.remote.url import is_url
from dao.stamps import Stamp
from dao.store import Store
from dao.write.collection import collection_folder
from dao.write.portion import Portion
from dao.write.several import each_study
from dao.write.strangers import check_source, not_a_source

if TYPE_CHECKING:
    import os

    import pyarrow.compute as pc
    from anndata import AnnData

__all__ = ["Source", "check_unique", "default_id", "normalise_sources", "source_stamps"]

_RENAMES = "{'cell_type': 'Celltype', 'sex': ('Sex', {'M': 'male'})}"
_SUFFIXES = (".h5ad", ".zarr", ".hdf5", ".h5")


@dataclass(frozen=True)
class Source:
    """One study to write, with what dao should know about it.

    Parameters
    ----------
    path
        An ``.h5ad`` file, an anndata ``.zarr`` folder, a 10x Cell Ranger ``.h5`` file, a store or
        dataset that sfaira wrote, a collection that annbatch wrote, an AnnData in memory, or a
        `dao.Store`: cells and features chosen from a store that is open.
    id
        Name of the dataset in the store; the file name without its suffix if not given.
    organism
        For example ``"human"``, ``"Homo sapiens"`` or ``"NCBITaxon:9606"``; datasets of one
        organism share features.
    layer
        Which matrix becomes X: the name of a layer, ``"raw"``, or ``"X"``. Where a layer is called
        ``"raw"`` too, ``"layers/raw"`` is the layer and ``"raw/X"`` is raw. Of a 10x file: a genome
        or a type of features, as ``"Antibody Capture"``.
    feature_key
        The column of var that holds the feature ids; the index (var_names) if not given.
    obs
        Store column -> source column: renames, as in ``{"cell_type": "Celltype"}``; or -> (source
        column, values), as in ``{"sex": ("Sex", {"M": "male", "F": "female"})}``, which renames
        values too. None as a new value stands for missing. Columns and values that are not named
        keep their names.
    constants
        Column -> value for all cells of this study, as in ``{"tissue": "pancreas"}``.
    subset
        An expression, as of `dao.Store.subset`, over the (renamed) obs columns of the file, also
        those that are not stored; only the cells that match are written. Or a dict of columns and
        values, or an expression of pyarrow.

    Examples
    --------
    >>> source = Source("gut.h5ad", id="gut", obs={"cell_type": "Celltype"})
    >>> source.id
    'gut'
    """

    path: str | bytes | os.PathLike[str] | os.PathLike[bytes] | AnnData | Store | Portion
    id: str | None = None
    organism: str | None = None
    layer: str | None = None
    feature_key: str | None = None
    obs: Mapping[str, str | tuple[str, Mapping[Any, Any]]] = field(default_factory=dict)
    constants: Mapping[str, Any] = field(default_factory=dict)
    subset: str | Mapping[str, Any] | pc.Expression | None = None

    def __post_init__(self) -> None:
        if is_path(self.path):
            object.__setattr__(self, "path", _found_at(self.path))
        optional_text("organism", self.organism, "human")
        optional_text("layer", self.layer, "counts")
        optional_text("feature_key", self.feature_key, "gene_ids")
        renames = mapping("obs", self.obs, _RENAMES)
        for new, what in renames.items():
            if not (isinstance(what, str) or _is_pair(what)):
                msg = (
                    f"obs[{new!r}]={shown(what)}: pass the name of a column, or that and a dict "
                    f"of values, as in {_RENAMES}."
                )
                raise ArgumentError(msg)
        for name, value in mapping("constants", self.constants, "{'tissue': 'pancreas'}").items():
            if isinstance(value, Iterable) and not isinstance(value, str | bytes):
                msg = f"constants[{name!r}]={shown(value)}: pass one value for all cells."
                raise ArgumentError(msg)

    @property
    def label(self) -> str:
        """How messages name the source: the path, or the id of an object in memory."""
        if isinstance(self.path, Path):
            return str(self.path)
        if isinstance(self.path, Store | Portion):
            return self.path.label if isinstance(self.path, Portion) else self.path.path
        return f"AnnData {self.id!r}"


def normalise_sources(
    sources: Any,
    *,
    organism: str | None,
    layer: str | None,
    feature_key: str | None,
) -> list[Source]:
    """Return one `Source` per study, each with a valid and unique id.

    Parameters
    ----------
    sources
        An AnnData, a path, a Source, a Store, or a list or dict (id -> any of these).
    organism, layer, feature_key
        Defaults for the sources that do not say otherwise.

    Raises
    ------
    dao.errors.DatasetIdError
        If an id is used twice or cannot be the name of a folder.
    dao.errors.SourceError
        If there is nothing to write, or something is no source.
    """
    check_source(sources)
    if isinstance(sources, Mapping):
        named = [_as_source(v, key=k) for k, v in sources.items()]
    elif _is_single(sources):
        named = [_as_source(sources)]
    elif isinstance(sources, Sequence):
        named = [_as_source(s) for s in sources]
    else:
        named = [_as_source(s) for s in _iterate(sources)]
    if not named:
        msg = "There are no sources to write. Give a path, an AnnData, or a list or dict of them."
        raise SourceError(msg)
    named = [one for source in named for one in each_study(source)]
    result = [
        replace(
            source,
            id=check_dataset_id(source.id if source.id is not None else default_id(source, i)),
            organism=source.organism if source.organism is not None else organism,
            layer=source.layer if source.layer is not None else layer,
            feature_key=source.feature_key if source.feature_key is not None else feature_key,
        )
        for i, source in enumerate(named)
    ]
    check_unique([str(s.id) for s in result])
    return result


def check_unique(ids: Sequence[str]) -> None:
    """Refuse ids that are used twice, also where they differ in case only.

    Raises
    ------
    dao.errors.DatasetIdError
        Naming the ids.
    """
    seen: dict[str, str] = {}
    for dataset_id in ids:
        other = seen.get(dataset_id.lower())
        seen[dataset_id.lower()] = dataset_id
        if other is not None:
            twice = repr(dataset_id) if other == dataset_id else f"{other!r} and {dataset_id!r}"
            msg = (
                f"Two datasets would share the id {twice}. Give each its own: "
                "write_store(path, {'first': a, 'second': b})."
            )
            raise DatasetIdError(msg)


def _found_at(path: object) -> Path:
    text = str(path) if not isinstance(path, bytes) else path.decode(errors="replace")
    if is_url(text):
        msg = (
            f"{text.partition('?')[0]} is a URL, and sources are read from local disk. Copy the "
            "file to this machine and pass its path; a dao store at a URL is a source as "
            "dao.load_store(url)."
        )
        raise SourceError(msg)
    return local_path(path, "source")


def _is_pair(what: Any) -> bool:
    """Return whether this is the name of a column, and a dict of its values."""
    if not isinstance(what, tuple | list) or len(what) != 2:
        return False
    return isinstance(what[0], str) and isinstance(what[1], Mapping)


def _is_single(sources: Any) -> bool:
    if is_path(sources) or isinstance(sources, Source | Store) or hasattr(sources, "obs_names"):
        return True
    return collection_folder(sources) is not None


def _iterate(sources: Any) -> list[Any]:
    try:
        return list(sources)
    except TypeError as error:
        raise not_a_source(sources) from error


def _as_source(value: Any, key: object = None) -> Source:
    source = value if isinstance(value, Source) else Source(value)
    folder = collection_folder(source.path)
    source = source if folder is None else replace(source, path=folder)
    known = isinstance(source.path, Path | Store | Portion)
    check_source(source.path, key if source.id is None else source.id)
    if not (known or hasattr(source.path, "obs_names")):
        raise not_a_source(source.path)
    if key is None:
        return source
    if source.id is not None and source.id != key:
        msg = f"The source of {key!r} has another id, {source.id!r}: give one of the two."
        raise ArgumentError(msg)
    return replace(source, id=check_dataset_id(key))


def default_id(source: Source, place: int) -> str:
    """Return the id of a source that says none: its file name without suffix, or its place."""
    if isinstance(source.path, Path):
        name = source.path.name
        suffix = next((s for s in _SUFFIXES if name.lower().endswith(s)), "")
        return name[: len(name) - len(suffix)] if suffix else name
    return f"dataset_{place}"


def source_stamps(sources: Sequence[Source]) -> dict[str, Stamp]:
    """Return what the files of sources look like now, by dataset id; stores need no stamp."""
    stamps = {}
    for source in sources:
        path = _file_behind(source.path)
        with suppress(OSError):  # where nothing is, opening says what is wrong
            if path is not None:
                stamps[str(source.id)] = Stamp(path, whole=True)
    return stamps


def _file_behind(value: Any) -> Path | None:
    """Return the file of a path, or of an AnnData that is backed by one and only reads it."""
    if isinstance(value, Path):
        return value
    file = getattr(value, "file", None)
    if not getattr(value, "isbacked", False) or getattr(file, "_filemode", "") != "r":
        return None
    return local_path(value.filename)

"""What people pass as a source and dao cannot write as it is: what it is, and what to pass."""

from __future__ import annotations

from typing import Any

from dao.errors import SourceError

__all__ = ["check_source", "not_a_source"]

_ADVICE = "Pass a path, an AnnData, a dao.Store, a dao.Source, or a list or dict of them."


def check_source(value: Any, name: object = None) -> None:
    """Refuse what is not a study, or holds several that have to be named.

    Parameters
    ----------
    name
        The id that the value was given, if any.

    Raises
    ------
    dao.errors.SourceError
        With the call that makes a source of it.
    """
    hint = _hint(value)
    if hint is not None:
        where = "" if name is None else f" (source {name!r})"
        msg = f"{_kind(value)} is not a source{where}. {hint}"
        raise SourceError(msg)


_TABLES = {"pandas", "polars", "numpy", "scipy", "dask", "xarray", "zarr", "torch", "cupy"}
_INTO_ANNDATA = (
    "Put it into an AnnData, cells x genes: anndata.AnnData(table) of a DataFrame, or "
    "anndata.AnnData(X, obs=obs, var=var)."
)
_BY_NAME = {
    "AnnCollection": "Pass its studies, each with an id of its own: "
    "{name: adata for name, adata in zip(names, collection.adatas)}.",
    "AnnCollectionView": "Pass view.to_adata(), or the studies behind it with "
    "dao.Source(adata, subset=...).",
    "Raw": "Pass the AnnData that it belongs to: dao.Source(adata, layer='raw').",
}
_BY_MODULE = {
    "h5py": "Pass the path of the file.",
    "loompy": "Pass anndata.io.read_loom(path).",
    **dict.fromkeys(_TABLES, _INTO_ANNDATA),
}


def _hint(value: Any) -> str | None:
    kind = type(value)
    module, name = kind.__module__.partition(".")[0], kind.__name__
    if hasattr(value, "mod") and hasattr(value, "obs_names"):
        return _of_modalities(list(value.mod))
    if isinstance(value, bytearray):
        return "Pass the path as text: path.decode()."
    known = _BY_NAME.get(name) if module == "anndata" else _BY_MODULE.get(module)
    if known is None and callable(value) and not hasattr(value, "obs_names"):
        return "It is a function: call it, and pass what it returns."
    return known


def _of_modalities(names: list[str]) -> str:
    if not names:
        return "It has no modalities."
    listed = ", ".join(map(repr, names))
    return f"A store holds one modality: pass mdata[{names[0]!r}] (it has {listed})."


def _kind(value: Any) -> str:
    if callable(value) and hasattr(value, "__name__"):
        return str(value.__name__)
    kind = type(value)
    package = kind.__module__.partition(".")[0]
    return kind.__name__ if package == "builtins" else f"{package}.{kind.__name__}"


def not_a_source(value: Any) -> SourceError:
    """Return the error for anything else."""
    return SourceError(f"{_kind(value)} is not a source. {_ADVICE}")

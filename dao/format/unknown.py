"""Fields of a manifest that this version does not know: kept when a store is appended to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dao.format.manifest import Manifest

__all__ = ["unknown_fields", "with_unknown"]

_BY_ID = "datasets"


def unknown_fields(found: Mapping[str, Any], known: Manifest) -> dict[str, Any]:
    """Return the part of a manifest as it was found that is not in the manifest as understood.

    Datasets are told apart by their ids, so that the result fits a manifest with others.
    """
    ours = {d.id: d for d in known.datasets}
    rest = {d["id"]: _rest(d, ours[d["id"]]) for d in found[_BY_ID]}
    datasets = {i: r for i, r in rest.items() if r}
    others = {k: v for k, v in found.items() if k not in {_BY_ID, "format", "format_version"}}
    return {**_rest(others, known), **({_BY_ID: datasets} if datasets else {})}


def with_unknown(content: Mapping[str, Any], unknown: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of a manifest with the fields of `unknown_fields`."""
    by_id = unknown.get(_BY_ID, {})
    datasets = [_merged(d, by_id.get(d["id"], {})) for d in content[_BY_ID]]
    others = {k: v for k, v in unknown.items() if k != _BY_ID}
    return {**_merged(content, others), _BY_ID: datasets}


def _rest(found: Mapping[str, Any], known: Any) -> dict[str, Any]:
    result = {}
    for key, value in found.items():
        if not _has(known, key):
            result[key] = value
        elif isinstance(value, dict):
            inner = _rest(value, known[key] if isinstance(known, Mapping) else getattr(known, key))
            if inner:
                result[key] = inner
    return result


def _has(known: Any, key: str) -> bool:
    if isinstance(known, Mapping):
        return key in known
    # What `dataclasses.fields` looks at; a store of many datasets asks a million times.
    return key in getattr(known, "__dataclass_fields__", ())


def _merged(content: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(content)
    for key, value in extra.items():
        if key not in result:
            result[key] = value
        elif isinstance(value, Mapping) and isinstance(result[key], Mapping):
            result[key] = _merged(result[key], value)
    return result

"""What studies hold and a store does not keep: named once for a write, with what keeps it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dao.warn import warn

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dao.write.contents import OpenSource
    from dao.write.inspect import Study

__all__ = ["left_out", "warn_of_left_out"]

# The message of every such warning begins with this.
LEFT_OUT = "Left out of the store"
_SHOWN_NAMES, _SHOWN_DATASETS = 20, 5
_NO_PLACE = "a store has no place for it, so keep the file"


def left_out(
    opened: OpenSource, matrices: Iterable[str], *, n_obs: int, n_source_rows: int
) -> dict[str, tuple[str, ...]]:
    """Return kind -> names of what is not kept of an open source.

    Parameters
    ----------
    matrices
        What is written besides X.
    n_obs, n_source_rows
        Cells that are written, and cells of the source.
    """
    kept = set(matrices)
    found = {
        kind: names
        for kind, held in opened.held.items()
        # anndata 0.13 lists X as the layer None.
        if (names := tuple(n for n in held if n is not None and f"{kind}/{n}" not in kept))
    }
    if n_source_rows and not n_obs:
        found["cells"] = (f"all {n_source_rows:,} cells",)
    return found


def warn_of_left_out(studies: Sequence[Study], uns: Mapping[str, Sequence[str]]) -> None:
    """Warn once of everything that is not kept, grouped by kind.

    Parameters
    ----------
    uns
        Dataset -> paths of keys that JSON cannot hold.
    """
    by_kind: dict[str, dict[str, list[str]]] = {}
    for study in studies:
        for kind, names in {**study.left_out, "uns": uns.get(study.id, ())}.items():
            for name in names:
                by_kind.setdefault(kind, {}).setdefault(name, []).append(study.id)
    if by_kind:
        lines = "".join(f"\n  {_line(kind, held)}" for kind, held in sorted(by_kind.items()))
        warn(f"{LEFT_OUT}:{lines}")


def _line(kind: str, held: Mapping[str, Sequence[str]]) -> str:
    names = list(held)
    datasets = list(dict.fromkeys(i for ids in held.values() for i in ids))
    plain = kind in {"features", "cells"}
    listed = _some([n if plain else repr(n) for n in names], _SHOWN_NAMES)
    what = kind if kind == "raw" else listed if kind == "cells" else f"{kind} {listed}"
    return (
        f"{what} of {_some([repr(d) for d in datasets], _SHOWN_DATASETS)}: {_advice(kind, names)}"
    )


def _some(texts: Sequence[str], n: int) -> str:
    more = len(texts) - n
    return ", ".join(texts[:n]) + (f" and {more} more" if more > 0 else "")


def _advice(kind: str, names: Sequence[str]) -> str:
    if kind in {"layers", "obsm"}:
        return f"pass {kind}=[{_some([repr(n) for n in names], _SHOWN_NAMES)}] to keep it"
    if kind == "features":
        name = names[0].rpartition(" (")[0].partition(" of ")[0]
        return f"write them into a store of their own: dao.Source(path, layer={name!r})"
    return {
        "raw": "pass layer='raw' to make it X, or write it as a dataset of its own",
        "uns": "JSON cannot hold it (a table, a sparse matrix, an object), so keep the file",
        "cells": "subset= matches none of them",
    }.get(kind, _NO_PLACE)

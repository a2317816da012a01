"""What an open source holds, and which of its matrices becomes X."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dao.errors import ArgumentError, SourceError, UnknownDatasetError, near_matches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import pandas as pd

    from dao.write.matrix import SourceMatrix
    from dao.write.portion import Origin
    from dao.write.source import Source

__all__ = ["OpenSource", "check_key", "no_x", "without_x", "x_name"]


@dataclass(frozen=True)
class OpenSource:
    """A source that is open for reading.

    Attributes
    ----------
    obs
        Reads obs, each time.
    var
        As in AnnData; it belongs to the chosen X (``raw.var`` if X is ``raw``).
    x
        The matrix that becomes X.
    matrix
        ``matrix("layers/counts")`` or ``matrix("obsm/X_pca")`` opens another one.
    uns
        Reads the unstructured annotation.
    origin
        What a store says of its cells besides.
    held
        What the source holds besides obs, var, X and uns: kind (``"layers"``, ``"obsm"``,
        ``"varm"``, ``"raw"``, ...) -> names. What became X is not among them.
    """

    label: str
    obs: Callable[[], pd.DataFrame]
    var: pd.DataFrame
    x: SourceMatrix
    matrix: Callable[[str], SourceMatrix]
    uns: Callable[[], dict[str, Any]]
    origin: Origin | None = None
    held: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def x_name(source: Source, layers: Iterable[str], *, has_raw: bool) -> str:
    """Return which matrix becomes X: ``"X"``, ``"raw"`` or ``"layers/<name>"``.

    ``"layers/<name>"`` and ``"raw/X"`` name a layer and raw where a shorter name could be both.

    Raises
    ------
    dao.errors.ArgumentError
        If the source has no raw, or has a layer of this name as well.
    dao.errors.UnknownDatasetError
        If it has no such layer.
    """
    wanted, known = source.layer, set(layers)
    if wanted in {None, "X"}:
        return "X"
    if wanted in {"raw", "raw/X"} and has_raw:
        if wanted == "raw" and "raw" in known:
            msg = (
                f"{source.label} has a layer 'raw' and a raw: pass layer='layers/raw' for the "
                "layer, or layer='raw/X' for raw."
            )
            raise ArgumentError(msg)
        return "raw"
    name = str(wanted)
    if name not in known and name.startswith("layers/"):
        name = name.removeprefix("layers/")
    if name not in known and wanted in {"raw", "raw/X"}:
        msg = f"{source.label} has no raw; pass another layer=, or 'X'."
        raise ArgumentError(msg)
    check_key(source, "layers", name, known)
    return f"layers/{name}"


def without_x(held: Mapping[str, tuple[str, ...]], x: str) -> dict[str, tuple[str, ...]]:
    """Return what a source holds without the matrix that became X, and without empty kinds."""
    kind, _, key = x.partition("/")
    return {
        k: rest
        for k, names in held.items()
        if (rest := tuple(n for n in names if k != kind or (key and n != key)))
    }


def check_key(source: Source, kind: str, key: str, container: Iterable[str]) -> None:
    """Refuse the name of a layer or obsm that a source does not have.

    Raises
    ------
    dao.errors.UnknownDatasetError
        With the nearest names.
    """
    if key not in container:
        what = "layer" if kind == "layers" else kind
        msg = f"{source.label} has no {what} {key!r}.{near_matches(key, container)}"
        raise UnknownDatasetError(msg)


def no_x(source: Source, layers: Iterable[str], *, has_raw: bool) -> SourceError:
    """Return the error of a source that has no X."""
    named = sorted(name for name in layers if name is not None)  # anndata 0.13 lists X as None
    choices = [*map(repr, named), *(["'raw'"] if has_raw else [])]
    hint = (
        f"Pass layer= to say which matrix becomes X: {', '.join(choices)}."
        if choices
        else "It has no layers and no raw either, so there is nothing to write."
    )
    return SourceError(f"{source.label} has no X. {hint}")

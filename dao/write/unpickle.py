"""Reading a pickle without running it: plain containers, texts and numbers, and nothing else.

A pickle is a small program that may call any function by its name. Here a name leads only to what
stands in this file: what NumPy and anndata would have made becomes stand-ins, which keep what they
are given and do nothing.
"""

from __future__ import annotations

import io
import pickle
from typing import Any, cast

import numpy as np

from dao.errors import SourceError

__all__ = ["unpickle"]

_PLAIN_KINDS = "biufcSU"


def unpickle(content: bytes, where: str) -> Any:
    """Return what a pickle holds: arrays as lists, mappings of anndata as dicts.

    Parameters
    ----------
    where
        How errors name it.

    Raises
    ------
    dao.errors.SourceError
        If it is damaged, or asks for anything else; nothing of it has been run.
    """
    try:
        return _plain(_PlainUnpickler(io.BytesIO(content)).load())
    except _ForbiddenError as error:
        msg = (
            f"{where} asks for {error}, which dao does not load from a pickle: only containers, "
            "texts and numbers. Nothing of it was run. Take the file away to read the rest."
        )
        raise SourceError(msg) from error
    except Exception as error:
        # A damaged pickle can end in any error; it had nothing to call that could do harm.
        msg = f"{where} is damaged: {type(error).__name__}: {error}."
        raise SourceError(msg) from error


class _ForbiddenError(Exception):
    pass


class _Mapping(dict[Any, Any]):
    """Any class of anndata, and ordered dicts; the data of an ``OverloadedDict`` are its state."""

    state: Any = None

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__()

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def plain(self) -> dict[Any, Any]:
        inner = self.state.get("data") if isinstance(self.state, dict) else None
        return cast("dict[Any, Any]", _plain(inner if isinstance(inner, dict) else dict(self)))


class _Dtype:
    """``numpy.dtype`` of plain numbers or texts."""

    order = "="

    def __init__(self, name: str, *_: Any) -> None:
        self.name = name

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = "=" if state[1] == "|" else state[1]

    def numpy(self) -> np.dtype[Any]:
        dtype: np.dtype[Any] = np.dtype(str(self.name))
        if dtype.kind not in _PLAIN_KINDS:
            msg = f"NumPy values of type {self.name}"
            raise _ForbiddenError(msg)
        return dtype.newbyteorder(cast("Any", self.order))


class _Scalar:
    def __init__(self, dtype: _Dtype, raw: bytes) -> None:
        self.dtype, self.raw = dtype, raw

    def plain(self) -> Any:
        return np.frombuffer(self.raw, self.dtype.numpy())[0].item()


class _Array:
    """An array: made empty, then filled by its state."""

    state: Any = None

    def __init__(self, *_: Any) -> None:
        pass

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.state = state

    def plain(self) -> Any:
        _, shape, dtype, by_columns, raw = self.state
        # Arrays of objects carry them as a list, others their bytes.
        items = _plain(raw) if isinstance(raw, list) else np.frombuffer(raw, dtype.numpy()).tolist()
        flat = np.empty(len(items), object)
        flat[:] = items
        return flat.reshape(shape, order="F" if by_columns else "C").tolist()


def _from_buffer(raw: bytes, dtype: _Dtype, shape: tuple[int, ...], order: str) -> _Array:
    array = _Array()
    array.__setstate__((1, shape, dtype, order == "F", raw))
    return array


def _encode(text: str, _: str = "latin1") -> bytes:
    """Old protocols write bytes as text."""
    return text.encode("latin1")


def _bytes(content: bytes = b"", *_: Any) -> bytes:
    """Only from other bytes: a number would be a length."""
    return content if isinstance(content, bytes) else b""


_MADE_OF = {
    "builtins.set": set,
    "builtins.frozenset": frozenset,
    "builtins.complex": complex,
    "builtins.bytes": _bytes,
    "builtins.bytearray": _bytes,
    "_codecs.encode": _encode,
    "collections.OrderedDict": _Mapping,
    "functools.partial": _Mapping,  # among what an OverloadedDict of anndata keeps
    "numpy.dtype": _Dtype,
    "numpy.ndarray": _Array,
    "numpy._core.multiarray.scalar": _Scalar,
    "numpy._core.multiarray._reconstruct": _Array,
    "numpy._core.numeric._frombuffer": _from_buffer,
}
# Names of Python 2, which old protocols use, and of NumPy before 2.0.
_RENAMED = {"__builtin__": "builtins"}


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if module.partition(".")[0] == "anndata":
            return _Mapping
        module = _RENAMED.get(module, module).replace("numpy.core.", "numpy._core.")
        found = _MADE_OF.get(f"{module}.{name}")
        if found is None:
            msg = f"{module}.{name}"
            raise _ForbiddenError(msg)
        return found


def _plain(value: Any) -> Any:
    if isinstance(value, _Mapping | _Scalar | _Array):
        return value.plain()
    if isinstance(value, dict):
        return {_plain(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return type(value)(_plain(v) for v in value)
    return value

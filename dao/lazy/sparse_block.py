"""Sparse blocks that behave as arrays in dask: reductions, operators and ufuncs of NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse
from numpy.lib.mixins import NDArrayOperatorsMixin

from dao.lazy.sparse_ops import dense, elementwise, is_final, one_axis, shaped

__all__ = ["CscBlock", "CsrBlock", "concatenate", "tensordot"]

sp: Any = scipy.sparse  # its types are too narrow for subclasses


class _Block(NDArrayOperatorsMixin):
    """What blocks of rows and their transposes have in common.

    dask calls NumPy on the blocks of an array. `scipy.sparse.csr_matrix` refuses most of these
    calls, and takes ``*`` for the product of matrices. Here ``*`` multiplies element by element,
    ``@`` is the product of matrices, and reductions with ``keepdims`` give arrays. Where zeros do
    not stay zeros the result is an array.
    """

    shape: Any
    dtype: Any
    toarray: Any
    plain: Any

    def copy(self) -> Any:
        """Return a copy: in the class of scipy if it is the result that dask returns to a user."""
        copied = super().copy()  # type: ignore[misc]
        return self.plain(copied) if is_final() else copied

    def __reduce__(self) -> Any:
        from dao.lazy.array import received

        stored: Any = self
        return received, (type(self), stored.data, stored.indices, stored.indptr, self.shape)

    @property
    def size(self) -> int:
        """The number of elements, as of an array."""
        return int(np.prod(self.shape))

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        if options.get("out") is not None:
            return NotImplemented
        if method != "__call__" or options:
            return getattr(ufunc, method)(*map(dense, inputs), **options)
        inputs = tuple(map(_plain, inputs))
        # dask adds axes to the product of two blocks, so that it has to be an array.
        return dense(_matmul(*inputs)) if ufunc is np.matmul else _block(elementwise(ufunc, inputs))

    def __array_function__(self, function: Any, types: Any, args: Any, how: Any) -> Any:
        name = function.__name__
        if args and args[0] is self and name in ("shape", "ndim", "size"):
            return getattr(self, name)
        if args and args[0] is self and name in ("sum", "max", "min", "transpose", "reshape"):
            return getattr(self, name)(*args[1:], **how)
        return function(*map(dense, args), **{key: dense(value) for key, value in how.items()})

    def __matmul__(self, other: Any) -> Any:
        return _block(_matmul(_plain(self), _plain(other)))

    def __rmatmul__(self, other: Any) -> Any:
        return _block(_matmul(_plain(other), _plain(self)))

    def __getitem__(self, key: Any) -> Any:
        found = super().__getitem__(key)  # type: ignore[misc]
        keys = key if isinstance(key, tuple) else (key,)
        one = tuple(axis for axis, k in enumerate(keys) if isinstance(k, int | np.integer))
        return dense(found).squeeze(one) if sp.issparse(found) and one else _block(found)

    def astype(self, dtype: Any, casting: Any = "unsafe", copy: Any = True) -> Any:  # noqa: FBT002 - of scipy
        """Return a block of another dtype."""
        return _block(super().astype(dtype, casting, copy))  # type: ignore[misc]

    # Without keepdims, which NumPy passes for dask, reductions are those of scipy.
    def sum(self, axis: Any = None, dtype: Any = None, out: Any = None, **how: Any) -> Any:
        if "keepdims" not in how:
            return super().sum(axis, dtype, out)  # type: ignore[misc]
        asked = self.dtype if dtype is None and self.dtype.kind == "f" else dtype
        exact = np.float64 if np.dtype(asked).kind == "f" else asked
        found = (
            sp.csr_array(self).astype(exact or self.dtype, copy=False).sum(one_axis(axis), exact)
        )
        return shaped(found, self.shape, axis, **how).astype(asked, copy=False)

    def max(self, axis: Any = None, out: Any = None, **how: Any) -> Any:
        if "keepdims" not in how:
            return super().max(axis, out, **how)  # type: ignore[misc]
        return shaped(sp.csr_array(self).max(one_axis(axis)), self.shape, axis, **how)

    def min(self, axis: Any = None, out: Any = None, **how: Any) -> Any:
        if "keepdims" not in how:
            return super().min(axis, out, **how)  # type: ignore[misc]
        return shaped(sp.csr_array(self).min(one_axis(axis)), self.shape, axis, **how)

    def reshape(self, *shape: Any, order: Any = "C", copy: bool = False) -> Any:
        """Return the elements in another shape: sparse, if it has two axes."""
        wanted = shape[0] if len(shape) == 1 and isinstance(shape[0], tuple) else shape
        if len(wanted) == 2:
            return super().reshape(wanted, order=order, copy=copy)  # type: ignore[misc]
        return self.toarray().reshape(wanted, order=order)


class CsrBlock(_Block, sp.csr_matrix):  # type: ignore[misc]
    """Rows of a matrix as CSR."""

    plain = sp.csr_matrix

    def transpose(self, axes: Any = None, copy: Any = False) -> Any:  # noqa: FBT002 - of scipy
        """Return the transpose by columns, as scipy does."""
        return CscBlock(super().transpose(axes, copy))


class CscBlock(_Block, sp.csc_matrix):  # type: ignore[misc]
    """The transpose of rows."""

    plain = sp.csc_matrix

    def transpose(self, axes: Any = None, copy: Any = False) -> Any:  # noqa: FBT002 - of scipy
        """Return the transpose by rows, as scipy does."""
        return CsrBlock(super().transpose(axes, copy))


def _block(value: Any) -> Any:
    """Return a matrix of scipy as a block, others as they are."""
    if isinstance(value, sp.csr_matrix):
        return CsrBlock(value)
    return CscBlock(value) if isinstance(value, sp.csc_matrix) else value


def _plain(value: Any) -> Any:
    """Return a block in the class of scipy, others as they are."""
    return value.plain(value) if isinstance(value, _Block) else value


def _matmul(a: Any, b: Any) -> Any:
    return a @ b


def concatenate(parts: Any, axis: int = 0) -> Any:
    """Join blocks: into a block within a graph, into a matrix of scipy for the user."""
    form = parts[0].format if len({part.format for part in parts}) == 1 else "csr"
    joined = (sp.vstack, sp.hstack)[axis](parts, format=form)
    return _plain(joined) if is_final() else _block(joined)


def tensordot(a: Any, b: Any, axes: Any) -> Any:
    """Return the product of two matrices along one axis of each, as an array."""
    first, second = (int(np.ravel(side)[0]) % 2 for side in axes)
    a, b = _plain(a), _plain(b)
    return dense((a if first == 1 else a.T) @ (b if second == 0 else b.T))

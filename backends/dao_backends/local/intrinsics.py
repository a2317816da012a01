"""Instructions that numba has no word for: stores past the cache, and a counter for threads.

A batch is far larger than the cache and is not read again by the thread that writes it. An
ordinary store would fetch each line from memory first, only to overwrite it.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

__all__ = ["LANES", "as_pointer", "claim", "fence", "stream_lanes"]

# Items that are stored at once, and the bytes of each: a vector of AVX2, two of smaller ones.
LANES = 8
_WIDTH = 4

_BYTES = ir.IntType(8).as_pointer()
_I64 = ir.IntType(64)


def _as_pointer(_context: Any, _address: Any) -> Any:
    """Return an address as a pointer."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        return builder.inttoptr(arguments[0], _BYTES)

    return types.voidptr(types.int64), generate


def _claim(_context: Any, _counter: Any) -> Any:
    """Return the int64 at an address and add one to it, as no other thread can in between."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        counter = builder.inttoptr(arguments[0], _I64.as_pointer())
        return builder.atomic_rmw("add", counter, _I64(1), "monotonic")

    return types.int64(types.int64), generate


def _fence(_context: Any) -> Any:
    """Make all stores before visible to other threads before those that follow."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), generate


def _stream_lanes(_context: Any, _target: Any, _source: Any, like: Any, part: Any) -> Any:
    """Cast ``LANES`` items from one address to another, which is a multiple of their size.

    Returns whether that can be done, which is known when the kernel is compiled: to integers
    and floats of four bytes, from narrower unsigned integers. ``like`` and ``part`` are
    arrays of the two dtypes.
    """
    wanted, stored = like.dtype, part.dtype
    possible = wanted in {types.float32, types.int32, types.uint32} and stored in {
        types.uint8,
        types.uint16,
    }

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        if not possible:
            return ir.IntType(1)(0)
        narrow = ir.VectorType(ir.IntType(stored.bitwidth), LANES)
        wide = ir.VectorType(
            ir.FloatType() if wanted == types.float32 else ir.IntType(8 * _WIDTH), LANES
        )
        source = builder.inttoptr(arguments[1], narrow.as_pointer())
        items = builder.load(source, align=stored.bitwidth // 8)
        cast = builder.uitofp if wanted == types.float32 else builder.zext
        target = builder.inttoptr(arguments[0], wide.as_pointer())
        store = builder.store(cast(items, wide), target, align=LANES * _WIDTH)
        store.set_metadata("nontemporal", builder.module.add_metadata([ir.IntType(32)(1)]))
        return ir.IntType(1)(1)

    return types.boolean(types.int64, types.int64, like, part), generate


as_pointer: Any = intrinsic(_as_pointer)
claim: Any = intrinsic(_claim)
fence: Any = intrinsic(_fence)
stream_lanes: Any = intrinsic(_stream_lanes)

"""A machine instruction that numba has no name for."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

__all__ = ["lowest_bit"]


def _lowest(_typing: Any, word: Any) -> Any:
    def codegen(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(word), codegen


# ``lowest_bit(word)`` is the place of the lowest bit that is set; the word must not be 0.
lowest_bit: Any = intrinsic(_lowest)

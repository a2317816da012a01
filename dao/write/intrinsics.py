"""Single machine instructions that numba has no name for."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

__all__ = ["copy16", "copy32"]


def _copy(width: int) -> Any:
    def copy(_typing: Any, target: Any, _t: Any, source: Any, _s: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            kind = ir.VectorType(ir.IntType(8), width).as_pointer()
            places = []
            for array, at in ((0, 1), (2, 3)):
                data = context.make_array(signature.args[array])(context, builder, args[array]).data
                places.append(builder.bitcast(builder.gep(data, [args[at]]), kind))
            value = builder.load(places[1])
            value.align = 1
            builder.store(value, places[0]).align = 1
            return context.get_dummy_value()

        return types.void(target, types.int64, source, types.int64), codegen

    return intrinsic(copy)


# ``copy16(target, t, source, s)`` copies 16 bytes between arrays of bytes, whether they are there
# or not: who calls it checks that both arrays reach that far.
copy16, copy32 = _copy(16), _copy(32)

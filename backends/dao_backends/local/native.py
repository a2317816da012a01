"""C functions that numba kernels call by address: pread, crc32c and blosc.

They come from libraries that dao needs anyway: libc, google-crc32c and numcodecs. numba cannot
cache a kernel that names a C function, but it can cache one that is given its address.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["call_crc32c", "call_decompress", "call_pread", "native_functions"]

_BYTES = ir.IntType(8).as_pointer()
_INT = ir.IntType(32)
_SIZE = ir.IntType(ctypes.sizeof(ctypes.c_size_t) * 8)
_I64 = ir.IntType(64)


@cache
def native_functions() -> NDArray[np.int64]:
    """Return the addresses of pread, crc32c_value and blosc_decompress_ctx.

    Empty where a library was built without showing them; zarrs decodes then.
    """
    import google_crc32c
    import numcodecs.blosc

    none = np.empty(0, np.int64)
    if google_crc32c.implementation != "c":
        return none
    from google_crc32c import _crc32c

    try:
        found = [
            ctypes.CDLL(None).pread,
            ctypes.CDLL(_crc32c.__file__).crc32c_value,
            ctypes.CDLL(numcodecs.blosc.__file__).blosc_decompress_ctx,
        ]
    except (AttributeError, OSError, TypeError):
        return none
    addresses = [ctypes.cast(function, ctypes.c_void_p).value or 0 for function in found]
    return np.array(addresses, np.int64)


def _caller(result: ir.Type, *parameters: ir.Type) -> Callable[..., Any]:
    """Return numba's code generator for ``int64 f(address, *int64)`` with these C types."""
    signature = ir.FunctionType(result, parameters)

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Any:  # noqa: ARG001
        function = builder.inttoptr(arguments[0], signature.as_pointer())
        values = []
        for value, wanted in zip(arguments[1:], parameters, strict=True):
            if isinstance(wanted, ir.PointerType):
                values.append(builder.inttoptr(value, wanted))
            else:
                narrow = wanted.width < value.type.width
                values.append(builder.trunc(value, wanted) if narrow else value)
        returned = builder.call(function, values)
        return builder.sext(returned, _I64) if result.width < _I64.width else returned

    return generate


def _intrinsic(name: str, result: ir.Type, *parameters: ir.Type) -> Any:
    """Return a function for kernels: the address of a C function, then its arguments, all int64."""
    typed = types.int64(*[types.int64] * (len(parameters) + 1))
    generate = _caller(result, *parameters)
    # numba looks at the number of parameters, so each length needs a function of its own.
    declare: dict[int, Callable[..., Any]] = {
        2: lambda _context, _f, _a, _b: (typed, generate),
        4: lambda _context, _f, _a, _b, _c, _d: (typed, generate),
    }
    function = declare[len(parameters)]
    function.__name__ = function.__qualname__ = name
    return intrinsic(function)


# ssize_t pread(int file, void *buffer, size_t size, off_t offset)
call_pread = _intrinsic("call_pread", _SIZE, _INT, _BYTES, _SIZE, _I64)
# uint32_t crc32c_value(const uint8_t *data, size_t size); the low 32 bits count
call_crc32c = _intrinsic("call_crc32c", _INT, _BYTES, _SIZE)
# int blosc_decompress_ctx(const void *source, void *target, size_t target_size, int threads)
call_decompress = _intrinsic("call_decompress", _INT, _BYTES, _BYTES, _SIZE, _INT)

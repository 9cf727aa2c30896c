"""Half precision in compiled loops; numba knows no such type, but processors convert it."""

from typing import Any

from llvmlite import binding, ir
from numba import types
from numba.extending import intrinsic


def _widened(_context: Any, _bits: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        half = builder.bitcast(arguments[0], ir.HalfType())
        return builder.fpext(half, ir.FloatType())

    return types.float32(types.uint16), generate


def _narrowed(_context: Any, _value: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        half = builder.fptrunc(arguments[0], ir.HalfType())
        return builder.bitcast(half, ir.IntType(16))

    return types.uint16(types.float32), generate


# Reads the bits of a number of half precision as single precision.
widened: Any = intrinsic(_widened)
# Rounds a number of single precision to half precision, to nearest and even, and gives its bits.
narrowed: Any = intrinsic(_narrowed)


def processor_converts_halves() -> bool:
    """Say whether this processor converts half precision: all but x86 of before 2013 do."""
    is_x86 = "x86" in binding.get_default_triple() or "i686" in binding.get_default_triple()
    return not is_x86 or bool(binding.get_host_cpu_features().get("f16c"))

"""Sixteen floats at once inside numba: a value type for kernels whose loops LLVM vectorises badly.

A `Vector` lives in registers: one of AVX-512, two of AVX2, four of NEON, whatever LLVM makes of sixteen lanes. The arithmetic
is strict, so that a lane holds the bits that the same operations on a scalar give. Everything here works in compiled functions
only, and all but `load`, `store` and the horizontal ones also on plain float32, so that a function of them is written once:

    v = load(array, at);  v = fma(x, v, v * v);  store(array, at, v)
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, ClassVar

from llvmlite import ir
from numba import types
from numba.core.typing import signature
from numba.core.typing.templates import ConcreteTemplate, infer_global
from numba.extending import intrinsic, lower_builtin, models, register_model

LANES = 16
_FLOAT, _INT = ir.FloatType(), ir.IntType(32)
_FLOATS, _INTS = ir.VectorType(_FLOAT, LANES), ir.VectorType(_INT, LANES)
_SQRT_HALF_BITS = 0x3F3504F3


class VectorType(types.Type):
    """The numba type of sixteen float32."""

    def __init__(self) -> None:
        super().__init__(name="Vector16")


Vector = VectorType()


@register_model(VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, numba_type: Any):
        super().__init__(manager, numba_type, _FLOATS)


def _address(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    """Pointer to sixteen floats of a contiguous float32 array, from a flat index."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), _FLOATS.as_pointer())


@intrinsic
def load(_context, array, _index):
    """array.flat[index : index + 16] of a contiguous float32 array; bounds are not checked."""

    def codegen(context, builder, signature, arguments):
        return builder.load(_address(context, builder, signature.args[0], *arguments), align=4)

    return Vector(array, types.intp), codegen


@intrinsic
def store(_context, array, _index, _value):
    """array.flat[index : index + 16] = value, of a contiguous float32 array; bounds are not checked."""

    def codegen(context, builder, signature, arguments):
        array, index, value = arguments
        builder.store(value, _address(context, builder, signature.args[0], array, index), align=4)
        return context.get_dummy_value()

    return types.none(array, types.intp, Vector), codegen


@intrinsic
def load_one(_context, array, _index):
    """array.flat[index] of a contiguous float32 array, in all lanes; bounds are not checked, negative indices not
    turned round.
    """

    def codegen(context, builder, signature, arguments):
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return _splat(builder, builder.load(builder.gep(data, [arguments[1]])))

    return Vector(array, types.intp), codegen


@intrinsic
def get(_context, array, _index):
    """array.flat[index] of a contiguous float32 array; bounds are not checked, negative indices not turned round."""

    def codegen(context, builder, signature, arguments):
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.load(builder.gep(data, [arguments[1]]))

    return types.float32(array, types.intp), codegen


@intrinsic
def put(_context, array, _index, _value):
    """array.flat[index] = value, as `get`."""

    def codegen(context, builder, signature, arguments):
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        builder.store(arguments[2], builder.gep(data, [arguments[1]]))
        return context.get_dummy_value()

    return types.none(array, types.intp, types.float32), codegen


def _splat(builder: Any, scalar: Any) -> Any:
    undefined = ir.Constant(_FLOATS, ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(_INT, 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(_INTS, [0] * LANES))


def _elementwise(emit: Callable[..., Any]) -> Callable[..., Any]:
    """emit(builder, *values) as code for float32 and for vectors: scalars among vectors go to all lanes."""

    def typed(*arguments: Any) -> tuple[Any, Any]:
        kinds = [a if a is Vector else types.float32 for a in arguments]
        kind = Vector if Vector in kinds else types.float32

        def codegen(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
            if kind is Vector:
                values = [v if k is Vector else _splat(builder, v) for v, k in zip(values, kinds, strict=True)]
            return emit(builder, *values)

        return kind(*kinds), codegen

    return typed


def _call(builder: Any, name: str, *values: Any) -> Any:
    """An LLVM intrinsic of one float type."""
    kind = values[0].type
    name = f"llvm.{name}.{'v16f32' if kind == _FLOATS else 'f32'}"
    function = builder.module.globals.get(name) or ir.Function(
        builder.module, ir.FunctionType(kind, [kind] * len(values)), name
    )
    return builder.call(function, values)


def _like(kind: Any, of_scalars: Any, of_vectors: Any) -> Any:
    return of_vectors if kind == _FLOATS else of_scalars


def _constant(kind: Any, number: float) -> Any:
    return ir.Constant(kind, [number] * LANES) if isinstance(kind, ir.VectorType) else ir.Constant(kind, number)


@intrinsic
def splat(_context, _scalar):
    """One float32 in all lanes."""
    return Vector(types.float32), lambda _context, builder, _signature, arguments: _splat(builder, arguments[0])


@intrinsic
def fma(_context, a, b, c):
    """a b + c, rounded once."""
    return _elementwise(lambda builder, a, b, c: _call(builder, "fma", a, b, c))(a, b, c)


@intrinsic
def minimum(_context, a, b):
    """The smaller; b where a is not a number."""
    return _elementwise(lambda builder, a, b: builder.select(builder.fcmp_ordered("<", a, b), a, b))(a, b)


@intrinsic
def maximum(_context, a, b):
    """The larger; b where a is not a number."""
    return _elementwise(lambda builder, a, b: builder.select(builder.fcmp_ordered(">", a, b), a, b))(a, b)


@intrinsic
def louder(_context, a, b):
    """The one further from 0; a of two as far."""

    def emit(builder: Any, a: Any, b: Any) -> Any:
        return builder.select(builder.fcmp_ordered(">", _call(builder, "fabs", b), _call(builder, "fabs", a)), b, a)

    return _elementwise(emit)(a, b)


@intrinsic
def with_sign(_context, a, b):
    """|a| with the sign of b."""
    return _elementwise(lambda builder, a, b: _call(builder, "copysign", a, b))(a, b)


@intrinsic
def magnitude(_context, a):
    """|a|."""
    return _elementwise(lambda builder, a: _call(builder, "fabs", a))(a)


@intrinsic
def root(_context, a):
    """The square root."""
    return _elementwise(lambda builder, a: _call(builder, "sqrt", a))(a)


@intrinsic
def nearest(_context, a):
    """The nearest whole number, the even one of two."""
    return _elementwise(lambda builder, a: _call(builder, "nearbyint", a))(a)


@intrinsic
def keep_between(_context, a, low, high):
    """a where low <= |a| <= high, otherwise 0, so also where a is not a number."""

    def emit(builder: Any, a: Any, low: Any, high: Any) -> Any:
        size = _call(builder, "fabs", a)
        inside = builder.and_(builder.fcmp_ordered(">=", size, low), builder.fcmp_ordered("<=", size, high))
        return builder.select(inside, a, _constant(a.type, 0.0))

    return _elementwise(emit)(a, low, high)


@intrinsic
def is_beyond(_context, a, high):
    """1 where |a| > high or a is not a number, otherwise 0."""

    def emit(builder: Any, a: Any, high: Any) -> Any:
        inside = builder.fcmp_ordered("<=", _call(builder, "fabs", a), high)
        return builder.select(inside, _constant(a.type, 0.0), _constant(a.type, 1.0))

    return _elementwise(emit)(a, high)


@intrinsic
def two_to_the(_context, k):
    """2^k for a whole k from -126 to 127."""

    def emit(builder: Any, k: Any) -> Any:
        integer = _like(k.type, _INT, _INTS)
        biased = builder.add(builder.fptosi(k, integer), _constant(integer, 127))
        return builder.bitcast(builder.shl(biased, _constant(integer, 23)), k.type)

    return _elementwise(emit)(k)


@intrinsic
def exponent(_context, a):
    """The whole k with a 2^-k from sqrt(1/2) to sqrt(2), for a normal and positive."""

    def emit(builder: Any, a: Any) -> Any:
        integer = _like(a.type, _INT, _INTS)
        above = builder.sub(builder.bitcast(a, integer), _constant(integer, _SQRT_HALF_BITS))
        return builder.sitofp(builder.ashr(above, _constant(integer, 23)), a.type)

    return _elementwise(emit)(a)


def _fold(builder: Any, vector: Any, combine: Callable[[Any, Any], Any]) -> Any:
    """Halves on halves: lane 0 with lane 8, and so on, in four steps."""
    for distance in (8, 4, 2, 1):
        order = ir.Constant(_INTS, [(lane + distance) % LANES for lane in range(LANES)])
        vector = combine(vector, builder.shuffle_vector(vector, vector, order))
    return builder.extract_element(vector, ir.Constant(_INT, 0))


@intrinsic
def sum_lanes(_context, _vector):
    """The sum of the sixteen, always in the same order."""

    def codegen(_context, builder, _signature, arguments):
        return _fold(builder, arguments[0], builder.fadd)

    return types.float32(Vector), codegen


@intrinsic
def largest_lane(_context, _vector):
    """The largest of the sixteen."""

    def codegen(_context, builder, _signature, arguments):
        return _fold(builder, arguments[0], lambda a, b: builder.select(builder.fcmp_ordered(">", a, b), a, b))

    return types.float32(Vector), codegen


class _Operator(ConcreteTemplate):
    """The types of an operator between vectors, or a vector and a scalar."""

    cases: ClassVar = [
        signature(Vector, *kinds) for kinds in ((Vector, Vector), (Vector, types.float32), (types.float32, Vector))
    ]


def _define_operator(symbol: Any, emit: Callable[..., Any]) -> None:
    infer_global(symbol)(type(f"_Operator_{symbol.__name__}", (_Operator,), {"key": symbol}))
    for case in _Operator.cases:
        _, codegen = _elementwise(emit)(*case.args)
        lower_builtin(symbol, *case.args)(codegen)


_define_operator(operator.add, lambda builder, a, b: builder.fadd(a, b))
_define_operator(operator.sub, lambda builder, a, b: builder.fsub(a, b))
_define_operator(operator.mul, lambda builder, a, b: builder.fmul(a, b))
_define_operator(operator.truediv, lambda builder, a, b: builder.fdiv(a, b))

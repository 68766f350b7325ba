"""Sixteen, eight or four floats at once inside numba: value types for kernels whose loops LLVM vectorises badly.

A `Vector` lives in registers: one of AVX-512, two of AVX2, four of NEON, whatever LLVM makes of sixteen lanes; `Eight` and
`Four` are for what has no more parts and waits for itself from step to step. The arithmetic is strict, so that a lane holds the
bits that the same operations on a scalar give. Everything here works in compiled functions
only, and all but `load`, `store` and the horizontal ones also on plain float32, so that a function of them is written once:

    v = load(array, at);  v = fma(x, v, v * v);  store(array, at, v)
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, cast

from llvmlite import ir
from numba import types
from numba.core.typing import signature
from numba.core.typing.templates import ConcreteTemplate, infer_global
from numba.extending import intrinsic, lower_builtin, models, register_model

LANES = 16
_FLOAT, _INT = ir.FloatType(), ir.IntType(32)
_SQRT_HALF_BITS = 0x3F3504F3


class VectorType(types.Type):
    """The numba type of so many float32."""

    def __init__(self, lanes: int):
        self.lanes = lanes
        super().__init__(name=f"Vector{lanes}")


Vector, Eight, Four = (VectorType(lanes) for lanes in (LANES, 8, 4))


@register_model(VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, numba_type: Any):
        super().__init__(manager, numba_type, floats(numba_type.lanes))


def floats(lanes: int) -> Any:
    """LLVM's type of so many float32."""
    return ir.VectorType(_FLOAT, lanes)


def places(lanes: Iterable[int]) -> Any:
    """The lanes that a shuffle takes, in order."""
    order = list(lanes)
    return ir.Constant(ir.VectorType(_INT, len(order)), order)


def joined(builder: Any, a: Any, b: Any) -> Any:
    """Two vectors as one."""
    return builder.shuffle_vector(a, b, places(range(2 * a.type.count)))


def spread(builder: Any, scalar: Any, lanes: int) -> Any:
    """A scalar in all lanes."""
    undefined = ir.Constant(floats(lanes), ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(_INT, 0))
    return builder.shuffle_vector(first, undefined, places([0] * lanes))


def _elementwise(emit: Callable[..., Any]) -> Callable[..., Any]:
    """emit(builder, *values) as code for float32 and for vectors of one size: scalars among vectors go to all lanes."""

    def typed(*arguments: Any) -> tuple[Any, Any] | None:
        kinds = [a if isinstance(a, VectorType) else types.float32 for a in arguments]
        sizes = {kind for kind in kinds if isinstance(kind, VectorType)}
        if len(sizes) > 1:
            return None  # which is an error of types
        kind = sizes.pop() if sizes else types.float32

        def codegen(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
            if isinstance(kind, VectorType):
                values = [v if k is kind else spread(builder, v, kind.lanes) for v, k in zip(values, kinds, strict=True)]
            return emit(builder, *values)

        return kind(*kinds), codegen

    return typed


def _call(builder: Any, name: str, *values: Any) -> Any:
    """An LLVM intrinsic of one float type."""
    kind = values[0].type
    name = f"llvm.{name}.{f'v{kind.count}f32' if isinstance(kind, ir.VectorType) else 'f32'}"
    function = builder.module.globals.get(name) or ir.Function(
        builder.module, ir.FunctionType(kind, [kind] * len(values)), name
    )
    return builder.call(function, values)


def _integers(kind: Any) -> Any:
    """Whole numbers, as many as floats."""
    return ir.VectorType(_INT, kind.count) if isinstance(kind, ir.VectorType) else _INT


def _constant(kind: Any, number: float) -> Any:
    return ir.Constant(kind, [number] * kind.count) if isinstance(kind, ir.VectorType) else ir.Constant(kind, number)


@intrinsic
def splat(_context, _scalar):
    """One float32 in all lanes."""
    return Vector(types.float32), lambda _context, builder, _signature, arguments: spread(builder, arguments[0], LANES)


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
        integer = _integers(k.type)
        biased = builder.add(builder.fptosi(k, integer), _constant(integer, 127))
        return builder.bitcast(builder.shl(biased, _constant(integer, 23)), k.type)

    return _elementwise(emit)(k)


@intrinsic
def exponent(_context, a):
    """The whole k with a 2^-k from sqrt(1/2) to sqrt(2), for a normal and positive."""

    def emit(builder: Any, a: Any) -> Any:
        integer = _integers(a.type)
        above = builder.sub(builder.bitcast(a, integer), _constant(integer, _SQRT_HALF_BITS))
        return builder.sitofp(builder.ashr(above, _constant(integer, 23)), a.type)

    return _elementwise(emit)(a)


def _fold(builder: Any, vector: Any, combine: Callable[[Any, Any], Any]) -> Any:
    """Halves on halves: of sixteen, lane 0 with lane 8, and so on, in four steps."""
    distance = lanes = vector.type.count
    while distance > 1:
        distance //= 2
        turned = places((lane + distance) % lanes for lane in range(lanes))
        vector = combine(vector, builder.shuffle_vector(vector, vector, turned))
    return builder.extract_element(vector, ir.Constant(_INT, 0))


@intrinsic
def sum_lanes(_context, vector):
    """The sum of all lanes, always in the same order."""

    def codegen(_context, builder, _signature, arguments):
        return _fold(builder, arguments[0], builder.fadd)

    return types.float32(vector), codegen


@intrinsic
def sum_fours(_context, _vector):
    """The sums of lanes 0 to 3, 4 to 7, 8 to 11 and 12 to 15, always in the same order."""

    def codegen(_context, builder, _signature, arguments):
        (vector,) = arguments
        for distance in (2, 1):
            turned = places(lane - lane % 4 + (lane + distance) % 4 for lane in range(LANES))
            vector = builder.fadd(vector, builder.shuffle_vector(vector, vector, turned))
        return builder.shuffle_vector(vector, vector, places(range(0, LANES, 4)))

    return Four(Vector), codegen


@intrinsic
def last_lane(_context, _vector):
    """Lane 15."""

    def codegen(_context, builder, _signature, arguments):
        return builder.extract_element(arguments[0], ir.Constant(_INT, LANES - 1))

    return types.float32(Vector), codegen


@intrinsic(prefer_literal=True)
def later(_context, _vector, by):
    """Every lane so many lanes further on, a constant; zeros come in."""

    def codegen(_context, builder, _signature, arguments):
        first = LANES - by.literal_value
        return builder.shuffle_vector(_constant(floats(LANES), 0.0), arguments[0], places(range(first, first + LANES)))

    return Vector(Vector, by), codegen


@intrinsic
def largest_lane(_context, _vector):
    """The largest of the sixteen."""

    def codegen(_context, builder, _signature, arguments):
        return _fold(builder, arguments[0], lambda a, b: builder.select(builder.fcmp_ordered(">", a, b), a, b))

    return types.float32(Vector), codegen


class _Operator(ConcreteTemplate):
    """The types of an operator between vectors of one size, or a vector and a scalar."""

    cases: ClassVar = [
        signature(kind, *kinds)
        for kind in (Vector, Eight, Four)
        for kinds in ((kind, kind), (kind, types.float32), (types.float32, kind))
    ]


def _define_operator(symbol: Any, emit: Callable[..., Any]) -> None:
    infer_global(symbol)(type(f"_Operator_{symbol.__name__}", (_Operator,), {"key": symbol}))
    for case in _Operator.cases:
        _, codegen = cast(tuple[Any, Any], _elementwise(emit)(*case.args))
        lower_builtin(symbol, *case.args)(codegen)


_define_operator(operator.add, lambda builder, a, b: builder.fadd(a, b))
_define_operator(operator.sub, lambda builder, a, b: builder.fsub(a, b))
_define_operator(operator.mul, lambda builder, a, b: builder.fmul(a, b))
_define_operator(operator.truediv, lambda builder, a, b: builder.fdiv(a, b))

"""From arrays to vectors and back. Arrays are contiguous float32; no bounds are checked, no negative indices turned round."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from mlxopto.native.vector import LANES, Eight, Four, Vector, VectorType, floats, joined, places, spread

_INT = ir.IntType(32)


def _address(context: Any, builder: Any, array_type: Any, array: Any, index: Any, lanes: int) -> Any:
    """Pointer to so many floats of a contiguous float32 array, from a flat index."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), floats(lanes).as_pointer())


def _loading(kind: VectorType) -> Callable[..., Any]:
    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, index = arguments
        return builder.load(_address(context, builder, signature.args[0], array, index, kind.lanes), align=4)

    return codegen


@intrinsic
def load(_context, array, _index):
    """array.flat[index : index + 16]."""
    return Vector(array, types.intp), _loading(Vector)


@intrinsic
def load_eight(_context, array, _index):
    """array.flat[index : index + 8], as `load`."""
    return Eight(array, types.intp), _loading(Eight)


@intrinsic
def load_four(_context, array, _index):
    """array.flat[index : index + 4], as `load`."""
    return Four(array, types.intp), _loading(Four)


@intrinsic
def load_fours(_context, array, _index, _step):
    """Four times four of an array, `step` apart: lane 4 j + i is array.flat[index + j step + i]."""

    def codegen(context, builder, signature, arguments):
        array, index, step = arguments
        parts = []
        for _ in range(LANES // 4):
            parts.append(builder.load(_address(context, builder, signature.args[0], array, index, 4), align=4))
            index = builder.add(index, step)
        return joined(builder, joined(builder, *parts[:2]), joined(builder, *parts[2:]))

    return Vector(array, types.intp, types.intp), codegen


@intrinsic
def store_fours(_context, array, _index, _step, _value):
    """What `load_fours` reads, written."""

    def codegen(context, builder, signature, arguments):
        array, index, step, value = arguments
        for lane in range(0, LANES, 4):
            part = builder.shuffle_vector(value, value, places(range(lane, lane + 4)))
            builder.store(part, _address(context, builder, signature.args[0], array, index, 4), align=4)
            index = builder.add(index, step)
        return context.get_dummy_value()

    return types.none(array, types.intp, types.intp, Vector), codegen


@intrinsic
def load_each(_context, array, _index, _step):
    """Four numbers of an array, `step` apart, each in four lanes: lane 4 j + i is array.flat[index + j step]."""

    def codegen(context, builder, signature, arguments):
        array, index, step = arguments
        data = context.make_array(signature.args[0])(context, builder, array).data
        four = ir.Constant(floats(4), ir.Undefined)
        for place in range(4):
            four = builder.insert_element(four, builder.load(builder.gep(data, [index])), ir.Constant(_INT, place))
            index = builder.add(index, step)
        return builder.shuffle_vector(four, four, places(lane // 4 for lane in range(LANES)))

    return Vector(array, types.intp, types.intp), codegen


@intrinsic
def store(_context, array, _index, value):
    """array.flat[index : index + lanes] = value."""

    def codegen(context, builder, signature, arguments):
        array, index, vector = arguments
        builder.store(vector, _address(context, builder, signature.args[0], array, index, value.lanes), align=4)
        return context.get_dummy_value()

    return types.none(array, types.intp, value), codegen


@intrinsic
def load_one(_context, array, _index):
    """array.flat[index], in all sixteen lanes."""

    def codegen(context, builder, signature, arguments):
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return spread(builder, builder.load(builder.gep(data, [arguments[1]])), LANES)

    return Vector(array, types.intp), codegen


@intrinsic
def get(_context, array, _index):
    """array.flat[index]."""

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

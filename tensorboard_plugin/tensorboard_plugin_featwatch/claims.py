"""Keeps a hostile log from claiming memory: TensorBoard makes arrays as large as a tensor's shape says, whatever it holds.

`tensorboard.util.tensor_util.make_ndarray` repeats the last value of a tensor until the declared shape is full,
so that thirty bytes become gigabytes.  Both providers call it on what they read, before anybody can look at
the shape; so what they read from is wrapped.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from typing import Any

from tensorboard.compat.proto import tensor_pb2, types_pb2

EMPTY = tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING, tensor_shape={"dim": [{"size": 0}]})


def of_one_value(provider: Any) -> Any:
    """The provider, with every tensor empty that does not declare exactly one value; unchanged where it is of no known kind."""
    for name, guard in (("_multiplexer", _Multiplexer), ("_stub", _Stub)):
        inner = getattr(provider, name, None)
        if inner is not None:
            provider = copy.copy(provider)
            setattr(provider, name, guard(inner))
    return provider


def _honest(tensor: Any) -> bool:
    return math.prod(dim.size for dim in tensor.tensor_shape.dim) == 1


class _Multiplexer:
    """What the Python loader's provider reads from."""

    def __init__(self, multiplexer: Any) -> None:
        self._multiplexer = multiplexer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._multiplexer, name)

    def Tensors(self, run: str, tag: str) -> list[Any]:
        events = self._multiplexer.Tensors(run, tag)
        return [event if _honest(event.tensor_proto) else dataclasses.replace(event, tensor_proto=EMPTY) for event in events]


class _Stub:
    """What the data server's provider reads from."""

    def __init__(self, stub: Any) -> None:
        self._stub = stub

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stub, name)

    def ReadTensors(self, request: Any) -> Any:
        response = self._stub.ReadTensors(request)
        for run in response.runs:
            for tag in run.tags:
                for tensor in tag.data.value:
                    if not _honest(tensor):
                        tensor.CopyFrom(EMPTY)
        return response

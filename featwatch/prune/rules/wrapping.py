"""Layers that apply another one at each step in time, and functions of the user's own."""

from __future__ import annotations

from typing import Any

import keras

from featwatch.prune.labelled import Call, Labelled
from featwatch.prune.rules import Given, rule, unknown


@rule(keras.layers.TimeDistributed)
def at_each_step(anatomy: Any, call: Call) -> Given:
    """What the layer inside makes of a tensor without the axis of time."""
    read = call.read
    if len(call.reads) != 1 or read.axis < 2:
        return unknown.unknown(anatomy, call)
    step = Labelled((read.shape[0], *read.shape[2:]), read.axis - 1, read.ids)
    shape = (call.shape[0], *call.shape[2:])
    given = anatomy.enter(Call(call.operation.layer, call.name, (step,), (shape,), (step,)))[0]
    if not given.axis:
        return anatomy.keep(call, f"what {call.name!r} makes of it has no channels")
    return Labelled(call.shape, given.axis + 1, given.ids)


@rule(keras.layers.Lambda)
def function(anatomy: Any, call: Call) -> Given:
    """A function of the user's own is asked itself."""
    return unknown.unknown(anatomy, call)

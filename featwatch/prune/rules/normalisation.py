"""Normalisations, and layers that have a number of their own for each channel."""

from __future__ import annotations

from typing import Any

import keras
from keras.src.applications.convnext import LayerScale

from featwatch.prune.labelled import Call, Labelled
from featwatch.prune.rules import rule

layers = keras.layers


@rule(layers.BatchNormalization)
def batch_normalisation(anatomy: Any, call: Call) -> Labelled | list[Labelled]:
    """Mean, variance, gamma and beta, each (channels,)."""
    read = call.read
    if call.operation.axis % len(read.shape) != read.axis:
        return anatomy.keep(call, f"{call.name!r} normalises along another axis than it is on")
    anatomy.note(call, read.ids, mixes=False)
    for variable in call.operation.variables:
        if tuple(variable.shape) == (len(read.ids),):
            anatomy.has(call, variable, {0: read.ids})
    return read.shaped(call.shape)


@rule(LayerScale)
def layer_scale(anatomy: Any, call: Call) -> Labelled:
    """Gamma (channels,)."""
    from featwatch.prune.labelled import Sized

    if call.name not in anatomy.made:
        anatomy.sized.append(Sized(call.operation, "projection_dim", call.read.ids))
    anatomy.note(call, call.read.ids, mixes=False)
    anatomy.has(call, call.operation.gamma, {-1: call.read.ids})
    return call.read.shaped(call.shape)


@rule(layers.PReLU)
def prelu(anatomy: Any, call: Call) -> Labelled:
    """Alpha, of the input's shape, 1 where it is shared."""
    alpha = call.operation.alpha
    if alpha.shape[call.read.axis - 1] != 1:
        anatomy.note(call, call.read.ids, mixes=False)
        anatomy.has(call, alpha, {call.read.axis - 1: call.read.ids})
    return call.read.shaped(call.shape)

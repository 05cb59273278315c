"""What makes each channel of all of them, or scales them together: channels cannot go one by one."""

from __future__ import annotations

from typing import Any

import keras

from featwatch.prune.labelled import Call
from featwatch.prune.rules import Given, rule, unknown

layers = keras.layers


@rule(layers.LayerNormalization, layers.RMSNormalization, layers.UnitNormalization, layers.Softmax)
def along_axes(anatomy: Any, call: Call) -> Given:
    """Statistics along some axes: they stay as they are only where that of the channels is not one of them."""
    axes = call.operation.axis
    along = [axis % len(call.read.shape) for axis in (axes if isinstance(axes, (list, tuple)) else [axes])]
    if call.read.axis in along:
        return anatomy.keep(call, f"{call.name!r} ({type(call.operation).__name__}) scales it by what all channels give together")
    if len(call.reads) != 1 or call.kwargs.get("mask") is not None:
        return unknown.unknown(anatomy, call)
    return call.read.shaped(call.shape)


@rule(layers.Masking)
def masking(anatomy: Any, call: Call) -> Given:
    """Steps are left out where all channels are the mask's value."""
    return anatomy.keep(call, f"{call.name!r} (Masking) looks at all channels to tell which steps are left out")


@rule(layers.SpectralNormalization)
def spectral(anatomy: Any, call: Call) -> Given:
    return anatomy.keep(call, f"{call.name!r} (SpectralNormalization) scales weights by what all of them give together")


@rule(
    layers.ConvLSTM1D, layers.ConvLSTM2D, layers.ConvLSTM3D, layers.RNN, layers.EinsumDense, layers.Attention,
    layers.AdditiveAttention,
)  # fmt: skip
def not_yet(anatomy: Any, call: Call) -> Given:
    return anatomy.keep(call, f"{call.name!r} ({type(call.operation).__name__}) cannot lose single units")


@rule("Matmul", "Einsum", "Tensordot", "Dot", "Inner", "Outer", "Vdot", "DotProductAttention")
def products(anatomy: Any, call: Call) -> Given:
    return anatomy.keep(call, f"{call.name!r} ({type(call.operation).__name__}) multiplies it with others by place")

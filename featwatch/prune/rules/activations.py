"""The activation that a layer applies itself: a function, or a layer of its own with weights."""

from __future__ import annotations

from typing import Any

import keras

from featwatch.prune.labelled import Call, Labelled
from featwatch.prune.rules.unknown import channelwise

COUPLING = frozenset({"softmax", "log_softmax", "sparsemax", "glu"})
_KNOWN = frozenset({
    "relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "sigmoid", "hard_sigmoid", "hard_silu", "softplus",
    "softsign", "soft_shrink", "hard_shrink", "hard_tanh", "tanh", "tanh_shrink", "log_sigmoid", "squareplus", "sparse_plus",
    "sparse_sigmoid", "threshold", "exponential", "linear", "mish",
})  # fmt: skip


def activated(anatomy: Any, call: Call, given: Labelled) -> Labelled | list[Labelled]:
    """What a layer gives after its activation; `given`: what it would give without."""
    activation = getattr(call.operation, "activation", None)
    if isinstance(activation, keras.Layer):
        if not activation.built:
            anatomy.units.freeze(given.ids, f"{call.name!r} has an activation that is not built yet: run the model once")
            return given
        inner = Call(activation, f"{call.name}/{activation.name}", (given,), call.shapes, (given,))
        return anatomy.apply(inner)[0]
    over = couples(activation, given)
    if over:
        anatomy.units.freeze(given.ids, f"{call.name!r} {over}")
    return given


def couples(activation: Any, given: Labelled) -> str:
    """What an activation function does to channels, so that they cannot go one by one; "" where they can."""
    if activation is None:
        return ""
    name = getattr(activation, "__name__", type(activation).__name__)
    own = getattr(keras.activations, name, None) is activation
    if own and name in _KNOWN:
        return ""
    if own and name in COUPLING:
        return f"takes a {name} over it and the others" if given.last else ""
    return "" if channelwise(activation, (given,), (given,), {}, given) else f"applies {name!r}, which mixes channels or samples"

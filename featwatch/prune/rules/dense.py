"""Dense layers and embeddings."""

from __future__ import annotations

from typing import Any

import keras

from featwatch.prune.labelled import Call, Labelled
from featwatch.prune.rules import rule
from featwatch.prune.rules.activations import activated


@rule(keras.layers.Dense)
def dense(anatomy: Any, call: Call) -> Labelled | list[Labelled]:
    """Kernel (channels, units)."""
    layer = call.operation
    if not call.read.last:
        return anatomy.keep(call, f"{call.name!r} reads along another axis than it is on")
    ids = anatomy.give(call, layer.units, "units")
    anatomy.has(call, layer.kernel, {0: call.read.ids, 1: ids})
    if layer.use_bias:
        anatomy.has(call, layer.bias, {0: ids})
    return activated(anatomy, call, Labelled(call.shape, len(call.shape) - 1, ids))


@rule(keras.layers.Embedding)
def embedding(anatomy: Any, call: Call) -> Labelled:
    """Embeddings (words, units)."""
    ids = anatomy.give(call, call.operation.output_dim, "output_dim")
    anatomy.has(call, call.operation.embeddings, {1: ids})
    return Labelled(call.shape, len(call.shape) - 1, ids)

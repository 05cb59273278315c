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
        return _across(anatomy, call)
    ids = anatomy.give(call, layer.units, "units")
    anatomy.has(call, layer.kernel, {0: call.read.ids, 1: ids})
    if layer.use_bias:
        anatomy.has(call, layer.bias, {0: ids})
    return activated(anatomy, call, Labelled(call.shape, len(call.shape) - 1, ids))


def _across(anatomy: Any, call: Call) -> Labelled | list[Labelled]:
    """Along an axis that is not the channels': the same for each of them, so they may go; the layer's own units may not."""
    why = f"{call.name!r} gives it along another axis than that of the channels"
    layer = call.operation
    anatomy.hold([layer.kernel, layer.bias] if layer.use_bias else [layer.kernel], why)
    if call.name not in anatomy.made:
        ids = anatomy.units.fresh(layer.units)
        anatomy.units.freeze(ids, why)
        anatomy.note(call, ids)
    return activated(anatomy, call, call.read.shaped(call.shape))


@rule(keras.layers.Embedding)
def embedding(anatomy: Any, call: Call) -> Labelled:
    """Embeddings (words, units)."""
    ids = anatomy.give(call, call.operation.output_dim, "output_dim")
    anatomy.has(call, call.operation.embeddings, {1: ids})
    return Labelled(call.shape, len(call.shape) - 1, ids)

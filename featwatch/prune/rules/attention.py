"""Attention with several heads: whole heads may go, and channels of what is read and given."""

from __future__ import annotations

import inspect
from typing import Any

import keras
import numpy as np

from featwatch.prune.labelled import Call, Kept, Labelled, Made, Rewritten, Sized
from featwatch.prune.rules import Given, rule

layers = keras.layers
HEADS = "heads"             # the name of a layer's heads among the units, below the layer's own


@rule(layers.MultiHeadAttention)
def several_heads(anatomy: Any, call: Call) -> Given:
    """Kernels (channels, heads, size) of query, key and value, (heads, size, channels) of what is given."""
    layer = call.operation
    reads = _tensors(call)
    if reads is None or layer._attention_axes not in (None, (1,)) or len(layer._output_shape or (1,)) > 1:
        return anatomy.keep(call, f"{call.name!r} attends in a way that single heads and channels cannot be taken out of")
    heads = _heads(anatomy, call, layer._num_heads)
    if call.name not in anatomy.made:
        anatomy.sized.append(Sized(layer, "num_heads", heads, held=((layer, "_num_heads"),)))
    return _attending(anatomy, call, reads, heads, heads, layer._output_shape)


@rule(layers.GroupQueryAttention)
def heads_in_groups(anatomy: Any, call: Call) -> Given:
    """The same, with several heads of queries for each of keys and values: they go together."""
    layer = call.operation
    reads = _tensors(call)
    if reads is None:
        return anatomy.keep(call, f"{call.name!r} attends in a way that single heads and channels cannot be taken out of")
    groups = _heads(anatomy, call, layer.num_key_value_heads)
    heads = np.repeat(groups, layer.num_repeats)
    if call.name not in anatomy.made:
        anatomy.sized += [Sized(layer, "num_key_value_heads", groups), Sized(layer, "num_query_heads", heads)]
    return _attending(anatomy, call, reads, heads, groups, None)


def _attending(
    anatomy: Any, call: Call, reads: dict[str, Labelled], heads: np.ndarray, groups: np.ndarray, size: tuple[int, ...] | None
) -> Given:
    layer, query = call.operation, reads["query"]
    known = anatomy.made.get(call.name)
    # As many channels as the query has, unless another number is said.
    ids = known.ids if known is not None else query.ids if size is None else anatomy.units.fresh(size[0])
    if size is None and known is not None:
        anatomy.units.tie(ids, query.ids)
    value = reads["value"]
    for dense, read, own in (
        ("query", query, heads), ("gate", query, heads), ("key", reads.get("key", value), groups), ("value", value, groups)
    ):  # fmt: skip
        inner = getattr(layer, f"_{dense}_dense", None)
        if inner is not None:
            anatomy.has(call, inner.kernel, {0: read.ids, 1: own})
            if inner.bias is not None:
                anatomy.has(call, inner.bias, {0: own})
    anatomy.has(call, layer._output_dense.kernel, {0: heads, 2: ids})
    if layer._output_dense.bias is not None:
        anatomy.has(call, layer._output_dense.bias, {0: ids})
    anatomy.note(call, ids)
    if known is None:
        _resized(anatomy, layer, ids, heads, groups, size)
    given = [Labelled(call.shape, len(call.shape) - 1, ids)]
    return given + [Labelled(shape, 1, heads) for shape in call.shapes[1:]]     # scores, where they are asked for


def _heads(anatomy: Any, call: Call, count: int) -> np.ndarray:
    name = f"{call.name}/{HEADS}"
    if name not in anatomy.made:
        anatomy.made[name] = Made(call.operation, name, anatomy.units.fresh(count))
    return np.asarray(anatomy.made[name].ids)


def _resized(
    anatomy: Any, layer: Any, ids: np.ndarray, heads: np.ndarray, groups: np.ndarray, size: tuple[int, ...] | None
) -> None:
    """The number of channels that is given, and the shapes that the dense layers inside were made for."""
    inner = {name: getattr(layer, f"_{name}_dense", None) for name in ("query", "gate", "key", "value")}

    def configuration(kept: Kept) -> dict[str, Any]:
        return {} if size is None else {"output_shape": (len(kept(ids)),)}

    def attributes(kept: Kept) -> list[tuple[Any, str, Any]]:
        found: list[tuple[Any, str, Any]] = [] if size is None else [(layer, "_output_shape", (len(kept(ids)),))]
        if hasattr(layer, "feature_dim"):
            found.append((layer, "feature_dim", len(kept(ids))))
        for name, dense in inner.items():
            if dense is not None:
                count = len(kept(heads if name in ("query", "gate") else groups))
                old = dense.partial_output_shape
                found.append((dense, "partial_output_shape", (*old[:-2], count, old[-1])))
        old = layer._output_dense.partial_output_shape
        found.append((layer._output_dense, "partial_output_shape", (*old[:-1], len(kept(ids)))))
        return found

    every = np.concatenate([ids, heads, groups])
    anatomy.rewrite(Rewritten(layer, every, configuration, attributes))


def _tensors(call: Call) -> dict[str, Labelled] | None:
    """The tensors of a call by name; None where it is one that is not followed."""
    given = inspect.signature(call.operation.call).bind(*call.args, **call.kwargs).arguments
    tensors = {name: value for name, value in given.items() if isinstance(value, Labelled)}
    masks = [tensors.pop(name) for name in ("query_mask", "value_mask", "key_mask", "attention_mask") if name in tensors]
    if any(len(mask.shape) > 3 and mask.shape[1] != 1 for mask in masks):
        return None                     # one for each head
    if not set(tensors) <= {"query", "value", "key"} or not {"query", "value"} <= set(tensors):
        return None
    return tensors if all(read.axis == 2 and len(read.shape) == 3 for read in tensors.values()) else None

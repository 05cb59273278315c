"""What can be watched in a model, found by looking at how it runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import tensorflow as tf

from featwatch.graphs import graph_of
from featwatch.layers import Layers, Site, layers_of
from featwatch.running import Seen, WritesState, refuse_writes, rows_of, run, unreadable


@dataclass(frozen=True, eq=False)
class Output:
    """One output of a model."""

    name: str
    shape: tuple[int | None, ...]       # without the batch axis


@dataclass(frozen=True, eq=False)
class Survey:
    """The layers of a model that can be watched, and its outputs, in the order in which they come flattened."""

    layers: Layers
    outputs: tuple[Output, ...]


def survey(model: Any, batch: Any) -> Survey:
    """What can be watched in a built model.

    A functional model tells by its graph.  Where code of the user's own is involved, the model is called once
    on `batch`, while a function is traced or, where it cannot be traced, for real.

    Raises whatever the model raises of a batch that it cannot take.
    """
    found = layers_of(model)
    outputs = _outputs_of_graph(model)
    if outputs is not None and not any(site.inside for site in found.sites):
        return Survey(found, outputs)
    seen, results = _called(model, batch, found.sites)
    refused = dict(found.refused)
    order = {identity: index for index, identity in enumerate(seen.calls)}
    kept = []
    for site in found.sites:
        reason = seen.reasons[site.name] if site.inside else ""
        if reason:
            refused[site.name] = reason
        else:
            kept.append(replace(site, calls=seen.calls[id(site.layer)]) if site.inside else site)
    if outputs is None:
        kept.sort(key=lambda site: order[id(site.layer)])
        outputs = _named(results)
    else:
        kept = _in_place(kept, order)
    return Survey(Layers(kept, refused), outputs)


def build(model: Any, batch: Any) -> bool:
    """Build a model as its first batch would, but from the shapes of `batch`; False where that failed.

    Keras' layers draw the seeds of their weights when they are made, not when they are built, so that the
    weights are those which the first batch would have given.
    """
    try:
        shapes = keras.tree.map_structure(_as_input, batch)
        keras.src.backend.compute_output_spec(model, shapes, training=False)
    except Exception:
        return False
    return bool(model.built)


def _as_input(values: Any) -> Any:
    dtype = keras.config.floatx() if values.dtype.kind == "f" else keras.backend.standardize_dtype(values.dtype)
    return keras.KerasTensor((None, *values.shape[1:]), dtype)


class _Look(Seen):
    """What was seen, and why sites cannot be read: that has to be judged while the graph is being traced."""

    def __init__(self) -> None:
        super().__init__()
        self.reasons: dict[str, str] = {}


def _called(model: Any, batch: Any, sites: Sequence[Site]) -> tuple[_Look, Any]:
    tensors = keras.tree.map_structure(tf.convert_to_tensor, batch)
    way = "graph" if graph_of(model) is not None else "calls"
    look, results = _Look(), []
    rows = rows_of(tensors)

    def traced(inputs: Any) -> None:
        outputs = run(model, inputs, sites, look, way)
        look.reasons = {site.name: unreadable(site, look, rows) for site in sites}
        refuse_writes(tf.compat.v1.get_default_graph())
        results.append(keras.tree.map_structure(_spec, outputs))

    try:
        tf.function(traced, autograph=False).get_concrete_function(
            keras.tree.map_structure(lambda tensor: tf.TensorSpec(tensor.shape, tensor.dtype), tensors)
        )
    except WritesState:         # no other way would be better
        raise
    except Exception:
        look, results = _Look(), []
        results.append(run(model, tensors, sites, look, "calls"))
        look.reasons = {site.name: unreadable(site, look, rows) for site in sites}
    return look, results[-1]


def _spec(output: Any) -> tf.TensorSpec:
    """The shape of an output; that of a single number where it is no tensor, or one of any shape."""
    shape = getattr(output, "shape", None)
    return tf.TensorSpec(() if shape is None or tf.TensorShape(shape).rank is None else shape)


def _in_place(sites: list[Site], order: dict[int, int]) -> list[Site]:
    """Sites of a graph, those within one composite layer in the order in which they are called."""
    arranged: list[Site] = []
    for site in sites:
        at = len(arranged)
        while site.inside and at and arranged[at - 1].inside and order[id(arranged[at - 1].layer)] > order[id(site.layer)]:
            at -= 1
        arranged.insert(at, site)
    return arranged


def _outputs_of_graph(model: Any) -> tuple[Output, ...] | None:
    graph = graph_of(model)
    if graph is None:
        return None
    named = _named(graph._outputs_struct)
    if isinstance(graph._outputs_struct, dict):
        return named
    names = list(getattr(model, "output_names", []))
    return tuple(
        replace(output, name=names[index] if index < len(names) else output.name) for index, output in enumerate(named)
    )


def _named(outputs: Any) -> tuple[Output, ...]:
    flat = keras.tree.flatten_with_path(keras.tree.map_structure(_spec, outputs))
    return tuple(
        Output("/".join(str(key) for key in path) or "output", tuple(tensor.shape[1:])) for path, tensor in flat
    )

"""What each layer of a model costs, and what one filter less would save, as pruning would have it (row A2).

A filter that goes takes along its weights and its bias, what batch normalisations, depthwise convolutions and the like
have for its channel, the weights that the layers which read it have for it, and the filters of other layers that are tied
to it, as where outputs are added.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from featwatch.graphs import graph_of
from featwatch.prune.anatomy import Anatomy
from featwatch.prune.labelled import Made
from featwatch.prune.savings import Sizes
from featwatch.records import AN_OUTPUT

OPEN_SIZE = "the model leaves the size of its maps open"
NO_GRAPH = "no graph tells what reads its filters"
MOST_NAMES = 3


@dataclass(frozen=True)
class Economy:
    """What a layer costs for one sample, in all of its calls, and what one filter less would save; −1 = not known."""

    multiply_adds: int = -1
    filter_parameters: int = -1         # 0 = none of its filters can go, the note says why
    filter_multiply_adds: int = -1
    note: str = ""
    reads_input: bool = False


def economies(model: Any, sample: Sequence[int | None] | None = None) -> dict[int, Economy]:
    """What is known of each layer with filters in the model's graph, by the identity of the layer.

    Arguments:
        sample: shape of one sample, for a model of one input that leaves its size open.

    >>> dense = keras.layers.Dense(3)
    >>> model = keras.Sequential([keras.Input((5,)), dense, keras.layers.ReLU(), keras.layers.Dense(2)])
    >>> economies(model)[id(dense)]
    Economy(multiply_adds=15, filter_parameters=8, filter_multiply_adds=7, note='', reads_input=True)
    """
    graph = graph_of(model)
    if graph is None:
        return {}
    inputs = [tuple(tensor.shape[1:]) for tensor in keras.tree.flatten(graph.inputs)]
    leaves_open = len(inputs) == 1 and None in inputs[0] and sample is not None and len(sample) == len(inputs[0])
    anatomy = Anatomy(model)
    sizes = Sizes(anatomy, sample if leaves_open else None)
    whole = sizes.of(())
    makers: dict[int, list[str]] = {}
    for name, made in anatomy.made.items():
        if made.mixes:
            for root in np.unique(anatomy.units.roots(made.ids)).tolist():
                makers.setdefault(root, []).append(name)
    return {
        layer: _of_layer(anatomy, sizes, whole, makers, anatomy.made.get(anatomy.names.get(layer, "")), count)
        for layer, count in sizes.by_layer().items()
    }


def economy_of(layer: Any, counted: Mapping[int, Economy], graph: bool = True) -> Economy:
    """What `economies` found of a layer; else why nothing is known of it.  `graph`: whether the model has one."""
    found = counted.get(id(layer))
    if found is not None:
        return found
    kind = type(layer).__name__
    return Economy(note=f"not counted for layers of the type {kind}" if graph else NO_GRAPH)


def _of_layer(
    anatomy: Anatomy, sizes: Sizes, whole: tuple[int, int], makers: Mapping[int, list[str]], made: Made | None, count: int
) -> Economy:
    """What a layer costs, and what one of its filters saves: the first that can go stands for all of them."""
    if made is None:
        return Economy(count, note="what its filters are is not known")
    economy = Economy(count, reads_input=_reads_input(anatomy, made))
    roots, leaving = anatomy.units.roots(made.ids), keras.tree.flatten(anatomy.graph.outputs)
    if any(np.isin(anatomy.units.roots(anatomy.labels[id(tensor)].ids), roots).any() for tensor in leaving):
        return replace(economy, note=AN_OUTPUT)
    free = np.flatnonzero(~anatomy.units.frozen(made.ids))
    if not len(free):
        return replace(economy, filter_parameters=0, filter_multiply_adds=0, note=anatomy.units.why(int(made.ids[0])))
    root = int(roots[free[0]])
    left = sizes.of([root])
    others = [name for name in makers.get(root, ()) if name != made.name]
    notes = [f"it goes together with {_listed(others)}"] if others else []
    if np.count_nonzero(roots == root) > 1:
        notes.append(f"{np.count_nonzero(roots == root)} of its filters go at a time")
    known = whole[1] >= 0 and left[1] >= 0
    return replace(
        economy,
        filter_parameters=whole[0] - left[0],
        filter_multiply_adds=whole[1] - left[1] if known else -1,
        note="; ".join([*notes, *([] if known else [OPEN_SIZE])]),
    )


def _reads_input(anatomy: Anatomy, made: Made) -> bool:
    """Whether channels of the model's input, each as a channel still, are what the layer has weights for."""
    own = [sliced for sliced in anatomy.sliced.values() if sliced.owner == made.name and len(sliced.variable.shape) > 1]
    return any(np.isin(ids, np.concatenate(anatomy.entered)).all() for sliced in own for ids in sliced.axes.values())


def _listed(names: Sequence[str]) -> str:
    told = ", ".join(f"one of {name!r}" for name in names[:MOST_NAMES])
    return told + (f" and of {len(names) - MOST_NAMES} layers more" if len(names) > MOST_NAMES else "")

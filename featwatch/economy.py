"""What each layer of a model costs, and what one filter less would save, counted from its graph (row A2).

A filter that goes takes along its weights and its bias, what batch normalisations, depthwise convolutions and the
like have for its channel, and the weights that the layers which read it have for it.  Where it cannot go alone, as its
output is added to others', only what it has to itself is counted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import keras
import numpy as np

from featwatch.channels import Channels, passed
from featwatch.explain.fields.operations import channel_axis
from featwatch.graphs import graph_of, nodes_of
from featwatch.records import AN_OUTPUT
from featwatch.weighing import Shape, Size, Weighing, weighing

OPEN_SIZE = "the model leaves the size of its maps open"
NO_GRAPH = "no graph tells what reads its filters"
MOST_REASONS = 2


@dataclass(frozen=True)
class Economy:
    """What a layer costs for one sample, in all of its calls, and what one filter less would save; −1 = not known."""

    multiply_adds: int = -1
    filter_parameters: int = -1
    filter_multiply_adds: int = -1
    note: str = ""
    reads_input: bool = False


def economies(model: Any, sample: Shape | None = None) -> dict[int, Economy]:
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
    if len(inputs) == 1 and sample is not None and len(sample) == len(inputs[0]):
        inputs = [tuple(size if size is not None else seen for size, seen in zip(inputs[0], sample, strict=True))]
    count = _Count()
    enter = [Channels(shape, max(len(shape) - 1, 0), ("input", at), from_input=True) for at, shape in enumerate(inputs)]
    for left in count.run(graph, enter):
        for layer in left.share:
            count.accounts[layer].is_output = True
    return count.settled()


def economy_of(layer: Any, counted: Mapping[int, Economy], graph: bool = True) -> Economy:
    """What `economies` found of a layer; else why nothing is known of it.  `graph`: whether the model has one."""
    found = counted.get(id(layer))
    if found is not None:
        return found
    kind = type(layer).__name__
    return Economy(note=f"not counted for layers of the type {kind}" if graph else NO_GRAPH)


@dataclass(eq=False)
class _Account:
    """What is known so far of one layer with filters."""

    sizes: list[Weighing] = field(default_factory=list)         # of its calls
    notes: list[str] = field(default_factory=list)              # what else has to go along
    stuck: list[str] = field(default_factory=list)              # why a filter cannot go alone
    follows: Size = Size()                                      # what others have for one of its filters: batch normalisation …
    readers: Size = Size()                                      # and layers that mix it with others
    is_output: bool = False
    reads_input: bool = False


@dataclass(frozen=True)
class _Use:
    """One call of a layer that has weights for each channel that it reads."""

    layer: Any
    read: Channels
    weights: Size                   # for one channel
    mixes: bool


class _Count:
    """A walk through the graph, call by call."""

    def __init__(self) -> None:
        self.accounts: defaultdict[int, _Account] = defaultdict(_Account)
        self._uses: defaultdict[int, list[_Use]] = defaultdict(list)

    def run(self, graph: Any, inputs: Sequence[Channels]) -> list[Channels]:
        """What leaves the graph, or a nested one, of what enters it."""
        found = {id(tensor): given for tensor, given in zip(keras.tree.flatten(graph.inputs), inputs, strict=True)}
        for node in nodes_of(graph):
            operation = node.operation
            if isinstance(operation, keras.layers.InputLayer):
                continue
            reads = [found[id(tensor)] for tensor in node.input_tensors]
            nested = graph_of(operation) if isinstance(operation, keras.Layer) else None
            if nested is not None:
                outputs = self.run(nested, reads)
            elif len(node.output_tensors) == 1 and reads:
                arrays = _takes_arrays(node)
                outputs = [self._call(operation, operation, reads, tuple(node.output_tensors[0].shape[1:]), arrays)]
            else:
                self._stick(reads, f"what {operation.name!r} makes of it is not known")
                outputs = [
                    Channels(shape, max(len(shape) - 1, 0), (id(operation), at))
                    for at, shape in enumerate(tuple(tensor.shape[1:]) for tensor in node.output_tensors)
                ]
            found.update((id(tensor), given) for tensor, given in zip(node.output_tensors, outputs, strict=True))
        return [found[id(tensor)] for tensor in keras.tree.flatten(graph.outputs)]

    def settled(self) -> dict[int, Economy]:
        """What comes of it, once the walk is over."""
        for uses in self._uses.values():
            self._settle(uses)
        return {layer: _economy(account) for layer, account in self.accounts.items()}

    def _call(
        self, layer: Any, operation: Any, reads: Sequence[Channels], given: Shape, arrays: bool = False, repeats: int | None = 1
    ) -> Channels:
        """What leaves one call of `operation`, which is what `layer` calls `repeats` times."""
        read = reads[0]
        if isinstance(operation, keras.layers.TimeDistributed) and layer is operation and len(read.shape) > 1 and read.axis:
            inner = replace(read, shape=read.shape[1:], axis=read.axis - 1)
            left = self._call(layer, operation.layer, [inner], given[1:], repeats=read.shape[0])
            return replace(left, shape=(read.shape[0], *left.shape), axis=left.axis + 1)
        found = _weighed(operation, read, given) if len(reads) == 1 else None
        if found is None:
            what = passed(operation, reads, given, arrays)
            self._stick(what.stuck, what.why)
            if what.weights:
                self._uses[id(layer)].append(_Use(layer, read, Size(what.weights), mixes=False))
            return what.channels
        weighed, leaving = found
        return self._filters(layer, operation, read, leaving, weighed.repeated(repeats))

    def _filters(self, layer: Any, operation: Any, read: Channels, leaving: Shape, weighed: Weighing) -> Channels:
        """What leaves a layer with filters of its own."""
        account = self.accounts[id(layer)]
        account.sizes.append(weighed)
        account.reads_input |= read.from_input
        if weighed.one_input is None:
            self._stick([read], f"{layer.name!r} reads it in groups")
            account.notes.append(f"as many have to go from each of its {operation.groups} groups")
        else:
            self._uses[id(layer)].append(_Use(layer, read, weighed.one_input, mixes=not weighed.spread))
        axis = channel_axis(operation, len(leaving))
        made = Channels(leaving, axis, (id(layer),), {id(layer): 1})
        if weighed.spread:
            account.notes.append("it goes only together with the filter that feeds it, which is not counted")
            account.notes += ["and with the others of the same channel"] if weighed.spread > 1 else []
            share = {**{source: count * weighed.spread for source, count in read.share.items()}, id(layer): 1}
            made = replace(made, made_by=((id(layer), read.made_by),), share=share)
        elif getattr(getattr(operation, "activation", None), "__name__", "") == "softmax":
            account.stuck.append("it shares a softmax with the others")
        return made

    def _stick(self, reads: Iterable[Channels], why: str) -> None:
        for layer in {layer for read in reads for layer in read.share} if why else ():
            self.accounts[layer].stuck.append(why)

    def _settle(self, uses: Sequence[_Use]) -> None:
        """Book what a layer has for the filters that it reads; all of its calls have to read the same ones."""
        first, reads = uses[0], [use.read for use in uses]
        if any(not read.like(first.read) for read in reads):
            self._stick(reads, f"{first.layer.name!r} reads other things, too")
            return
        weights = replace(sum((use.weights for use in uses), Size()), parameters=first.weights.parameters)
        for source, count in first.read.share.items():
            account = self.accounts[source]
            if source == id(first.layer):
                account.stuck.append("it reads its own output")
            elif first.mixes:
                account.readers += weights.times(count)
            else:
                account.follows += weights.times(count)


def _economy(account: _Account) -> Economy:
    cost = sum((Size(0, weighed.multiply_adds) for weighed in account.sizes), Size())
    whole = Economy(_known(cost.multiply_adds), reads_input=account.reads_input)
    if account.is_output:
        return replace(whole, note=AN_OUTPUT)
    own = sum((weighed.one_filter for weighed in account.sizes), Size())
    saved = replace(own, parameters=account.sizes[0].one_filter.parameters) + account.follows
    if not account.stuck:
        saved += account.readers
    notes = [*account.notes, *_in_words(account.stuck), *([OPEN_SIZE] if saved.multiply_adds is None else [])]
    return replace(
        whole,
        filter_parameters=saved.parameters,
        filter_multiply_adds=_known(saved.multiply_adds),
        note="; ".join(dict.fromkeys(notes)),
    )


def _known(multiply_adds: int | None) -> int:
    return -1 if multiply_adds is None else multiply_adds


def _in_words(reasons: Sequence[str]) -> list[str]:
    """Why a filter cannot go alone, in a sentence."""
    told = list(dict.fromkeys(reasons))
    more = [f"{len(told) - MOST_REASONS} reasons more"] if len(told) > MOST_REASONS else []
    listed = ", and ".join([*told[:MOST_REASONS], *more])
    return [f"{listed}: what would have to go along is not counted"] if told else []


def _weighed(operation: Any, read: Channels, given: Shape) -> tuple[Weighing, Shape] | None:
    """What a call costs, and the shape of what leaves it; None of what has no filters, or other channels than it says."""
    if not isinstance(operation, keras.Layer) or not read.shape:
        return None
    if read.share and read.axis != channel_axis(operation, len(read.shape)):
        return None
    found = weighing(operation, read.shape, given)
    if found is None or None not in given or None in read.shape:
        return None if found is None else (found, given)
    leaving = tuple(operation.compute_output_shape((None, *read.shape))[1:])
    again = weighing(operation, read.shape, leaving)
    return None if again is None else (again, leaving)


def _takes_arrays(node: Any) -> bool:
    """Whether a call takes arrays that are not computed from the model's inputs."""
    given = keras.tree.flatten((node.arguments.args, node.arguments.kwargs))
    return any(np.ndim(value) > 0 for value in given if value is not None and not isinstance(value, (keras.KerasTensor, str)))

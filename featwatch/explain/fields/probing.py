"""What units of a layer depend on, measured: for models and layers whose graph does not tell their receptive fields.

The model is run on random inputs, with random positive numbers in the place of its weights, and gradients that nothing
blocks are led from single units back to the input (`unblocked`).  Where they arrive, the unit sees.  What no gradient
tells of, such as an index that is computed, is not found: that is why inputs which differ beyond what was found are
tried, too, and have to leave the unit's value as it is.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from featwatch.errors import first_line
from featwatch.explain.fields.operations import channel_axis
from featwatch.explain.fields.taken import Taken, random_inputs, taken_by
from featwatch.explain.fields.unblocked import unblocked
from featwatch.explain.kept import kept
from featwatch.graphs import graph_of
from featwatch.layers import Site, choose
from featwatch.running import Seen, filters_last, first_tensor, refuse_writes, run, unreadable

Span = tuple[tuple[int, int], ...]      # (lo, hi) per spatial axis of the input, inclusive

TRIALS = 2                              # per unit, each with weights and inputs of its own
SECONDS_PER_LAYER, SECONDS_PER_MODEL = 1.0, 10.0    # that measuring all layers may take at the start of a training, as estimated
_ELEMENTS_PER_SECOND, _SUMS_PER_ELEMENT = 1e9, 64   # of tensors; how many multiply-adds cost as much
_MULTIPLYING = frozenset({"Conv2D", "Conv3D", "DepthwiseConv2dNative", "Conv2DBackpropInput", "MatMul", "BatchMatMulV2"})
_ELEMENTS_AT_ONCE = 1e9
_BACKWARD = 2.5                         # as many elements in gradients and forward pass together as in the latter alone
_MOST_AT_ONCE = 16                      # samples
_SAME = 1e-5                            # relative difference of values that nothing has changed


class TooLong(ValueError):
    """Measuring takes longer than is granted at the start of a training."""


def probing_of(model: Any, site: Site, probe: Any = None, *, limited: bool = False) -> Probing:
    """What measures the receptive fields of a layer; the same for all of a model's convolutions and dense layers.

    Arguments:
        limited: whether to refuse models that take so long that not even one layer could be measured in its time.

    Raises ValueError where they cannot be measured: the message says why.
    """
    taken = taken_by(model, probe)
    shapes = tuple(each.key for each in keras.tree.flatten(taken))
    try:
        together = choose(model, None)
    except ValueError:
        together = []
    if _key(site) not in {_key(other) for other in together}:
        together = [site]
    found = kept(
        model,
        ("receptive fields", shapes, limited, tuple(_key(other) for other in together)),
        lambda: _made(model, together, taken, limited),
    )
    if isinstance(found, str):
        raise ValueError(found)
    return found


def _made(model: Any, together: Sequence[Site], taken: Any, limited: bool) -> Probing | str:
    """Why there is none, in its place, is kept, too: else a model that cannot be traced would be tried for every layer."""
    try:
        return Probing(model, together, taken, limited=limited)
    except Exception as error:          # whatever the model raises of such inputs
        return first_line(error)


class Probing:
    """Measures what units of some layers of a model depend on.  Tracing takes seconds, measuring many units then little.

    Arguments:
        taken: `Taken` for each of the model's inputs, in their structure.
    """

    def __init__(self, model: Any, sites: Sequence[Site], taken: Any, *, limited: bool = False) -> None:
        self._model = weakref.ref(model)
        self._sites = list(sites)
        self._taken = taken
        self._inputs: list[Taken] = keras.tree.flatten(taken)
        self._numbers = [index for index, each in enumerate(self._inputs) if each.is_number]
        if not self._numbers:
            kinds = ", ".join(each.dtype for each in self._inputs)
            raise ValueError(f"the model takes {kinds} values: no gradient tells what of them is seen")
        self._space = [_space(sites, len(self._inputs[index].shape)) for index in self._numbers]
        self._refused: dict[Hashable, str] = {}
        self._places: dict[Hashable, int] = {}              # of each layer that can be read, among those that can
        self._maps: list[tuple[int, ...]] = []              # their spatial sizes
        self._found: dict[tuple[int, tuple[int, ...]], Span] = {}
        self._which: dict[int, int] = {}                    # of each layer the number of the input that it sees
        self._limited = limited
        self._spent = 0.0
        with tf.device("CPU:0"):        # where a gradient that is zero is exactly zero
            self._function = tf.function(
                self._trace,
                input_signature=(
                    [tf.TensorSpec((None, *each.shape), each.dtype) for each in self._inputs],
                    tf.TensorSpec((None,), tf.int32), tf.TensorSpec((None,), tf.int32), tf.TensorSpec((), tf.int32),
                ),
                autograph=False,
            ).get_concrete_function()  # fmt: skip
        refuse_writes(self._function.graph)
        self._work = _work(self._function.graph)

    def map_size(self, site: Site) -> tuple[int, ...]:
        """The spatial sizes of a layer's map.  Raises ValueError where the layer cannot be read."""
        return self._maps[self._place(site)]

    def input_size(self, site: Site) -> tuple[int, ...]:
        """The spatial sizes of the input that a layer sees, once something of it has been measured."""
        which = self._which[self._place(site)]
        shape = self._inputs[self._numbers[which]].shape
        return tuple(shape[axis] for axis in self._space[which])

    def seconds(self, units: int) -> float:
        """How long measuring so many units should take."""
        return (TRIALS + 1) * self._work.seconds(units)

    def grant(self, site: Site, units: Sequence[tuple[int, ...]]) -> int:
        """How many of these units may be measured at the start of a training; those that are granted count as measured."""
        place = self._place(site)
        missing = sum((place, unit) not in self._found for unit in units)
        left = min(SECONDS_PER_LAYER, SECONDS_PER_MODEL - self._spent)
        granted = max((count for count in range(missing + 1) if not count or self.seconds(count) <= left), default=0)
        self._spent += self.seconds(granted) if granted else 0.0
        return len(units) if granted == missing else granted

    def measure(self, site: Site, units: Sequence[tuple[int, ...]]) -> list[Span]:
        """What each unit sees.

        Arguments:
            units: their positions in the layer's map.

        Raises ValueError where nothing is seen, not all of it is found, or it is in several inputs.
        """
        place = self._place(site)
        missing = [unit for unit in units if (place, unit) not in self._found]
        at_once = max(1, min(_MOST_AT_ONCE, int(_ELEMENTS_AT_ONCE / self._work.each)))
        for first in range(0, len(missing), at_once):
            self._measure(place, missing[first : first + at_once])
        return [self._found[place, unit] for unit in units]

    def _measure(self, place: int, units: list[tuple[int, ...]]) -> None:
        name = self._sites[place].name
        flat = [int(np.ravel_multi_index(unit, self._maps[place])) if unit else 0 for unit in units]
        layers, places = np.full(len(units), place, np.int32), np.array(flat, np.int32)
        seen: list[Any] = [False] * len(self._numbers)
        values: list[np.ndarray] = []
        for trial in range(TRIALS):
            outputs = self._function(random_inputs(self._inputs, len(units), trial), layers, places, np.int32(trial))
            value, *reached = (output.numpy() for output in outputs)
            values.append(value)
            seen = [before | now for before, now in zip(seen, reached, strict=True)]
        which = [index for index, each in enumerate(seen) if each.any()]
        if len(which) != 1:
            raise ValueError(
                f"layer {name!r} depends on several inputs: not supported yet" if which else
                f"no gradient leads from layer {name!r} to the model's input"
            )
        mask = seen[which[0]]                                   # (units, … the input's spatial axes)
        for unit, each in zip(units, mask, strict=True):
            if not each.any():
                raise ValueError(f"unit {unit} of layer {name!r} depends on nothing of the model's input")
        spans = [_span(each) for each in mask]
        self._confirm(layers, places, which[0], spans, values[0])
        self._which[place] = which[0]
        for unit, span in zip(units, spans, strict=True):
            self._found[place, unit] = span

    def _confirm(self, layers: np.ndarray, places: np.ndarray, which: int, spans: list[Span], before: np.ndarray) -> None:
        """Raise ValueError where other values beyond what was found change the values of units in the first trial, `before`."""
        one, other = (random_inputs(self._inputs, len(spans), trial) for trial in (0, 1))
        index, space = self._numbers[which], self._space[which]
        for row, span in enumerate(spans):
            inside: list[Any] = [slice(None)] * len(self._inputs[index].shape)
            for axis, (low, high) in zip(space, span, strict=True):
                inside[axis] = slice(low, high + 1)
            other[index][(row, *inside)] = one[index][(row, *inside)]
        for each in range(len(self._inputs)):
            if each != index:
                other[each] = one[each]
        after = self._function(other, layers, places, np.int32(0))[0].numpy()
        if not (np.isfinite(before).all() and np.abs(after - before).max() <= _SAME * np.abs(before).max()):
            name = self._sites[layers[0]].name
            raise ValueError(f"layer {name!r} depends on more of its input than gradients tell, which do not show on how much")

    def _trace(self, inputs: list[tf.Tensor], layers: tf.Tensor, places: tf.Tensor, trial: tf.Tensor) -> list[tf.Tensor]:
        """(samples,) float32 sum over the filters of each sample's unit, and (samples, …) bool for each input of numbers."""
        model = self._model()
        seen = Seen()
        with unblocked():
            inputs = [tf.identity(each) for each in inputs]
            way = "graph" if graph_of(model) is not None else "calls"
            run(model, keras.tree.pack_sequence_as(self._taken, inputs), self._sites, seen, way, _positive(model, trial))
        kept_sites: list[Site] = []
        values: list[tf.Tensor] = []
        units: list[tf.Tensor] = []
        for site in self._sites:
            reason = unreadable(site, seen, None)
            if reason:
                self._refused[_key(site)] = f"layer {site.name!r} cannot be measured: {reason}"
                continue
            value = filters_last(first_tensor(seen.left[id(site.tapped)]), site.layer)
            sizes = tuple(value.shape[1:-1])
            unit = tf.one_hot(places, math.prod(sizes)) * tf.cast(layers == len(values), tf.float32)[:, None]
            self._places[_key(site)] = len(values)
            self._maps.append(sizes)
            kept_sites.append(site)
            values.append(value)
            units.append(tf.broadcast_to(tf.reshape(unit, (-1, *sizes, 1)), tf.shape(value)))
        self._sites = kept_sites
        if not values:
            raise ValueError(next(iter(self._refused.values())))
        least = (TRIALS + 1) * _BACKWARD * _work(tf.compat.v1.get_default_graph()).seconds(1)
        if self._limited and least > SECONDS_PER_LAYER:
            raise TooLong(f"not measured, to spare the training some {least:.0f} s per unit: receptive_field does")
        numbers = [inputs[index] for index in self._numbers]
        gradients = tf.gradients(values, numbers, units)
        reached = []
        for index, space, gradient in zip(self._numbers, self._space, gradients, strict=True):
            channels = [1 + axis for axis in range(len(self._inputs[index].shape)) if axis not in space]
            given = tf.zeros_like(inputs[index]) if gradient is None else tf.convert_to_tensor(gradient)
            reached.append(tf.reduce_any(tf.not_equal(given, 0), axis=channels))
        chosen = [value * unit for value, unit in zip(values, units, strict=True)]
        return [tf.add_n([tf.reduce_sum(value, axis=list(range(1, value.shape.rank))) for value in chosen]), *reached]

    def _place(self, site: Site) -> int:
        if _key(site) not in self._places:
            raise ValueError(self._refused.get(_key(site), f"layer {site.name!r} cannot be measured"))
        return self._places[_key(site)]


def _key(site: Site) -> tuple[int, int]:
    return id(site.layer), id(site.tapped)


def _space(sites: Sequence[Site], axes: int) -> list[int]:
    """The spatial axes of an input, the batch's left out: its channels are where the first layer that cares has them."""
    layer = next((site.layer for site in sites if getattr(site.layer, "data_format", None) is not None), None)
    channels = channel_axis(layer, axes)
    return [axis for axis in range(axes) if axis != channels]


def _span(mask: np.ndarray) -> Span:
    """The smallest box around what is true."""
    where = np.argwhere(mask)
    return tuple((int(low), int(high)) for low, high in zip(where.min(axis=0), where.max(axis=0), strict=True))


def _positive(model: Any, trial: tf.Tensor) -> list[tuple[Any, tf.Tensor]]:
    """Random positive values for all weights that training moves: sums of so many stay of moderate size."""
    state = []
    layers = model._flatten_layers(include_self=True, recursive=True)
    variables = {id(variable): variable for layer in layers for variable in layer._trainable_variables}
    for number, variable in enumerate(variables.values()):
        shape = tuple(variable.shape)
        chance = tf.random.stateless_uniform(shape, (trial, number), 0.5, 1.5)
        state.append((variable, tf.cast(chance / (2 * math.prod(shape[:-1])), variable.dtype)))
    return state


@dataclass(frozen=True)
class _Work:
    """How many elements tensors have, for each sample and besides, and as many more for many multiply-adds."""

    each: float
    besides: float

    def seconds(self, samples: int) -> float:
        return (self.each * samples + self.besides) / _ELEMENTS_PER_SECOND


def _work(graph: Any) -> _Work:
    each = besides = 0.0
    for operation in graph.get_operations():
        for output in operation.outputs:
            if not output.shape.rank:
                continue
            elements = math.prod(size or 1 for size in output.shape.as_list())
            if output.shape[0] is not None:
                besides += elements
                continue
            each += elements
            if operation.type in _MULTIPLYING:
                kernel = operation.inputs[1].shape.as_list() if operation.inputs[1].shape.rank else []
                each += elements * math.prod(size or 1 for size in kernel[:-1]) / _SUMS_PER_ELEMENT
    return _Work(each, besides)

"""What leads from layers of a model to its class scores: their maps, and the scores' gradients with regard to these."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from featwatch.errors import first_line
from featwatch.explain.forms import Unsuitable
from featwatch.graphs import graph_of
from featwatch.layers import Site
from featwatch.predictions import holds_classes, loss_name, loss_of
from featwatch.running import Seen, WritesState, filters_last, first_tensor, refuse_writes, rows_of, run, unreadable
from featwatch.structures import leaves, mapped

SCALE = 1024.0                      # of the score where a layer computes in float16, so that small gradients do not vanish
SOFTMAX, SIGMOID, NEITHER = "softmax", "sigmoid", "neither"


@dataclass(frozen=True)
class Scores:
    """Which output holds the scores, and what they are."""

    output: int
    name: str
    columns: int
    squashed: str                   # what the model applies to them: it is left out of the scores that are used
    binary: bool                    # one column: class 1 above zero, class 0 below
    of_classes: bool                # whether model or loss say that they are; otherwise a column is what is shown as a class

    @property
    def classes(self) -> int:
        return 2 if self.binary else self.columns


@dataclass(frozen=True, eq=False)
class Led:
    """What leads from one layer to a score, for some samples; all float32, filters last."""

    maps: tf.Tensor                 # (samples, …, filters): the layer's value
    gradients: tf.Tensor            # likewise


# What is kept of a layer, tensors with one row per sample, or why nothing can be.
Kept = Callable[[Led], Any]


class Decision:
    """What leads from some layers of a model to a class, always with the weights of the moment; traced at the first use.

    Arguments:
        model: a built model; it is not changed.
        sites: of it.
        kept: what is kept of each layer, computed on the device.
        output: which output holds the scores: its index or name; None = the only one, or the only one with a loss of classes.
    """

    def __init__(self, model: Any, sites: Sequence[Site], kept: Kept, output: int | str | None = None) -> None:
        self._model = weakref.ref(model)
        self._sites = tuple(sites)
        self._kept = kept
        self._output = output
        self._function: Any = None
        self.rows: int | None = None        # that a batch has to have; None = any number
        self.way = ""                       # in which the model is run: `featwatch.running.run`
        self.scores: Scores | None = None   # known after the first use
        self.refused: dict[str, str] = {}   # name of a layer from which nothing leads to the scores -> why

    def read(self, samples: Any, classes: np.ndarray, at_once: int = 64) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
        """What was kept, by layer; the classes; and the scores that they have, (samples, columns).

        Arguments:
            samples: arrays of the model's inputs, nested as it takes them.
            classes: (samples,), −1 = the predicted one.
            at_once: samples in a batch.

        Raises:
            Unsuitable: the model has no such output, or no such class, or cannot be traced: the message says why.
            WritesState: the model writes variables in inference.
        """
        arrays = mapped(np.asarray, samples)
        count = len(leaves(arrays)[0][1])
        parts = []
        if self._function is None:
            self._trace(arrays, min(count, at_once))
        assert self.scores is not None
        if classes.max(initial=-1) >= self.scores.classes:
            raise Unsuitable(
                f"classes={classes.max()}: the output {self.scores.name!r} has the classes 0 to {self.scores.classes - 1}"
            )
        step = self.rows or at_once
        for first in range(0, count, step):
            rows = np.arange(first, min(first + step, count))
            filled = np.resize(rows, self.rows) if self.rows else rows
            batch = mapped(tf.convert_to_tensor, taken(arrays, filled))
            found = keras.tree.map_structure(np.asarray, self._function(batch, tf.constant(classes[filled], tf.int32)))
            parts.append(taken(found, slice(len(rows))))
        joined: tuple[dict[str, Any], np.ndarray, np.ndarray] = keras.tree.map_structure(lambda *of: np.concatenate(of), *parts)
        return joined

    def _trace(self, arrays: Any, rows: int) -> None:
        model = self._alive()
        shapes = [tensor.shape for tensor in getattr(graph_of(model), "inputs", None) or ()]
        fixed = next((shape[0] for shape in shapes if shape and shape[0] is not None), None)
        reason: Exception = RuntimeError("the model cannot be run")
        # A model that nobody asks for one size of batch takes any; of code of the user's own only trying tells.
        for way in (*(("graph",) if graph_of(model) is not None else ()), "calls"):
            for size in dict.fromkeys([fixed, fixed or rows]):
                try:
                    self._function = self._traced(way, arrays, size)
                except (Unsuitable, WritesState):
                    raise
                except Exception as error:
                    reason = error
                else:
                    self.rows, self.way = size, way
                    return
        raise Unsuitable(f"the model cannot be traced: {first_line(reason)}")

    def _traced(self, way: str, arrays: Any, size: int | None) -> Any:
        def function(wanted: Sequence[Site]) -> Any:
            look = functools.partial(self._look, way, wanted)
            specification = mapped(lambda array: tf.TensorSpec((size, *array.shape[1:]), array.dtype), arrays)
            concrete = tf.function(look, autograph=False).get_concrete_function(specification, tf.TensorSpec((size,), tf.int32))
            refuse_writes(concrete.graph)
            return concrete

        self.refused = {}
        try:
            return function(self._sites)
        except LookupError:                     # an operation without a gradient, behind one of the layers
            pass
        for site in self._sites:
            try:
                function([site])
            except LookupError as error:
                self.refused[site.name] = f"no gradient leads to it from the scores: {str(error).splitlines()[0]}"
        return function([site for site in self._sites if site.name not in self.refused])

    def _look(self, way: str, sites: Sequence[Site], inputs: Any, classes: tf.Tensor) -> Any:
        model, seen, rows = self._alive(), Seen(), rows_of(inputs)
        outputs = run(model, inputs, sites, seen, way)
        self.scores, scores = scores_of(model, outputs, self._output)
        classes = tf.where(classes < 0, predicted(scores, self.scores), classes)
        values = {}
        for site in sites:
            reason = unreadable(site, seen, rows)
            if reason:
                self.refused[site.name] = reason
            else:
                values[site.name] = first_tensor(seen.left[id(site.tapped)])
        scale = SCALE if any(value.dtype == tf.float16 for value in values.values()) else 1.0
        aim = tf.reduce_sum(score_of(scores, classes, self.scores)) * scale
        found = {}
        for site, gradient in zip(
            [site for site in sites if site.name in values],
            tf.gradients(aim, list(values.values())) if values else [],
            strict=True,
        ):
            if gradient is None:
                self.refused[site.name] = f"the output {self.scores.name!r} does not depend on it by any gradient"
                continue
            maps, led = (filters_last(tensor, site.layer) for tensor in (values[site.name], gradient))
            of_layer = self._kept(Led(maps, led / scale))
            if isinstance(of_layer, str):
                self.refused[site.name] = of_layer
            else:
                found[site.name] = of_layer
        return found, classes, scores

    def _alive(self) -> Any:
        model = self._model()
        if model is None:
            raise RuntimeError("the model is gone")
        return model


def taken(arrays: Any, rows: Any) -> Any:
    """These rows of nested arrays."""
    return mapped(lambda array: array[rows], arrays)


def scores_of(model: Any, outputs: Any, wanted: int | str | None) -> tuple[Scores, tf.Tensor]:
    """While a function is traced: which of a model's outputs holds the class scores, and these, (samples, columns) float32.

    The scores are those before softmax or sigmoid, where these are the last that the model computes.
    Raises Unsuitable where there is no such output.
    """
    paths = keras.tree.flatten_with_path(outputs)
    names = ["/".join(map(str, path)) for path, _ in paths]
    known = list(getattr(model, "output_names", None) or [])
    if len(known) == len(names) and not isinstance(outputs, dict):
        names = known
    index = _chosen(model, names, wanted)
    value, name = paths[index][1], names[index] or "output"
    if not tf.is_tensor(value) or value.shape.rank != 2 or not value.shape[1] or not value.dtype.is_floating:
        shape = tuple(value.shape) if tf.is_tensor(value) else type(value).__name__
        raise Unsuitable(f"the output {name!r} has the shape {shape}: class scores have two axes, (samples, classes)")
    before, squashed = _before_squashing(value)
    loss, columns = loss_of(model, index, name), int(value.shape[1])
    binary = columns == 1 and (squashed == SIGMOID or "binary" in loss_name(loss))
    of_classes = binary or (columns > 1 and (squashed != NEITHER or holds_classes(loss)))
    return Scores(index, name, columns, squashed, binary, of_classes), tf.cast(before, tf.float32)


def predicted(scores: tf.Tensor, about: Scores) -> tf.Tensor:
    """(samples,) int32: the class with the largest score."""
    if about.binary:
        return tf.cast(scores[:, 0] > 0, tf.int32)
    return tf.argmax(scores, axis=1, output_type=tf.int32)


def score_of(scores: tf.Tensor, classes: tf.Tensor, about: Scores) -> tf.Tensor:
    """(samples,): the score of each sample's class."""
    if about.binary:
        return scores[:, 0] * tf.where(classes > 0, 1.0, -1.0)
    return tf.gather(scores, classes, batch_dims=1)


def _chosen(model: Any, names: Sequence[str], wanted: int | str | None) -> int:
    listed = ", ".join(map(repr, names))
    if isinstance(wanted, str):
        if wanted not in names:
            raise Unsuitable(f"output={wanted!r}: the model has the outputs {listed}")
        return list(names).index(wanted)
    if wanted is not None:
        if not -len(names) <= wanted < len(names):
            raise Unsuitable(f"output={wanted!r}: the model has {len(names)} output{'s' * (len(names) != 1)}")
        return wanted % len(names)
    if len(names) == 1:
        return 0
    likely = [index for index, name in enumerate(names) if holds_classes(loss_of(model, index, name))]
    if len(likely) != 1:
        raise Unsuitable(f"the model has the outputs {listed}, and its losses do not tell which holds the class: pass output=")
    return likely[0]


def _before_squashing(value: tf.Tensor) -> tuple[tf.Tensor, str]:
    operation = value.op
    while operation.type in ("Identity", "Cast") and operation.inputs:
        operation = operation.inputs[0].op
    squashed = {"Softmax": SOFTMAX, "Sigmoid": SIGMOID}.get(operation.type, NEITHER)
    return (value, squashed) if squashed == NEITHER else (operation.inputs[0], squashed)

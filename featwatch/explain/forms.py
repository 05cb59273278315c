"""A model's input as pictures, and pictures as the model's input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from featwatch.explain.fields.operations import channel_axis
from featwatch.graphs import graph_of, nodes_of


class Unsuitable(ValueError):
    """A layer has no feature images; the message says why."""


@dataclass(frozen=True)
class Form:
    """How the samples of an input, of the shape `shape`, are laid out as (height, width, channels)."""

    shape: tuple[int, ...]
    kind: str                       # "picture", "picture, channels first", "sheet" (without channels), "sequence", "vector"

    @property
    def size(self) -> tuple[int, int, int]:
        """(height, width, channels)."""
        if self.kind == "picture, channels first":
            return self.shape[1], self.shape[2], self.shape[0]
        if self.kind == "sheet":
            return self.shape[0], self.shape[1], 1
        if self.kind == "sequence":
            return 1, self.shape[0], self.shape[1]
        return (1, self.shape[0], 1) if self.kind == "vector" else (self.shape[0], self.shape[1], self.shape[2])

    @property
    def axes(self) -> tuple[int, ...]:
        """Which of height and width (0 and 1) each spatial axis of the input is."""
        return {"sequence": (1,), "vector": ()}.get(self.kind, (0, 1))

    @property
    def has_neighbours(self) -> bool:
        """Whether values that lie side by side belong together: not so in a vector of features."""
        return self.kind != "vector"

    def pictures(self, samples: np.ndarray) -> np.ndarray:
        """(samples, height, width, channels) of samples of the input; a view."""
        if self.kind == "picture, channels first":
            return np.moveaxis(samples, 1, -1)
        return samples.reshape(len(samples), *self.size)

    def inputs(self, pictures: tf.Tensor) -> tf.Tensor:
        """What the model takes, of pictures of perhaps another height and width."""
        if self.kind == "picture, channels first":
            return tf.transpose(pictures, (0, 3, 1, 2))
        dropped = {"sheet": [3], "sequence": [1], "vector": [1, 3]}.get(self.kind)
        return tf.squeeze(pictures, dropped) if dropped else pictures


def form_of(model: Any, samples: Any = None) -> Form:
    """The form of a model's only input.

    Arguments:
        samples: of the input, if there are any: they tell what the model leaves open.

    Raises:
        Unsuitable: there are several inputs, or one that is no numbers, no picture, no sequence and no vector.
    """
    inputs = keras.tree.flatten(getattr(model, "inputs", None) or [])
    if len(inputs) > 1 or isinstance(samples, (dict, tuple, list)):
        raise Unsuitable("models of several inputs have no feature images yet")
    shape: Sequence[int | None]
    if inputs:
        shape, kind = tuple(inputs[0].shape[1:]), keras.backend.standardize_dtype(inputs[0].dtype)
        if samples is not None and len(samples.shape) == len(shape) + 1:
            shape = tuple(samples.shape[1:])
    elif samples is not None:
        shape, kind = tuple(samples.shape[1:]), "float32" if samples.dtype.kind in "fub" else samples.dtype.name
    else:
        raise Unsuitable("a model without a graph tells the shape of its input only by samples: pass probe=")
    if "float" not in kind:
        raise Unsuitable(f"the model takes {kind} values, in between which there are none: no gradient leads to an image")
    sizes = tuple(size for size in shape if size is not None)
    if len(sizes) != len(shape):
        raise Unsuitable(f"the model leaves the size of its input open, {tuple(shape)}: pass probe=")
    if len(sizes) == 1:
        return Form(sizes, "vector")
    if len(sizes) == 2:
        return Form(sizes, "sheet" if _is_sheet(model) else "sequence")
    if len(sizes) == 3:
        return Form(sizes, "picture, channels first" if _channels_first(model) else "picture")
    raise Unsuitable(f"inputs of the shape {sizes} are no picture, sequence or vector: no feature images yet")


def _is_sheet(model: Any) -> bool:
    """Whether the model takes (height, width): one that flattens it first."""
    graph = graph_of(model)
    if graph is None:
        return False
    for node in nodes_of(graph):
        if isinstance(node.operation, (keras.layers.Flatten, keras.layers.Reshape)):
            return True
        if not isinstance(node.operation, (keras.layers.InputLayer, keras.layers.Rescaling, keras.layers.Normalization)):
            return False
    return False


def _channels_first(model: Any) -> bool:
    graph = graph_of(model)
    for node in nodes_of(graph) if graph is not None else ():
        nested = graph_of(node.operation) if isinstance(node.operation, keras.Layer) else None
        if nested is not None:
            return _channels_first(nested)
        if getattr(node.operation, "data_format", None) is not None:
            return channel_axis(node.operation, 3) == 0
    return False

"""What a model takes, and random inputs of that form."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from featwatch.graphs import graph_of
from featwatch.probe import Probe


@dataclass(frozen=True, eq=False)
class Taken:
    """One of a model's inputs: its shape without the batch axis, and what it is to hold where that is not random numbers."""

    shape: tuple[int, ...]
    dtype: str                          # "float32" for all numbers in between which there are others
    given: np.ndarray | None            # one sample

    @property
    def key(self) -> Hashable:
        return self.shape, self.dtype

    @property
    def is_number(self) -> bool:
        return self.dtype == "float32"


def taken_by(model: Any, probe: Any = None) -> Any:
    """`Taken` for each of the model's inputs, in their structure.

    Arguments:
        probe: a `Probe`, or samples of the input; None = the shapes with which the model was built.

    Raises ValueError where nothing tells the shapes.
    """
    samples = probe.x if isinstance(probe, Probe) else probe
    graph = graph_of(model)
    arrays = None if samples is None else keras.tree.map_structure(np.asarray, samples)
    if graph is not None:
        return _taken_by_graph(model.name, graph, [] if arrays is None else keras.tree.flatten(arrays))
    if arrays is not None:
        return keras.tree.map_structure(lambda array: Taken(array.shape[1:], _kind_of(array), array[0]), arrays)
    shape = (model.get_build_config() or {}).get("input_shape")
    if not isinstance(shape, (tuple, list)) or len(shape) < 2 or not all(isinstance(size, int) for size in shape[1:]):
        raise ValueError(f"nothing tells the shape of what the model {model.name!r} takes: pass probe=")
    return Taken(tuple(shape[1:]), "float32", None)


def random_inputs(inputs: Sequence[Taken], samples: int, trial: int) -> list[np.ndarray]:
    """(samples, …) of each input, another at each trial: at first positive numbers, then such around 0."""
    rng = np.random.default_rng((7, trial))
    drawn = []
    for each in inputs:
        shape = (samples, *each.shape)
        if each.is_number:
            drawn.append((rng.normal(size=shape) if trial % 2 else rng.uniform(0.1, 1, shape)).astype(np.float32))
        else:
            one = np.zeros(each.shape, each.dtype) if each.given is None else each.given
            drawn.append(np.broadcast_to(one, shape).astype(each.dtype))
    return drawn


def _taken_by_graph(name: str, graph: Any, arrays: Sequence[np.ndarray]) -> Any:
    tensors = keras.tree.flatten(graph._inputs_struct)
    taken = []
    for index, tensor in enumerate(tensors):
        array = arrays[index] if len(arrays) == len(tensors) and arrays[index].ndim == len(tensor.shape) else None
        shape = tuple(tensor.shape[1:]) if array is None else array.shape[1:]
        if None in shape:
            raise ValueError(f"the model {name!r} leaves the size of its input open: pass probe=")
        kind = keras.backend.standardize_dtype(tensor.dtype)
        taken.append(Taken(shape, "float32" if "float" in kind else kind, None if array is None else array[0]))
    return keras.tree.pack_sequence_as(graph._inputs_struct, taken)


def _kind_of(array: np.ndarray) -> str:
    # Pictures come as bytes, too, which a model without a graph takes for numbers; other whole numbers are indices.
    return "float32" if array.dtype.kind in "fub" else array.dtype.name

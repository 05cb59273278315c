"""How long models take for a sample, measured: multiply-adds say little of it."""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from featwatch.graphs import graph_of
from featwatch.running import run

WARM_UP = 3
FEWEST, MOST = 7, 200               # rounds
# Quartiles this far apart, relative to the median: something else was running.
NOISY = 0.25


@dataclass(frozen=True)
class Latency:
    """What a forward pass takes in inference."""

    milliseconds: float             # for a sample: the median over rounds
    low: float                      # the quartiles
    high: float
    batch: int                      # samples at once
    rounds: int

    @property
    def noisy(self) -> bool:
        """Whether the rounds differed so much that a small difference between models says nothing."""
        return self.high - self.low > NOISY * self.milliseconds

    def __str__(self) -> str:
        return f"{self.milliseconds:.3g} ms ({self.low:.3g} to {self.high:.3g})"


def latencies(models: Sequence[Any], batch: Any, *, seconds: float = 3.0) -> list[Latency]:
    """What a sample takes in each of some models, in turns, so that what else the machine does strikes all alike.

    Each is compiled once, without XLA, and run a few times first.  Models, their state and random streams stay as they are.

    Arguments:
        batch: inputs for all of them, as one batch.
        seconds: to measure for, about; at least seven rounds are made.
    """
    tensors = keras.tree.map_structure(tf.convert_to_tensor, batch)
    count = int(keras.tree.flatten(tensors)[0].shape[0])
    functions = [_compiled(model) for model in models]
    for function in functions:
        for _ in range(WARM_UP):
            function(tensors)
    taken: list[list[float]] = [[] for _ in models]
    ends = time.perf_counter() + seconds
    while len(taken[0]) < FEWEST or (len(taken[0]) < MOST and time.perf_counter() < ends):
        for times, function in zip(taken, functions, strict=True):
            began = time.perf_counter()
            np.asarray(function(tensors))           # waits for the device
            times.append(1000 * (time.perf_counter() - began) / count)
    quartiles = [[float(share) for share in np.percentile(times, (25, 50, 75))] for times in taken]
    return [Latency(middle, low, high, count, len(taken[0])) for low, middle, high in quartiles]


def any_batch(model: Any, size: int = 32) -> Any:
    """A batch of random inputs of a model's shapes; None where one of them is open, or holds no numbers."""
    rng = np.random.default_rng(0)

    def some(tensor: Any) -> Any:
        shape, kind = tuple(tensor.shape)[1:], keras.backend.standardize_dtype(tensor.dtype)
        if None in shape or kind == "string":
            raise _OpenInput
        return rng.random((size, *shape)).astype(kind) if kind.startswith(("float", "bfloat")) else np.zeros((size, *shape), kind)

    try:
        return keras.tree.map_structure(some, graph_of(model)._inputs_struct)
    except _OpenInput:
        return None


class _OpenInput(Exception):
    pass


def _compiled(model: Any) -> Any:
    def first(inputs: Any) -> tf.Tensor:
        return keras.tree.flatten(run(model, inputs, (), _ignore, "graph" if graph_of(model) is not None else "calls"))[0]

    return tf.function(functools.partial(first), autograph=False)


def _ignore(operation: Any, args: Any, outputs: Any) -> None:
    """Nothing is to be told of calls."""

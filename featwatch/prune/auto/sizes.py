"""How large a model is, as a record of its own."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import tensorflow as tf

from featwatch.graphs import graph_of
from featwatch.prune.anatomy import Anatomy
from featwatch.prune.candidates import candidates
from featwatch.prune.savings import Sizes
from featwatch.records import ModelSize
from featwatch.running import run

SECONDS = 0.3           # that measuring may take at most, tracing included
_LARGEST = 150          # operations of a model whose tracing stays within that
_BATCH = 32


def size_of(anatomy: Anatomy, batch: Any, epoch: int, *, measured: bool = True) -> ModelSize:
    """The size of a model.

    Arguments:
        batch: samples, as the model takes them, to measure its latency by.
        measured: whether to.
    """
    sizes = Sizes(anatomy)
    parameters, multiply_adds = sizes.of(())
    said = [f"multiply-adds lack those of {', '.join(sizes.uncounted[:8])}"] if sizes.uncounted else []
    milliseconds, count, why = latency(anatomy.model, batch) if measured else (float("nan"), 0, "")
    return ModelSize(
        epoch=epoch,
        parameters=parameters,
        multiply_adds=multiply_adds,
        units=candidates(anatomy).prunable,
        latency=milliseconds,
        latency_batch=count,
        note="; ".join([*said, *([why] if why else [])]),
    )


def latency(model: Any, batch: Any, seconds: float = SECONDS) -> tuple[float, int, str]:
    """(milliseconds for a sample, samples in a batch, why it was not measured): the shortest of some forward passes.

    What else the machine does, training for one, only makes them longer.  In inference, compiled once for this; what the
    model is like afterwards is what it was like before.
    """
    graph = graph_of(model)
    operations = len(graph.operations) if graph is not None else 0
    if operations > _LARGEST:
        return float("nan"), 0, f"latency is not measured of {operations} operations: tracing them takes longer than {seconds} s"
    some = tf.nest.map_structure(lambda values: tf.convert_to_tensor(values[:_BATCH]), batch)
    count = int(tf.nest.flatten(some)[0].shape[0])
    traced = tf.function(lambda inputs: run(model, inputs, (), lambda *_: None), autograph=False)
    ends = time.perf_counter() + seconds
    traced(some)
    taken: list[float] = []
    while len(taken) < 30 and (len(taken) < 3 or time.perf_counter() < ends):
        began = time.perf_counter()
        np.asarray(tf.nest.flatten(traced(some))[0])
        taken.append(time.perf_counter() - began)
    return 1000 * min(taken) / count, count, ""

"""How large a model is, as a record of its own."""

from __future__ import annotations

import math
from typing import Any

from featwatch.graphs import graph_of
from featwatch.prune.anatomy import Anatomy
from featwatch.prune.candidates import candidates
from featwatch.prune.latency import latencies
from featwatch.prune.savings import Sizes
from featwatch.records import ModelSize
from featwatch.structures import mapped

SECONDS = 0.2           # that is measured for, without tracing
_MOST_TRACED = 150      # operations
_BATCH = 32


def size_of(anatomy: Anatomy, batch: Any, epoch: int, *, measured: bool = True) -> ModelSize:
    """The size of a model.

    Arguments:
        batch: samples, as the model takes them, to measure its latency by, and for the sizes that it leaves open.
        measured: whether to.
    """
    sizes = Sizes(anatomy, like=batch)
    parameters, multiply_adds = sizes.of(())
    milliseconds, count, why = _latency(anatomy.model, batch) if measured else (math.nan, 0, "")
    return ModelSize(
        epoch=epoch,
        parameters=parameters,
        multiply_adds=multiply_adds,
        units=candidates(anatomy).prunable,
        latency=milliseconds,
        latency_batch=count,
        note="; ".join([*sizes.said, *([why] if why else [])]),
    )


def _latency(model: Any, batch: Any) -> tuple[float, int, str]:
    """(milliseconds for a sample, samples in a batch, what there is to say of it)."""
    graph = graph_of(model)
    operations = len(graph.operations) if graph is not None else 0
    if operations > _MOST_TRACED:
        return math.nan, 0, f"latency is not measured: tracing {operations} operations takes too long in the middle of a training"
    found = latencies([model], mapped(lambda values: values[:_BATCH], batch), seconds=SECONDS)[0]
    noisy = f"latency: between {found.low:.3g} and {found.high:.3g} ms in half of the rounds, something else was running"
    return found.milliseconds, found.batch, noisy if found.noisy else ""

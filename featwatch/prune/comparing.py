"""How far a smaller model is from the one it was made of, on a probe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from featwatch.graphs import graph_of
from featwatch.predictions import loss_of, predictions
from featwatch.probe import Probe
from featwatch.running import run


@dataclass(frozen=True)
class Compared:
    """Outputs of two models."""

    difference: float               # RMS of the difference of the outputs over the RMS deviation from their mean
    accuracy_before: float | None   # None where there are no labels or no classes
    accuracy_after: float | None


def compared(model: Any, small: Any, probe: Probe) -> Compared:
    """What became of a model's outputs on the probe.  Both stay as they are."""
    before, after = (_outputs(each, probe) for each in (model, small))
    squares = sum(float(np.square(one - other).sum()) for one, other in zip(before, after, strict=True))
    spread = sum(float(np.square(one - one.mean(axis=0)).sum()) for one in before)
    found = [_accuracy(model, values, probe) for values in (before, after)]
    return Compared(float(np.sqrt(squares / spread)) if spread else float(squares > 0), found[0], found[1])


def _outputs(model: Any, probe: Probe) -> list[np.ndarray]:
    """Each (samples, …) float64."""
    way = "graph" if graph_of(model) is not None else "calls"

    def forward(batch: Any) -> Any:
        return keras.tree.flatten(run(model, batch, (), _ignore, way))

    function, parts = tf.function(forward, autograph=False), []
    for batch, count in probe.batches():
        given = function(keras.tree.map_structure(tf.convert_to_tensor, batch))
        parts.append([np.asarray(values)[:count].astype(np.float64) for values in given])
    return [np.concatenate(each) for each in zip(*parts, strict=True)]


def _accuracy(model: Any, outputs: list[np.ndarray], probe: Probe) -> float | None:
    if len(outputs) != 1 or not (probe.labels >= 0).any():
        return None
    found = predictions(outputs[0], probe.labels, loss=loss_of(model, 0), epoch=0)
    return None if found is None or not np.isfinite(found.accuracy) else found.accuracy


def _ignore(operation: Any, args: Any, outputs: Any) -> None:
    """Nothing is to be told of calls."""

"""One forward pass over the probe that reads every watched layer and reduces it on the device.

The pass runs the model's own graph, operation by operation, inside one `tf.function`; it makes no
layer and no model, so no name counter and no seed of the user's moves.  A `StatelessScope` catches
whatever a layer would assign or add to its losses.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from featwatch import reductions
from featwatch.folds import FOLDS, Fold
from featwatch.layers import Site, graph_of
from featwatch.records import LayerInfo
from featwatch.reductions import About, Sketch
from featwatch.running import run

Reduced = dict[str, dict[str, np.ndarray]]      # layer name -> reduction -> (samples, …)


@dataclass(frozen=True, eq=False)
class Reading:
    """What one pass over the probe gave."""

    layers: Reduced
    outputs: list[np.ndarray]       # the model's outputs, flat, each (samples, …)


class _Rows:
    """The fold of reductions that are kept sample by sample."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._batches: list[np.ndarray] = []

    def add(self, values: np.ndarray) -> None:
        self._batches.append(values)

    def result(self) -> dict[str, np.ndarray]:
        return {self._name: np.concatenate(self._batches)}


class TapPass:
    """Reads the reductions that are needed of some layers of a model, always with the weights of the moment.

    Arguments:
        model: a built functional or sequential model.
        needs: the names of the reductions wanted, by site.
        samples: how many there are in the probe.
        seed: of the sketches' signs.
    """

    def __init__(self, model: Any, needs: Mapping[Site, Iterable[str]], samples: int, seed: int = 0) -> None:
        self._graph = graph_of(model)
        self._needs = {site: tuple(names) for site, names in needs.items()}
        self._samples = samples
        self._seed = seed
        self._sketches: dict[str, Sketch] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._jit = True
        self._function = self._build()

    @property
    def how(self) -> str:
        """How the layers are read, for the record."""
        return "graph, jit" if self._jit else "graph"

    def prepare(self, batch: np.ndarray) -> None:
        """Trace and compile for batches of this shape; without jit where the model cannot be compiled so."""
        try:
            self._function(tf.convert_to_tensor(batch))
        except (tf.errors.OpError, TypeError, ValueError, NotImplementedError):
            self._jit = False
            self._function = self._build()
            self._function(tf.convert_to_tensor(batch))

    def read(self, batches: Iterable[tuple[np.ndarray, int]]) -> Reading:
        """The reductions over all samples.

        Arguments:
            batches: pairs of a batch, always of one shape, and the number of its rows that count.
        """
        parts: dict[str, dict[str, Fold]] = {site.name: {} for site in self._needs}
        outputs: list[_Rows] = []
        for batch, count in batches:
            reduced, scores = self._function(tf.convert_to_tensor(batch))
            for name, by_reduction in reduced.items():
                for reduction, values in by_reduction.items():
                    if reduction not in parts[name]:
                        parts[name][reduction] = self._fold(name, reduction)
                    parts[name][reduction].add(values.numpy()[:count])
            outputs = outputs or [_Rows("") for _ in scores]
            for collected, values in zip(outputs, scores, strict=True):
                collected.add(values.numpy()[:count])
        return Reading(
            {name: {key: rows for fold in part.values() for key, rows in fold.result().items()} for name, part in parts.items()},
            [rows.result()[""] for rows in outputs],
        )

    def info(self, site: Site) -> LayerInfo:
        """The description of a site for the log.  Known once `prepare` has run."""
        shape = self._shapes[site.name]
        sketch = self._sketches[site.name]
        return LayerInfo(
            name=site.name,
            type=type(site.layer).__name__,
            shape=shape,
            filters=shape[-1],
            tapped="/".join((*site.path, site.tapped.name)),
            activation=site.activation,
            parameters=int(site.layer.count_params()),
            features=sketch.features,
            sketch=sketch.size,
            path=site.path,
            note=f"called {site.calls} times; the first call is shown" if site.calls > 1 else "",
        )

    def _fold(self, name: str, reduction: str) -> Fold:
        return FOLDS[reduction](self._about(name)) if reduction in FOLDS else _Rows(reduction)

    def _about(self, name: str) -> About:
        return About(self._sketches[name], self._samples, self._seed)

    def _build(self) -> Any:
        # A partial of its own: TensorFlow counts how often one piece of code is traced, over all watches, and warns of it.
        # Without autograph, as in Keras' own trainer: converting the code would take most of the tracing's time.
        return tf.function(functools.partial(self._trace), jit_compile=self._jit, autograph=False)

    def _trace(self, batch: tf.Tensor) -> tuple[dict[str, dict[str, tf.Tensor]], list[tf.Tensor]]:
        wanted = {id(operation) for site in self._needs for operation in (site.layer, site.tapped)}
        entered: dict[int, tf.Tensor] = {}
        left: dict[int, tf.Tensor] = {}
        with keras.StatelessScope():
            results = run(self._graph, self._standardised(batch), wanted, entered, left)
        reduced = {
            site.name: self._reduce(site, entered.get(id(site.layer)), left[id(site.tapped)]) for site in self._needs
        }
        return reduced, [tf.cast(output, tf.float32) for output in keras.tree.flatten(results)]

    def _standardised(self, batch: tf.Tensor) -> tf.Tensor:
        (expected,) = self._graph.inputs
        return tf.cast(tf.reshape(batch, (-1, *batch.shape[1:])), expected.dtype)

    def _reduce(self, site: Site, entered: tf.Tensor | None, values: tf.Tensor) -> dict[str, tf.Tensor]:
        values = tf.cast(values, tf.float32)
        if getattr(site.layer, "data_format", None) == "channels_first" and values.shape.rank > 2:
            values = tf.experimental.numpy.moveaxis(values, 1, -1)
        if None in values.shape[1:]:
            raise ValueError(f"the output of {site.name!r} has the shape {tuple(values.shape)}; featwatch needs it fixed")
        shape = tuple(values.shape[1:])
        self._shapes[site.name] = shape
        sketch = self._sketches[site.name] = Sketch.of_length(int(np.prod(shape)), self._seed)
        of_input = {name for name in self._needs[site] if name.startswith("input_")}
        names = set(self._needs[site]) - of_input
        if "features" in names and not sketch.exact:
            names.add("neighbour_distance")     # what the sketch's error is measured against
        about = self._about(site.name)
        reduced = {name: getattr(reductions, name)(values, about) for name in sorted(names)}
        if entered is not None:     # layers of several inputs have no one input
            entering = tf.cast(entered, tf.float32)
            reduced |= {name: getattr(reductions, name)(entering, about) for name in sorted(of_input)}
        return reduced


def distance_error(reduced: Mapping[str, np.ndarray], batch_size: int) -> float:
    """The relative RMS error of distances between sketched feature tensors; 0.0 where they are exact.

    Measured on each sample and the one before it in its batch, cyclically.  (A last batch is padded
    by repeating its last sample, so that this holds there, too.)

    Arguments:
        reduced: one layer's reductions, with "features" (samples, size) and "neighbour_distance" (samples,).
    """
    exact = reduced.get("neighbour_distance")
    if exact is None:
        return 0.0
    rows = reduced["features"]
    batches = [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]
    sketched = np.sqrt(np.concatenate([np.square(batch - np.roll(batch, 1, axis=0)).sum(axis=1) for batch in batches]))
    true = np.sqrt(exact)
    apart = true > 0
    return float(np.sqrt(np.mean(np.square(sketched[apart] / true[apart] - 1)))) if apart.any() else 0.0

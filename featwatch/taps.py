"""One forward pass over the probe that reads every watched layer and reduces it on the device."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from featwatch import reductions
from featwatch.folds import FOLDS, Fold
from featwatch.graphs import graph_of
from featwatch.layers import Site
from featwatch.records import LayerInfo
from featwatch.reductions import About, sorted_maps
from featwatch.running import Seen, WritesState, filters_last, first_tensor, refuse_writes, rows_of, run, unreadable
from featwatch.sketch import SKETCH_SEED, Sketch

Reduced = dict[str, dict[str, np.ndarray]]      # layer name -> reduction -> (samples, …)


@dataclass(frozen=True, eq=False)
class Reading:
    """What one pass over the probe gave."""

    layers: Reduced
    outputs: list[np.ndarray]       # the model's outputs, flat, each (samples, …)


class _Rows:
    """The fold of reductions that are kept sample by sample, in one array from the start: no batch is kept beside it."""

    def __init__(self, name: str, samples: int) -> None:
        self._name = name
        self._samples = samples
        self._rows: np.ndarray | None = None
        self._filled = 0

    def add(self, values: np.ndarray) -> None:
        if self._rows is None:
            self._rows = np.empty((self._samples, *values.shape[1:]), values.dtype)
        self._rows[self._filled : self._filled + len(values)] = values
        self._filled += len(values)

    def result(self) -> dict[str, np.ndarray]:
        assert self._rows is not None, "no batch was added"
        return {self._name: self._rows[: self._filled]}


@dataclass(frozen=True)
class _Rung:
    """One way to read the layers."""

    way: str                # "graph" or "calls"
    jit: bool = False
    eager: bool = False

    def __str__(self) -> str:
        return self.way + (", jit" if self.jit else ", eager" if self.eager else "")


_CALL_RUNGS = (_Rung("calls", jit=True), _Rung("calls"), _Rung("calls", eager=True))
_GRAPH_RUNGS = (_Rung("graph", jit=True), _CALL_RUNGS[0], _Rung("graph"), *_CALL_RUNGS[1:])


class TapPass:
    """Reads the reductions that are needed of some layers of a model, always with the weights of the moment.

    It tries, in this order, the graph under jit, calls under jit, both without jit, and calls without
    tracing; `how` says what worked.

    Arguments:
        model: a built model.
        needs: the names of the reductions wanted, by site.
        samples: how many there are in the probe.
        seed: of the sketches' signs.
    """

    def __init__(self, model: Any, needs: Mapping[Site, Iterable[str]], samples: int, seed: int = SKETCH_SEED) -> None:
        self._model = weakref.ref(model)
        self._needs = {site: tuple(names) for site, names in needs.items()}
        self._samples = samples
        self._seed = seed
        self._passing = {site.name: site.passing for site in self._needs}
        self._sketches: dict[str, Sketch] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._rungs = _GRAPH_RUNGS if graph_of(model) is not None else _CALL_RUNGS
        self._rung = self._rungs[0]
        self._function = self._build()
        self.refused: dict[str, str] = {}       # name of a layer that turned out not to be readable -> why

    @property
    def how(self) -> str:
        """How the layers are read, for the record: "graph" or "calls", then ", jit" or ", eager" where that is so."""
        return str(self._rung)

    def prepare(self, batch: Any) -> None:
        """Trace and compile for batches of this shape, on the first rung of the ladder that carries.

        Raises:
            WritesState: the model's code writes variables, so that looking at it would change the training.
            Exception: what the model itself raised on the last rung.
        """
        compiles = True
        for rung in self._rungs:
            if rung.jit and not compiles:
                continue
            self._rung, self._function = rung, None
            self._function = self._build()
            try:
                self._refuse_other_rows(self._call(batch)[0], len(keras.tree.flatten(batch)[0]))
                return
            except WritesState:
                raise
            except tf.errors.OpError:           # the compiler's, not Python's: the same code would fail again
                compiles = False
            except Exception:
                if rung is self._rungs[-1]:
                    raise
        raise RuntimeError("the model cannot be run")

    def read(self, batches: Iterable[tuple[Any, int]]) -> Reading:
        """The reductions over all samples.

        Arguments:
            batches: pairs of a batch, always of one shape, and the number of its rows that count.
        """
        parts: dict[str, dict[str, Fold]] = {site.name: {} for site in self._needs if site.name not in self.refused}
        outputs: list[_Rows] = []
        for batch, count in batches:
            reduced, scores = self._call(batch)
            for name in parts:
                for reduction, values in reduced[name].items():
                    if reduction not in parts[name]:
                        parts[name][reduction] = self._fold(name, reduction)
                    parts[name][reduction].add(np.asarray(values)[:count])
            outputs = outputs or [_Rows("", self._samples) for _ in scores]
            for collected, values in zip(outputs, scores, strict=True):
                collected.add(np.asarray(values)[:count])
        return Reading(
            {name: {key: rows for fold in part.values() for key, rows in fold.result().items()} for name, part in parts.items()},
            [rows.result()[""] for rows in outputs],
        )

    def info(self, site: Site) -> LayerInfo:
        """The description of a site for the log.  Known once `prepare` has run, of sites that are not refused."""
        shape = self._shapes[site.name]
        sketch = self._sketches[site.name]
        notes = []
        if site.calls > 1:
            notes.append(f"called {site.calls} times; the first call is shown")
        if site.tensors > 1:
            notes.append(f"it gives {site.tensors} tensors; the first is shown")
        if site.elsewhere:
            notes.append(f"its own output is shown, before {site.elsewhere!r}: the layer of that is called elsewhere first")
        if site.inside and site.tapped is site.layer and site.activation == "linear":
            notes.append("no graph tells what follows it: its own output is shown, before any activation that the model applies")
        return LayerInfo(
            name=site.name,
            type=type(site.layer).__name__,
            shape=shape,
            filters=shape[-1],
            tapped=site.name if site.tapped is site.layer else "/".join((*site.path, site.tapped.name)),
            activation=site.activation,
            parameters=int(site.layer.count_params()) if site.layer.built else 0,
            features=sketch.features,
            sketch=sketch.size,
            path=site.path,
            note="; ".join(notes),
        )

    def _fold(self, name: str, reduction: str) -> Fold:
        return FOLDS[reduction](self._about(name)) if reduction in FOLDS else _Rows(reduction, self._samples)

    def _about(self, name: str) -> About:
        return About(self._sketches[name], self._samples, self._seed, self._passing[name])

    def _build(self) -> Any:
        if self._rung.eager:
            return self._trace
        # A partial of its own: TensorFlow counts how often one piece of code is traced, over all watches, and warns of it.
        # Without autograph, as in Keras' own trainer: converting the code would take most of the tracing's time.
        return tf.function(functools.partial(self._trace), jit_compile=self._rung.jit, autograph=False)

    def _call(self, batch: Any) -> Any:
        return self._function(keras.tree.map_structure(tf.convert_to_tensor, batch))

    def _refuse_other_rows(self, reduced: Mapping[str, Mapping[str, tf.Tensor]], samples: int) -> None:
        """Refuse layers that give one row per sample in no shape that tracing could see."""
        for name, by_reduction in reduced.items():
            rows = {len(values) for reduction, values in by_reduction.items() if reduction not in FOLDS}
            if rows - {samples}:
                self.refused[name] = f"it gives {min(rows)} rows for {samples} samples, so that no row is one sample's"

    def _trace(self, batch: Any) -> tuple[dict[str, dict[str, tf.Tensor]], list[tf.Tensor]]:
        model = self._model()
        if model is None:
            raise RuntimeError("the model is gone")
        self.refused = {}
        seen, rows = Seen(), rows_of(batch)
        results = run(model, batch, self._needs, seen, self._rung.way)
        reduced = {}
        for site in self._needs:
            reason = unreadable(site, seen, rows)
            if reason:
                self.refused[site.name] = reason
                continue
            entered, left = seen.entered.get(id(site.layer)), first_tensor(seen.left[id(site.tapped)])
            reduced[site.name] = self._reduce(site, entered, left)
        if not self._rung.eager:
            refuse_writes(tf.compat.v1.get_default_graph())
        return reduced, [_scores(output, rows) for output in keras.tree.flatten(results)]

    def _reduce(self, site: Site, entered: Any, values: tf.Tensor) -> dict[str, tf.Tensor]:
        values = filters_last(values, site.layer)
        shape = tuple(values.shape[1:])
        self._shapes[site.name] = shape
        sketch = self._sketches[site.name] = Sketch.of_length(int(np.prod(shape)), self._seed)
        about = self._about(site.name)
        wanted = set(self._needs[site])
        if not sketch.exact:                    # what the sketch's error is measured against
            wanted |= {name.replace("features", "neighbour_distance") for name in wanted & {"features", "sorted_features"}}
        sources = {"": values}
        if any(name.startswith("sorted_") for name in wanted):
            sources["sorted_"] = sorted_maps(values)
        if _readable_input(entered, values):
            sources["input_"] = filters_last(entered, site.layer)
        reduced = {}
        for name in sorted(wanted):
            prefix = next((prefix for prefix in ("sorted_", "input_") if name.startswith(prefix)), "")
            if prefix in sources:
                reduced[name] = getattr(reductions, name.removeprefix("sorted_"))(sources[prefix], about)
        return reduced


def _readable_input(entered: Any, left: tf.Tensor) -> bool:
    """Whether what entered a layer is numbers by channel, a row for each row that left.  Layers of several inputs have no one."""
    if entered is None or not entered.dtype.is_floating or not (entered.shape.rank or 0) > 1:
        return False
    fixed = entered.shape[1:].is_fully_defined() and entered.shape[1:].num_elements() > 0
    return bool(fixed and entered.shape[0] == left.shape[0])


def _scores(output: Any, rows: int | None) -> tf.Tensor:
    """An output of the model as numbers by sample; of one that has none, nothing for each sample."""
    numbers = isinstance(output, tf.Tensor) and (output.dtype.is_floating or output.dtype.is_integer or output.dtype.is_bool)
    if numbers and output.shape.rank and (None in (rows, output.shape[0]) or output.shape[0] == rows):
        return tf.cast(output, tf.float32)
    return tf.zeros((rows or 1, 0))

"""Criterion "taylor": by how much the loss would change, to first order, without a unit."""

from __future__ import annotations

import functools
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras.src.trainers.compile_utils import CompileLoss

from featwatch.errors import RefusedValue, first_line
from featwatch.predictions import loss_name, loss_of
from featwatch.prune.anatomy import Anatomy
from featwatch.prune.candidates import Candidates
from featwatch.prune.criteria.places import Place, places_of, unread
from featwatch.running import _counters_kept, refuse_writes, run
from featwatch.structures import mapped


def taylor(anatomy: Anatomy, candidates: Candidates, probe: Any) -> tuple[np.ndarray, list[str]]:
    """(candidates,) mean over the samples of |Σ activation · ∂loss/∂activation|, summed over positions.

    That is the derivative of the sample's loss by a gate that scales all that a group of units gives, wherever they are
    made, at 1 (Molchanov et al. 2019, "Importance Estimation for Neural Network Pruning", equation 8 with gates, of which
    they take the square).  In units of the loss: layers need not be made comparable.  The model's own loss is used, without
    regularisers, in inference.

    Raises:
        ValueError: the model is not compiled with a loss, the probe has no labels, or they do not fit the loss.
    """
    model = anatomy.model
    if getattr(model, "_compile_loss", None) is None:
        raise RefusedValue("criterion='taylor' needs the loss: compile the model first, model.compile(loss=…)")
    if probe.y is None:
        raise RefusedValue("criterion='taylor' needs labels: give probe=featwatch.Probe(x, y)")
    places, missing = places_of(anatomy, candidates)
    gates = _Gates(model, places, len(candidates))
    total, samples = np.zeros(len(candidates)), 0
    for batch, count in probe.batches():
        rows = np.minimum(np.arange(samples, samples + probe.batch_size), len(probe) - 1)
        labels = mapped(lambda array: np.asarray(array)[rows], probe.y)     # noqa: B023 - called at once
        total += np.abs(gates.derivatives(batch, labels)[:count]).sum(axis=0, dtype=np.float64)
        samples += count
    reached = np.zeros(len(candidates), bool)
    for place in places:
        if place.name not in gates.missing:
            reached[place.places[place.places >= 0]] = True
    return np.where(reached, total / max(samples, 1), np.nan), unread(missing + sorted(gates.missing))


class _Gates:
    """A gate for each candidate and sample, all at 1, and the derivatives of the loss by them."""

    def __init__(self, model: Any, places: list[Place], candidates: int) -> None:
        self._model, self._candidates = model, candidates
        self._by_operation: dict[int, list[Place]] = {}
        for place in places:
            self._by_operation.setdefault(id(place.site.tapped), []).append(place)
        self._loss: Any = None
        self.missing: set[str] = {place.name for place in places}
        self._function = tf.function(functools.partial(self._derivatives), autograph=False)

    def derivatives(self, batch: Any, labels: Any) -> np.ndarray:
        """(batch, candidates) float32."""
        tensors = keras.tree.map_structure(tf.convert_to_tensor, (batch, labels))
        try:
            return np.asarray(self._function(*tensors))
        except (ValueError, TypeError, KeyError, tf.errors.InvalidArgumentError) as error:
            raise RefusedValue(
                "criterion='taylor': the loss of the model cannot be computed of the probe's labels "
                f"({first_line(error)[:200]}); give the probe what fit is given"
            ) from error

    def _derivatives(self, batch: Any, labels: Any) -> tf.Tensor:
        rows = keras.tree.flatten(batch)[0].shape[0]
        gates = tf.ones((rows, self._candidates + 1))           # the last one: of units that stay
        calls: dict[int, int] = {}
        with tf.GradientTape() as tape, _counters_kept():
            tape.watch(gates)

            def calling(operation: Any, args: Any, kwargs: Any) -> Any:
                given = operation(*args, **kwargs)
                calls[id(operation)] = calls.get(id(operation), 0) + 1
                for place in self._by_operation.get(id(operation), ()):
                    if place.site.tapped is place.site.layer or calls[id(operation)] == 1:
                        given = self._gated(given, place, gates)
                return given

            outputs = run(self._model, batch, (), _ignore, "graph", calling=calling)
            refuse_writes(tf.compat.v1.get_default_graph())     # what the losses write is their own
            labels = _fitting(self._model, labels, outputs)
            if isinstance(outputs, (list, tuple)) and len(outputs) == 1 and tf.is_tensor(labels):
                outputs = outputs[0]
            loss = self._built_loss(labels, outputs)(labels, outputs)
        found = tape.gradient(loss, gates, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return found[:, :-1]

    def _gated(self, given: Any, place: Place, gates: tf.Tensor) -> Any:
        """What a layer gives, each unit times its gate; as it is, where that cannot be told apart."""
        flat = keras.tree.flatten(given)
        values = flat[0]
        first = getattr(place.site.layer, "data_format", None) == "channels_first" and values.shape.rank > 2
        axis = 1 if first else values.shape.rank - 1
        if values.shape[axis] != len(place.places) or values.shape[0] not in (None, gates.shape[0]):
            return given
        own = tf.gather(gates, np.where(place.places < 0, self._candidates, place.places), axis=1)
        shape = [gates.shape[0]] + [len(place.places) if at == axis else 1 for at in range(1, values.shape.rank)]
        self.missing.discard(place.name)
        flat[0] = values * tf.cast(tf.reshape(own, shape), values.dtype)
        return keras.tree.pack_sequence_as(given, flat)

    def _built_loss(self, labels: Any, outputs: Any) -> CompileLoss:
        """The model's loss, in an object of its own: the first call of the model's would change that."""
        if self._loss is None:
            source = self._model._compile_loss
            self._loss = CompileLoss(source._user_loss, source._user_loss_weights, output_names=source.output_names)
            with tf.init_scope():
                self._loss.build(*keras.tree.map_structure(_symbolic, (labels, outputs)))
        return self._loss


def _fitting(model: Any, labels: Any, outputs: Any) -> Any:
    """Class numbers, which a probe makes of one-hot labels, as one-hot rows again where one of Keras' losses takes those."""
    flat, given = keras.tree.flatten(labels), keras.tree.flatten(outputs)
    if len(flat) != len(given):
        return labels
    names = list(outputs) if isinstance(outputs, dict) else list(getattr(model, "output_names", [""] * len(given)))
    for index, (label, output) in enumerate(zip(flat, given, strict=True)):
        loss = loss_of(model, index, names[index] if index < len(names) else "")
        of_keras = isinstance(loss, str) or getattr(loss, "__module__", "").startswith("keras.")
        columns = output.shape[-1]
        numbers = label.dtype.is_integer and label.shape.rank == output.shape.rank - 1 and (columns or 0) > 1
        if of_keras and numbers and "sparse" not in loss_name(loss):
            flat[index] = tf.one_hot(label, columns, dtype=output.dtype)
    return keras.tree.pack_sequence_as(labels, flat)


def _symbolic(tensor: Any) -> Any:
    return keras.KerasTensor(tuple(tensor.shape), keras.backend.standardize_dtype(tensor.dtype))


def _ignore(operation: Any, args: Any, outputs: Any) -> None:
    """Nothing is to be told of calls."""

"""A new, smaller model: made of the same configuration with fewer units, with the weights that stay."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import keras
import numpy as np
from keras.src.models.functional import Functional, functional_like_constructor

from featwatch.graphs import graph_of, nodes_of
from featwatch.prune import following
from featwatch.prune.anatomy import Anatomy
from featwatch.prune.compiling import compiled_like
from featwatch.prune.copying import copied, state_carried
from featwatch.prune.units import gone
from featwatch.running import _counters_kept
from featwatch.streams import untouched_random_state


def rebuilt(
    anatomy: Anatomy, groups: Iterable[int], *, values: Iterable[tuple[Any, np.ndarray]] = (),
    skipped: Mapping[int, int] | None = None,
) -> Any:  # fmt: skip
    """A model of its own without the units of these groups; the given one is left as it is.

    What it gives is what the given one would, if these units gave 0 to all that reads them.  Names, structure of inputs and
    outputs, dtypes and what is trained are the same.  Where the given one is compiled, so is this, with a fresh optimiser.

    Arguments:
        values: what variables of the given model are to be before they are cut, (variable, array of its shape).
        skipped: by the identity of an operation, which of the tensors that it reads stands in the place of what it gives;
            what only served it is left out.

    Raises:
        ValueError: a layer cannot be made anew from its configuration, or would not be the same with as many units.
    """
    mistaken = anatomy.mistaken(groups := sorted(set(groups)))
    if mistaken:
        raise ValueError(
            f"{mistaken[0]!r} would have as many filters as columns, and Keras would add its bias along these: leave one more"
        )
    rebuilding = _Rebuilding(anatomy, groups, skipped or {})
    with untouched_random_state(), _counters_kept():
        new = rebuilding.model(anatomy.model)
        rebuilding.carry({id(variable): value for variable, value in values})
        compiled_like(new, anatomy.model)
    return new


class _Rebuilding:
    def __init__(self, anatomy: Anatomy, groups: Iterable[int], skipped: Mapping[int, int]) -> None:
        self._anatomy, self._skipped = anatomy, skipped
        self._groups = sorted(set(groups))
        self._staying: dict[int, np.ndarray] = {}       # by the identity of the array of numbers
        self._made: dict[int, tuple[Any, Any]] = {}     # by the identity of an operation: it, and what stands for it
        self._options = following.options(anatomy, self._groups)

    # -- structure ---------------------------------------------------------------------------------------------------

    def model(self, model: Any) -> Any:
        """The model of the same class, if that can be made of a graph, without the values of its weights."""
        graph = graph_of(model)
        inputs = keras.tree.map_structure(self._input, graph._inputs_struct)
        if isinstance(model, keras.Sequential):
            kind = type(model) if type(model).__init__ is keras.Sequential.__init__ else keras.Sequential
            entering = keras.tree.flatten(inputs)[0]._keras_history.operation
            new = kind([entering, *(self._of(layer) for layer in model.layers)], name=model.name)
        else:
            kind = type(model) if functional_like_constructor(type(model)) else Functional
            new = kind(inputs, self._outputs(graph, keras.tree.flatten(inputs)), name=model.name)
        if kind is not type(model):
            warnings.warn(
                f"the smaller model is a plain {kind.__name__}: {type(model).__name__} takes arguments of its own, so its "
                "methods, such as train_step, are not carried over",
                UserWarning, stacklevel=5,
            )  # fmt: skip
        new.dtype_policy = model.dtype_policy
        self._made[id(model)] = model, new
        return new

    def _outputs(self, graph: Any, entering: list[Any]) -> Any:
        tensors = dict(zip(map(id, keras.tree.flatten(graph.inputs)), entering, strict=True))
        for node in self._needed(graph):
            if id(node.operation) in self._skipped:
                given = [tensors[id(node.input_tensors[self._skipped[id(node.operation)]])]]
            else:
                args, kwargs = node.arguments.fill_in(tensors)
                args, kwargs = following.arguments(self._anatomy, node.operation, self._groups, args, kwargs)
                given = keras.tree.flatten(self._of(node.operation)(*args, **kwargs))
            tensors.update(zip(map(id, node.output_tensors), given, strict=True))
        return keras.tree.map_structure(lambda tensor: tensors[id(tensor)], graph._outputs_struct)

    def _needed(self, graph: Any) -> list[Any]:
        """The calls that the outputs depend on, in order, inputs left out."""
        wanted = {id(tensor) for tensor in keras.tree.flatten(graph.outputs)}
        needed = []
        for node in reversed(nodes_of(graph)):
            if node.is_input or not any(id(tensor) in wanted for tensor in node.output_tensors):
                continue
            only = self._skipped.get(id(node.operation))
            reads = node.input_tensors if only is None else [node.input_tensors[only]]
            wanted.update(map(id, reads))
            needed.append(node)
        return needed[::-1]

    def _input(self, tensor: Any) -> Any:
        label = self._anatomy.labels[id(tensor)]
        shape = list(tensor.shape)
        if label.axis and shape[label.axis] is not None:
            shape[label.axis] = len(self._kept(label.ids))
        layer = tensor._keras_history.operation
        new = type(layer).from_config({**layer.get_config(), "batch_shape": tuple(shape)})
        new._trainable = layer._trainable       # not in its configuration
        return new.output

    def _of(self, operation: Any) -> Any:
        """What stands for an operation, made when it is first asked for."""
        if id(operation) not in self._made:
            if isinstance(operation, keras.Layer) and graph_of(operation) is not None:
                return self.model(operation)
            if isinstance(operation, keras.layers.TimeDistributed) and graph_of(operation.layer) is not None:
                said = {name: value for name, value in operation.get_config().items() if name != "layer"}
                self._made[id(operation)] = operation, type(operation)(self._of(operation.layer), **said)
                return self._made[id(operation)][1]
            self._made[id(operation)] = operation, copied(operation, self._options)
        return self._made[id(operation)][1]

    # -- values ------------------------------------------------------------------------------------------------------

    def carry(self, values: Mapping[int, np.ndarray]) -> None:
        """Give every new layer the weights that stay, and the rest of its state."""
        carried: dict[int, Any] = {}
        apart = set()
        for old, new in self._made.values():
            if not isinstance(old, keras.Layer):
                continue
            if graph_of(old) is not None:
                new._trainable = old._trainable         # its setter would do the same to all that is within
                continue
            _build_activation(old, new)
            for variable, made in _pairs(old, new):
                if carried.setdefault(id(variable), made) is not made:
                    apart.add(variable.path)
                made.assign(self._cut(variable, values))
                if made.trainable != variable.trainable:
                    made.trainable = variable.trainable
            state_carried(old, new)
        if apart:
            warnings.warn(
                f"several layers share {', '.join(sorted(apart))}; in the smaller model each has its own, of the same value",
                UserWarning, stacklevel=4,
            )  # fmt: skip

    def _cut(self, variable: Any, values: Mapping[int, np.ndarray]) -> np.ndarray:
        value = values.get(id(variable))
        value = variable.numpy() if value is None else value
        sliced = self._anatomy.sliced.get(id(variable))
        for axis, ids in (sliced.axes if sliced is not None else {}).items():
            kept = self._kept(ids)
            if len(kept) != value.shape[axis]:
                value = np.take(value, kept, axis)
        return value

    def _kept(self, ids: np.ndarray) -> np.ndarray:
        found = self._staying.get(id(ids))
        if found is None:
            found = self._staying[id(ids)] = np.flatnonzero(~gone(self._anatomy.units.roots(ids), self._groups))
        return found


def _build_activation(old: Any, new: Any) -> None:
    """An activation that is a layer is built when it is first run: do so, where that of the given model has been."""
    activation = getattr(new, "activation", None)
    if isinstance(activation, keras.Layer) and old.activation.built and not activation.built:
        activation.build(new._inbound_nodes[0].output_tensors[0].shape)


def _pairs(old: Any, new: Any) -> list[tuple[Any, Any]]:
    """The variables of two layers of one kind, each beside its own."""
    if len(old.variables) != len(new.variables):
        raise ValueError(
            f"the layer {old.name!r} ({type(old).__name__}), made anew, has {len(new.variables)} variables instead of "
            f"{len(old.variables)}: make all of them in build()"
        )
    return list(zip(old.variables, new.variables, strict=True))

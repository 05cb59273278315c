"""A new, smaller model: made of the same configuration with fewer units, with the weights that stay."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras

from featwatch.graphs import graph_of
from featwatch.prune.anatomy import Anatomy


def rebuilt(anatomy: Anatomy, groups: Iterable[int]) -> Any:
    """A model of its own without the units of these groups; the given one is left as it is.

    What it gives is what the given one would, if these units gave 0 to all that reads them.
    """
    return _Rebuilding(anatomy, set(groups)).model(anatomy.model)


class _Rebuilding:
    def __init__(self, anatomy: Anatomy, groups: set[int]) -> None:
        self._anatomy, self._groups = anatomy, groups
        self._made: dict[int, Any] = {}                 # by the identity of what they stand for
        self._options: dict[int, dict[str, int]] = {}
        for sized in anatomy.sized:
            count = len(anatomy.kept(sized.ids, groups)) // sized.per
            self._options.setdefault(id(sized.layer), {})[sized.option] = count

    def model(self, model: Any) -> Any:
        graph = graph_of(model)
        inputs = keras.tree.map_structure(self._input, graph._inputs_struct)
        given = keras.tree.flatten(inputs)[0] if isinstance(model, keras.Sequential) else inputs
        new = keras.models.clone_model(model, clone_function=self._layer, input_tensors=given)
        for old, made in zip(model.variables, new.variables, strict=True):
            sliced = self._anatomy.sliced.get(id(old))
            value = old.numpy()
            made.assign(value if sliced is None else self._anatomy.without(sliced, value, self._groups))
        return new

    def _input(self, tensor: Any) -> Any:
        label = self._anatomy.labels[id(tensor)]
        shape = list(tensor.shape)
        if shape[label.axis] is not None and label.axis:
            shape[label.axis] = len(self._anatomy.kept(label.ids, self._groups))
        return keras.Input(batch_shape=shape, dtype=tensor.dtype, name=tensor._keras_history.operation.name)

    def _layer(self, layer: Any) -> Any:
        if id(layer) not in self._made:
            self._made[id(layer)] = self._copy(layer)
        return self._made[id(layer)]

    def _copy(self, layer: Any) -> Any:
        if isinstance(layer, keras.Layer) and graph_of(layer) is not None:
            return self.model(layer)
        configuration = {**layer.get_config(), **self._options.get(id(layer), {})}
        label = self._anatomy.reformed.get(id(layer))
        if label is not None:
            shape = list(label.shape)
            shape[label.axis] = len(self._anatomy.kept(label.ids, self._groups))
            configuration["target_shape"] = shape[1:]
        return type(layer).from_config(configuration)

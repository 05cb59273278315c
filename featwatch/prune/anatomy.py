"""What of a model goes together: units, and every variable, option and tensor that gets smaller when one goes.

The model's graph is run with labels in the place of tensors (DepGraph, Fang et al. 2023, does as much by tracing gradients).
Every operation has a rule in `prune.rules`; what no rule knows keeps all that it touches, and says why.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from featwatch.errors import first_line
from featwatch.graphs import graph_of, nodes_of
from featwatch.prune.labelled import Call, Labelled, Made, Rewritten, Sized, Sliced
from featwatch.prune.rules import refusal, rule_for
from featwatch.prune.rules.turning import turned
from featwatch.prune.rules.unknown import borrowed
from featwatch.prune.units import Units, gone

AN_INPUT = "it is an input of the model"
AN_OUTPUT = "it is an output of the model"
# Arguments of layers that say which steps count: no tensors of channels.
MASKS = ("mask", "query_mask", "value_mask", "key_mask", "attention_mask")


class Anatomy:
    """What of a functional or sequential model goes together.

    Raises:
        ValueError: the model is not built, or has no graph to follow.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.graph = _graph(model)
        self.units = Units()
        self.sliced: dict[int, Sliced] = {}             # by the identity of the variable
        self.made: dict[str, Made] = {}                 # by the layer's name below those of the models around it
        self.sized: list[Sized] = []
        self.reformed: dict[int, Labelled] = {}         # identity of what is given a target shape -> what it gives
        self.rewritten: dict[int, Rewritten] = {}       # by the identity of the operation, reformed ones included
        self.labels: dict[int, Labelled] = {}           # by the identity of the graph's tensor
        self.entered: list[np.ndarray] = []             # ids of the model's inputs
        self.names: dict[int, str] = {}                 # of layers, by their identity
        self.inexact: list[str] = []                    # what is not exact, where that was allowed
        self.first = any(getattr(each, "data_format", "") == "channels_first" for each in operations(self.graph))
        # Layers, their units, and how many of them must not be left: another operation would be made of it.
        self.never: list[tuple[str, np.ndarray, int]] = []
        self._held: dict[int, str] = {}                 # why variables keep their shapes, by their identity
        self._givers: dict[int, str] = {}               # who gives each tensor of the graph, by the tensor's identity
        self._looked_at: tuple[list[str], np.ndarray, np.ndarray] | None = None
        for left in self._run(self.graph, [self._entering(tensor) for tensor in keras.tree.flatten(self.graph.inputs)], ()):
            self.units.freeze(left.ids, AN_OUTPUT)

    # -- what rules call -------------------------------------------------------------------------------------------

    def apply(self, call: Call) -> list[Labelled]:
        """What leaves an operation, by the rule for its kind."""
        self.names[id(call.operation)] = call.name
        why = refusal(call)
        if why:
            return self.keep(call, why)
        call = turned(self, call)
        try:
            found = rule_for(call.operation)(self, call)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            # A form of an operation that its rule does not know: rather kept than pruned wrongly, or none of the model.
            return self.keep(call, f"{call.name!r} cannot be followed ({type(error).__name__}: {first_line(error)})")
        given = [found] if isinstance(found, Labelled) else list(found)
        for label, shape in zip(given, call.shapes, strict=True):
            if len(label.shape) != len(shape) or (label.axis and shape[label.axis] not in (None, len(label.ids))):
                return self.keep(call, f"what {call.name!r} makes of it is not known")
        return given

    def give(self, call: Call, count: int, option: str, **more: int) -> np.ndarray:
        """(count,) the units that a layer makes: new ones at its first call, the same ones at every other.

        Arguments:
            option: of the layer, that says how many there are.
            more: further options that follow, and how many units there are for each that they count.
        """
        known = self.made.get(call.name)
        if known is not None:
            return known.ids
        ids = self.units.fresh(count)
        self.note(call, ids)
        self.sized += [Sized(call.operation, name, ids, per) for name, per in {option: 1, **more}.items()]
        return ids

    def note(self, call: Call, ids: np.ndarray, mixes: bool = True) -> None:
        """A layer with weights gives these units; of several calls all have to give the same ones."""
        known = self.made.setdefault(call.name, Made(call.operation, call.name, ids, mixes))
        if known.ids is not ids:
            self.units.tie(known.ids, ids)

    def has(self, call: Call, variable: Any, axes: Mapping[int, np.ndarray]) -> None:
        """A variable has numbers for these units along these axes; negative ones count from the end."""
        entry = self.sliced.setdefault(id(variable), Sliced(variable, call.name))
        for axis, ids in axes.items():
            at = axis % len(variable.shape)
            if len(ids) != variable.shape[at]:
                raise ValueError(f"{variable.path} has {variable.shape[at]} along axis {at}, not {len(ids)}")
            known = entry.axes.setdefault(at, ids)
            if known is not ids:
                self.units.tie(known, ids)
            if id(variable) in self._held:
                self.units.freeze(ids, self._held[id(variable)])

    def hold(self, variables: Iterable[Any], why: str) -> None:
        """Variables keep their shapes, whatever other calls there are of what has them."""
        for variable in variables:
            self._held.setdefault(id(variable), why)
            if id(variable) in self.sliced:
                for ids in self.sliced[id(variable)].axes.values():
                    self.units.freeze(ids, why)

    def rewrite(self, rewritten: Rewritten) -> None:
        """An operation names channels; one that is called again with others keeps all that it names."""
        known = self.rewritten.setdefault(id(rewritten.operation), rewritten)
        if known is not rewritten:
            why = f"{self.names[id(rewritten.operation)]!r} is called several times, and names channels"
            for each in (known, rewritten):
                self.units.freeze(each.ids, why)

    def keep(self, call: Call, why: str) -> list[Labelled]:
        """What it gives, where nothing that it reads or gives may go, for this reason."""
        for read in call.reads:
            self.units.freeze(read.ids, why)
        given = [self._whole(shape) for shape in call.shapes]
        for each in given:
            self.units.freeze(each.ids, why)
        weights = [variable for variable in getattr(call.operation, "weights", ()) if len(variable.shape)]
        self.hold(weights, why)
        if weights and given and call.name not in self.made:
            self.note(call, given[0].ids, mixes=any(len(variable.shape) > 1 for variable in weights))
        return given

    # -- what is asked of it ----------------------------------------------------------------------------------------

    def groups(self, removed: Mapping[str, Iterable[int]]) -> set[int]:
        """The groups of these units of layers, by name."""
        return {
            int(root)
            for name, numbers in removed.items()
            for root in self.units.roots(self.made[name].ids[np.asarray(list(numbers), np.int64)])
        }

    def going(self, groups: Iterable[int]) -> dict[str, list[int]]:
        """All that goes with these groups: of each layer with weights the units, in the graph's order."""
        removed = list(groups)
        found = {name: np.flatnonzero(gone(self.units.roots(made.ids), removed)) for name, made in self.made.items()}
        return {name: units.tolist() for name, units in found.items() if len(units)}

    def kept(self, ids: np.ndarray, groups: Iterable[int]) -> np.ndarray:
        """The places among `ids` of those that stay when these groups go."""
        return np.flatnonzero(~gone(self.units.roots(ids), groups))

    def frozen(self) -> dict[str, str]:
        """Why layers that make units cannot lose a single one, by name."""
        found = {}
        for name, made in self.made.items():
            if len(made.ids) and self.units.frozen(made.ids).all():
                found[name] = self.units.why(int(made.ids[0]))
        return found

    def prunable(self) -> dict[int, dict[str, np.ndarray]]:
        """Every group that may go: of each layer with weights whose units belong to it the units, in the graph's order."""
        found: dict[int, dict[str, np.ndarray]] = {}
        for name, made in self.made.items():
            units = np.flatnonzero(~self.units.frozen(made.ids))
            roots = self.units.roots(made.ids)[units]
            order = np.argsort(roots, kind="stable")
            groups, starts = np.unique(roots[order], return_index=True)
            for group, members in zip(groups.tolist(), np.split(units[order], starts[1:]), strict=False):     # none: one, empty
                found.setdefault(group, {})[name] = members
        return found

    def emptied(self, groups: Iterable[int]) -> list[str]:
        """Names of layers and operations that would give, or read, a tensor without a single channel, were these groups to go."""
        if self._looked_at is None:
            tensors = [(self._givers.get(key, ""), label.ids) for key, label in self.labels.items() if len(label.ids)]
            tensors += [(name, made.ids) for name, made in self.made.items() if len(made.ids)]
            names, parts = [name for name, _ in tensors], [ids for _, ids in tensors]
            starts = np.cumsum([0, *(len(ids) for ids in parts[:-1])])
            self._looked_at = names, self.units.roots(np.concatenate(parts)), starts
        names, roots, starts = self._looked_at
        left = np.add.reduceat(~gone(roots, groups), starts)
        return list(dict.fromkeys(names[at] for at in np.flatnonzero(left == 0)))

    def mistaken(self, groups: Iterable[int]) -> list[str]:
        """Names of layers that would do something else with as many units as these groups leave: one more or less is fine.

        With the channels first, Keras takes a bias of as many numbers as there are columns for one of columns.
        """
        removed = np.fromiter(groups, np.int64)
        left = [(name, len(self.kept(ids, removed)), count) for name, ids, count in self.never]
        return [name for name, rest, count in left if rest == count]

    def without(self, sliced: Sliced, value: np.ndarray, groups: Iterable[int]) -> np.ndarray:
        """What is left of a variable's value when these groups go."""
        removed = list(groups)
        for axis, ids in sliced.axes.items():
            value = np.take(value, self.kept(ids, removed), axis)
        return value

    # -- the walk -----------------------------------------------------------------------------------------------------

    def _run(self, graph: Any, entering: Sequence[Labelled], path: tuple[str, ...]) -> list[Labelled]:
        """What leaves a graph; a nested model that is called again is tied to its first call."""
        inputs, outputs = keras.tree.flatten(graph.inputs), keras.tree.flatten(graph.outputs)
        again = id(inputs[0]) in self.labels
        for tensor, label in zip(inputs, entering, strict=True):
            self._givers[id(tensor)] = "/".join((*path, tensor._keras_history.operation.name))
            known = self.labels.setdefault(id(tensor), label.shaped(tensor.shape))
            if known.axis == label.axis and len(known.ids) == len(label.ids):
                self.units.tie(known.ids, label.ids)
            else:
                for each in (known, label):
                    self.units.freeze(each.ids, f"{'/'.join(path)!r} is called again with other axes")
        if not again:
            for node in nodes_of(graph):
                if not isinstance(node.operation, keras.layers.InputLayer):
                    self._step(node, path)
        return [self.labels[id(tensor)] for tensor in outputs]

    def _step(self, node: Any, path: tuple[str, ...]) -> None:
        operation = node.operation
        args, kwargs = node.arguments.fill_in(self.labels)
        heeded = {name: kwargs[name] for name in MASKS if isinstance(operation, keras.Layer) and name in kwargs}
        for mask in keras.tree.flatten(heeded):
            if isinstance(mask, Labelled):
                self.units.freeze(mask.ids, f"{operation.name!r} takes it for a mask")
        others = {name: value for name, value in kwargs.items() if name not in heeded}
        self.hold(borrowed(operation, args, kwargs), f"{operation.name!r} uses weights of its layer")
        reads = tuple(each for each in keras.tree.flatten((args, others)) if isinstance(each, Labelled))
        shapes = tuple(tuple(tensor.shape) for tensor in node.output_tensors)
        given = self.enter(Call(operation, "/".join((*path, operation.name)), reads, shapes, args, kwargs))
        for tensor, label, shape in zip(node.output_tensors, given, shapes, strict=True):
            self.labels[id(tensor)] = label.shaped(shape)
            self._givers[id(tensor)] = "/".join((*path, operation.name))

    def enter(self, call: Call) -> list[Labelled]:
        """What leaves an operation: a nested model is run with labels itself, anything else has a rule."""
        nested = graph_of(call.operation) if isinstance(call.operation, keras.Layer) else None
        if nested is None:
            return self.apply(call)
        self.names[id(call.operation)] = call.name
        return self._run(nested, call.reads, tuple(call.name.split("/")))

    def _entering(self, tensor: Any) -> Labelled:
        label = self._whole(tuple(tensor.shape))
        self.units.freeze(label.ids, AN_INPUT)
        self.entered.append(label.ids)
        return label

    def _whole(self, shape: Sequence[int | None]) -> Labelled:
        """A tensor of new units; one whose size is open has a single one."""
        axis = len(shape) - 1
        return Labelled(tuple(shape), axis, self.units.fresh((shape[axis] if axis else None) or 1))


def operations(graph: Any) -> Iterator[Any]:
    """All operations of a graph and of those nested in it, inputs left out."""
    for node in nodes_of(graph):
        if isinstance(node.operation, keras.layers.InputLayer):
            continue
        nested = graph_of(node.operation) if isinstance(node.operation, keras.Layer) else None
        if nested is not None:
            yield from operations(nested)
        yield node.operation


def _graph(model: Any) -> Any:
    if not isinstance(model, keras.Model):
        raise TypeError(f"model={model!r} is no keras.Model")
    graph = graph_of(model)
    if graph is None and not model.built:
        raise ValueError(
            f"the model {model.name!r} is not built: give it a keras.Input, call model.build(input_shape), or run it once"
        )
    if graph is None:
        raise ValueError(
            f"the model {model.name!r} is a subclassed one: no graph tells what reads its filters. Write it as a functional "
            "model, outputs = layers(keras.Input(shape)), keras.Model(inputs, outputs); weights can be carried over by name"
        )
    return graph

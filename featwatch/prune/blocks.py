"""Residual blocks removed whole: where a sum adds a branch to what it branched off from, that stands in its place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from featwatch.graphs import graph_of, nodes_of
from featwatch.prune.anatomy import Anatomy


@dataclass(frozen=True)
class Block:
    """A residual block: a sum of what enters it and of what a branch makes of that."""

    name: str                           # of the operation that adds, below those of the models around it
    skip: int                           # which of the tensors that are added is what entered
    layers: tuple[str, ...]             # of the branch, in order: what goes with it
    parameters: int                     # that these have
    change: float = -1.0                # of the model's outputs on a probe, relative, without the block; −1 = not measured


def removable_blocks(model: Any, probe: Any = None) -> list[Block]:
    """The residual blocks that can be taken out whole, in the graph's order.

    A block ends in a sum of two tensors of one shape, one of which (the skip) everything in the other (the branch) is made
    of; nothing in the branch is read, or shared, elsewhere.  What follows the sum, an activation for one, stays.

    Arguments:
        model: a functional model, or one with functional models in it.
        probe: a `Probe`, on which each block is left out in turn to see what that changes; it has to have 2 samples or more.

    Example:
        >>> net = keras.applications.ResNet50(weights=None, input_shape=(32, 32, 3), classes=10)
        >>> len(removable_blocks(net))
        12
    """
    anatomy = model if isinstance(model, Anatomy) else Anatomy(model)
    found = [block for block, _ in _blocks(anatomy)]
    if probe is None:
        return found
    return [Block(**{**vars(block), "change": change_without(anatomy, [block.name], probe)}) for block in found]


def without_blocks(model: Any, names: Iterable[str]) -> Any:
    """A new model in which these sums are replaced by what enters their blocks; the given one is left as it is.

    Arguments:
        names: `Block.name` of those that go.

    Raises:
        ValueError: a name is none of a block that can be removed.
    """
    from featwatch.prune.rebuild import rebuilt

    anatomy = model if isinstance(model, Anatomy) else Anatomy(model)
    return rebuilt(anatomy, (), skipped=_skipped(anatomy, names))


def change_without(model: Any, names: Iterable[str], probe: Any, samples: int = 128) -> float:
    """How far the outputs move when these blocks go: root mean square, relative to that of the outputs around their means.

    Nothing is built: the model is run twice on samples of the probe, evenly spread.
    """
    from featwatch.prune.compensation.measuring import apart
    from featwatch.prune.compensation.statistics import each_read, parts, taken

    anatomy = model if isinstance(model, Anatomy) else Anatomy(model)
    skipped = _skipped(anatomy, names)

    def skipping(operation: Any, args: Any, kwargs: Any) -> Any:
        place = skipped.get(id(operation))
        return operation(*args, **kwargs) if place is None else keras.tree.flatten((args, kwargs))[place]

    rows = taken(probe, samples)
    runs = []
    for calling in (None, skipping):
        outputs = each_read(anatomy.model, parts(probe.x, rows, min(probe.batch_size, 32)), {}, calling)
        runs.append([np.concatenate(each) for each in zip(*outputs, strict=True)])
    return apart(runs[1], runs[0])


def _skipped(anatomy: Anatomy, names: Iterable[str]) -> dict[int, int]:
    """By the identity of an operation that adds, which of the tensors that it reads takes its place."""
    every = {block.name: (block, operation) for block, operation in _blocks(anatomy)}
    wanted = [names] if isinstance(names, str) else list(names)
    for name in wanted:
        if name not in every:
            known = ", ".join(map(repr, list(every)[:8])) or "none"
            raise ValueError(f"names: {name!r} is no block of {anatomy.model.name!r} that can be removed; there are: {known}")
    return {id(every[name][1]): every[name][0].skip for name in wanted}


def _blocks(anatomy: Anatomy) -> Iterator[tuple[Block, Any]]:
    for graph, path in _graphs(anatomy.graph, ()):
        nodes = [node for node in nodes_of(graph) if not node.is_input]
        made = {id(tensor): node for node in nodes for tensor in node.output_tensors}
        readers: dict[int, list[Any]] = {}
        for node in nodes:
            for tensor in node.input_tensors:
                readers.setdefault(id(tensor), []).append(node)
        leaving = {id(tensor) for tensor in keras.tree.flatten(graph.outputs)}
        calls = [node.operation for node in nodes]
        for node in nodes:
            if type(node.operation).__name__ != "Add" or len(node.input_tensors) != 2 or calls.count(node.operation) != 1:
                continue
            for skip in (0, 1):
                branch = _branch(node, node.input_tensors[skip], node.input_tensors[1 - skip], made, readers, leaving, calls)
                if branch:
                    yield _block("/".join((*path, node.operation.name)), skip, branch), node.operation
                    break


def _block(name: str, skip: int, branch: Sequence[Any]) -> Block:
    layers = [node.operation for node in branch if isinstance(node.operation, keras.Layer)]
    count = sum(layer.count_params() for layer in layers if layer.built)
    return Block(name, skip, tuple(layer.name for layer in layers), count)


def _branch(
    end: Any, entered: Any, left: Any, made: dict[int, Any], readers: dict[int, list[Any]], leaving: set[int], calls: list[Any]
) -> list[Any]:
    """The calls of a branch in order, which makes `left` of `entered` alone and serves `end` alone; empty if it is none."""
    if tuple(entered.shape) != tuple(left.shape) or entered.dtype != left.dtype or entered is left:
        return []
    found: dict[int, Any] = {}
    todo = [left]
    while todo:
        tensor = todo.pop()
        if tensor is entered:
            continue
        node = made.get(id(tensor))
        if node is None:                # an input: what the branch reads beside what entered
            return []
        if id(node) not in found:
            found[id(node)] = node
            todo += node.input_tensors
    within = {*found, id(end)}
    for node in found.values():
        used = [id(reader) for tensor in node.output_tensors for reader in readers.get(id(tensor), [])]
        if not within.issuperset(used) or any(id(tensor) in leaving for tensor in node.output_tensors):
            return []
        if calls.count(node.operation) != 1:
            return []
    order = list(found.values())[::-1]
    # What it reads has to be what entered: of constants alone there is no branch.
    return order if any(tensor is entered for node in order for tensor in node.input_tensors) else []


def _graphs(graph: Any, path: tuple[str, ...]) -> Iterator[tuple[Any, tuple[str, ...]]]:
    yield graph, path
    seen = set()
    for node in nodes_of(graph):
        nested = graph_of(node.operation) if isinstance(node.operation, keras.Layer) and not node.is_input else None
        if nested is not None and id(nested) not in seen:
            seen.add(id(nested))
            yield from _graphs(nested, (*path, node.operation.name))

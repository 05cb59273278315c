"""Reading a `tf.data.Dataset` without the training noticing, and the same samples every time.

Iterating a shuffled data set moves its seed generator on, so that the next epoch of training sees another
order; iterating a cached one fills its cache.  So the probe reads a private copy, made from the data set's
own serialised graph: what is captured (variables, tables, seed generators) is copied along with it.  From
the copy, what only orders, repeats or stores is taken out.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from featwatch.datachain import NotBuiltAnew, built_anew, chain_of, is_large, kind_of, seeds, variant
from featwatch.errors import in_words
from featwatch.structures import leaves

_REORDERS = ("ShuffleDataset", "ShuffleAndRepeatDataset")
_REPEATS_OR_STORES = ("RepeatDataset", "ShuffleAndRepeatDataset", "CacheDataset", "SnapshotDataset", "AssertCardinalityDataset")
_BATCHES = ("BatchDataset", "ParallelBatchDataset", "PaddedBatchDataset", "MapAndBatchDataset")
_UNBATCHES = ("UnbatchDataset",)
_READ_AT_ONCE = 64                  # samples


@dataclass(frozen=True)
class Copy:
    """A private copy of a data set, to be read once."""

    dataset: Any                    # of batches
    notes: tuple[str, ...] = ()     # how it differs from the original, in sentences

    def batches(self) -> Iterator[Any]:
        """Elements, as structures of NumPy arrays with an axis of samples."""
        try:
            yield from self.dataset.as_numpy_iterator()
        except Exception as error:
            if "Cannot batch tensors" in str(error) or "Cannot add tensor to the batch" in str(error):
                raise ValueError(f"x gives samples of different shapes ({in_words(error)}); resize or pad them to one") from None
            raise


def is_dataset(x: Any) -> bool:
    """Whether this is a `tf.data.Dataset`; TensorFlow is not imported to find out."""
    return any(kind.__module__.startswith("tensorflow.") and kind.__name__ == "DatasetV2" for kind in type(x).__mro__)


def private_copy(dataset: Any, *, limit: int, seed: int, in_order: bool) -> Copy:
    """A copy to read at most about `limit` samples from.

    Without its shuffles, so that the order is the source's own.  Where the source is larger than `limit`, or
    of unknown size, what comes first need not be typical, and its shuffles stay, with a seed of ours.

    Arguments:
        in_order: whether samples have to come in the source's own order, since something belongs to them by it.

    Raises:
        TypeError: elements that are not dense tensors.
    """
    _refuse_other_than_tensors(dataset.element_spec)
    chain = chain_of(dataset)
    batched = _looks_batched(dataset.element_spec, [kind_of(part) for part in chain])
    try:
        copy, shuffled = _copied(dataset, None)
    except Exception as error:      # of whatever kind: what cannot be serialised, or is larger than 2 GB
        return Copy(_batched(dataset, batched), _taken_as_it_is(chain, error))
    copy = _batched(copy, batched)
    if not shuffled:
        return Copy(copy)
    samples = int(copy.cardinality()) * (_batch_size(dataset, chain) if batched else _READ_AT_ONCE)
    if in_order or 0 <= samples <= limit:
        return Copy(copy, ("x is a shuffled data set; it was read without its shuffles, in its own order",))
    copy, _ = _copied(dataset, seed)
    note = f"x is a shuffled data set; it was read through its shuffles with seed {seed}: row numbers are places in that order"
    return Copy(_batched(copy, batched), (note,))


def _copied(dataset: Any, shuffle_seed: int | None) -> tuple[Any, bool]:
    """A copy without its shuffles, or with a seed for them, and whether there are any."""
    if is_large(dataset):
        with contextlib.suppress(NotBuiltAnew):
            shuffled = any(kind_of(part).startswith(_REORDERS) for part in chain_of(dataset))
            return built_anew(dataset, shuffle_seed), shuffled
    graph = _graph_of(dataset)
    bodies = [(graph.node, None), *((function.node_def, function) for function in graph.library.function)]
    shuffled = any(node.op.startswith(_REORDERS) for body, _ in bodies for node in body)
    for body, function in bodies:
        within = shuffle_seed is None or function is not None
        _without(body, function, _REPEATS_OR_STORES + (_REORDERS if within else ()))
        _in_determined_order(body)
    if shuffle_seed is not None:
        _shuffled_by(graph, shuffle_seed)
    return _dataset_of(graph, dataset.element_spec), shuffled


def _graph_of(dataset: Any) -> Any:
    import tensorflow as tf

    policy = tf.data.experimental.ExternalStatePolicy.IGNORE        # Python functions stay callable: the process is the same
    return tf.compat.v1.GraphDef.FromString(dataset._as_serialized_graph(external_state_policy=policy).numpy())


def _dataset_of(graph: Any, element_spec: Any) -> Any:
    import tensorflow as tf

    with tf.device("CPU"):
        return variant(tf.raw_ops.DatasetFromGraph(graph_def=graph.SerializeToString()), element_spec)


def _without(body: Any, function: Any, operations: tuple[str, ...]) -> None:
    """Take the data sets made by `operations` out of a graph: who reads one reads what it was made from."""
    # A repeated scalar is no data but a source of elements to come: of a counter, or of random pictures.
    endless = {node.name for node in body if node.op == "TensorDataset" and _are_scalars(node.attr["output_shapes"].list.shape)}
    instead = {
        node.name: node.input[0]
        for node in body
        if node.op.startswith(operations) and not (node.op == "RepeatDataset" and node.input[0].partition(":")[0] in endless)
    }

    def followed(name: str) -> str:
        while name.partition(":")[0] in instead:        # in functions "node:output:0", in graphs "node"
            name = instead[name.partition(":")[0]]
        return name

    for node in body:
        for place, name in enumerate(node.input):
            node.input[place] = followed(name)
    if function is not None:
        for result, name in function.ret.items():
            function.ret[result] = followed(name)


def _are_scalars(shapes: Any) -> bool:
    return all(not shape.dim and not shape.unknown_rank for shape in shapes)


def _in_determined_order(body: Any) -> None:
    for node in body:
        if "deterministic" in node.attr:
            node.attr["deterministic"].s = b"true"


def _shuffled_by(graph: Any, seed: int) -> None:
    """Replace every shuffle by one that has a seed of its own and no seed generator to share."""
    import tensorflow as tf

    for node in [node for node in graph.node if node.op.startswith("ShuffleDataset")]:
        names = []
        for what, value in seeds(seed).items():
            names.append(f"{node.name}/featwatch_{what}")
            constant = graph.node.add(name=names[-1], op="Const")
            constant.attr["dtype"].type = tf.int64.as_datatype_enum
            constant.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value, tf.int64, ()))
        inputs = [*node.input[:2], *names]
        attributes = {name: node.attr[name] for name in ("output_types", "output_shapes")}
        kept = tf.compat.v1.NodeDef(name=node.name, op="ShuffleDataset", input=inputs, attr=attributes)
        kept.attr["reshuffle_each_iteration"].b = False
        node.CopyFrom(kept)


def _looks_batched(element_spec: Any, kinds: list[str]) -> bool:
    """Whether an element is a batch.

    A scalar among its parts (a label) says no; an unknown first axis of all parts says yes.  Otherwise it is
    a batch if the data set was batched last.
    """
    shapes = [spec.shape for _, spec in leaves(element_spec)]
    if any(shape.rank == 0 for shape in shapes):
        return False
    first = {None if shape.rank is None else shape[0] for shape in shapes}
    said = [kind for kind in kinds if kind.startswith((*_BATCHES, *_UNBATCHES))]
    return first == {None} or bool(said) and said[-1].startswith(_BATCHES)


def _batched(dataset: Any, batched: bool) -> Any:
    return dataset if batched else dataset.batch(_READ_AT_ONCE)


def _batch_size(dataset: Any, chain: list[Any]) -> int:
    """Samples in an element, as far as can be told; where it cannot, more than any limit."""
    first = leaves(dataset.element_spec)[0][1].shape
    if first.rank and first[0] is not None:
        return int(first[0])
    sizes = [part._batch_size for part in chain if hasattr(part, "_batch_size")]
    return int(sizes[-1]) if sizes else 1 << 40


def _refuse_other_than_tensors(element_spec: Any) -> None:
    cures = {
        "RaggedTensor": "make them dense with to_tensor()",
        "SparseTensor": "make them dense with tf.sparse.to_dense",
        "NoneTensor": "leave them out of the elements",
    }
    for path, spec in leaves(element_spec):
        kind = type(spec).__name__.removesuffix("Spec")
        if kind != "Tensor":
            cure = cures.get(kind, "map them to dense tensors")
            raise TypeError(f"x gives {kind}s{' at ' + path if path else ''}; {cure} first: dataset.map(...)")


def _taken_as_it_is(chain: list[Any], error: Exception) -> tuple[str, ...]:
    if not any("Shuffle" in kind_of(part) or "Cache" in kind_of(part) for part in chain):
        return ()
    return (
        f"x could not be copied ({in_words(error)}) and was read as it is: a training on the same data set object sees "
        "another order than without the probe; make the probe from a data set without shuffle() and cache()",
    )

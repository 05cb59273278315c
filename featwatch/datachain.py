"""What a `tf.data.Dataset` is made of: its chain of transformations, and the same chain anew above large arrays.

A data set of arrays in memory holds them in its serialised graph, which can be no larger than 2 GB and is
copied several times over on the way.  A chain of the usual transformations is therefore built anew on top
of the very same source, which has no state.
"""

from __future__ import annotations

from typing import Any

LARGE = 1 << 26                     # bytes of arrays in memory: above this the graph is not serialised without need
_IN_MEMORY = ("TensorSliceDataset", "TensorDataset", "RangeDataset")
_ORDER_AND_STORE = ("RepeatDataset", "CacheDataset", "PrefetchDataset", "OptionsDataset", "ShuffleDataset")
_USUAL = (
    *_ORDER_AND_STORE, "BatchDataset", "ParallelBatchDataset", "TakeDataset", "SkipDataset", "ConcatenateDataset",
    "MapDataset", "ParallelMapDataset", "FilterDataset",
)  # fmt: skip


class NotBuiltAnew(Exception):
    """A transformation that is not among the usual ones, or that shares state with the training."""


def chain_of(dataset: Any) -> list[Any]:
    """The data set and everything that it is made from, sources first."""
    try:
        before = dataset._inputs()
    except (AttributeError, NotImplementedError):
        before = []
    return [*(part for one in before for part in chain_of(one)), dataset]


def kind_of(part: Any) -> str:
    """The name of a transformation's class, e.g. "ShuffleDataset"."""
    return type(part).__name__.lstrip("_")


def is_large(dataset: Any) -> bool:
    """Whether arrays in memory make its serialised graph large."""
    tensors = [tensor for part in chain_of(dataset) for tensor in getattr(part, "_tensors", ())]
    return sum(tensor.dtype.size * int(tensor.shape.num_elements() or 0) for tensor in tensors) > LARGE


def built_anew(dataset: Any, shuffle_seed: int | None) -> Any:
    """The same data set without what repeats and stores, its shuffles left out or given the seed.

    Raises NotBuiltAnew.
    """
    import tensorflow as tf

    kind = kind_of(dataset)
    if kind in _IN_MEMORY:
        return dataset
    if kind == "ZipDataset":
        return tf.data.Dataset.zip(tf.nest.map_structure(lambda one: built_anew(one, shuffle_seed), dataset._datasets))
    if kind not in _USUAL or kind == "RepeatDataset" and kind_of(dataset._inputs()[0]) == "TensorDataset":
        raise NotBuiltAnew(kind)
    source, *others = (built_anew(one, shuffle_seed) for one in dataset._inputs())
    if kind == "ShuffleDataset" and shuffle_seed is not None:
        shuffled = tf.raw_ops.ShuffleDataset(       # unlike shuffle(), it does not mix in TensorFlow's global seed
            input_dataset=source._variant_tensor, buffer_size=dataset._buffer_size, **seeds(shuffle_seed),
            reshuffle_each_iteration=False, **dataset._flat_structure,
        )  # fmt: skip
        return variant(shuffled, dataset.element_spec)
    if kind in _ORDER_AND_STORE:
        return source
    if kind in ("BatchDataset", "ParallelBatchDataset"):
        return source.batch(dataset._batch_size, drop_remainder=dataset._drop_remainder)
    if kind in ("TakeDataset", "SkipDataset"):
        return (source.take if kind == "TakeDataset" else source.skip)(dataset._count)
    if kind == "ConcatenateDataset":
        return source.concatenate(*others)
    if kind in ("MapDataset", "ParallelMapDataset"):
        return _of(tf.raw_ops.MapDataset, dataset, source, f=_stateless(dataset._map_func))
    return _of(tf.raw_ops.FilterDataset, dataset, source, predicate=_stateless(dataset._predicate))


def seeds(shuffle_seed: int) -> dict[str, int]:
    """The two seeds of a shuffle: (0, 0) would mean another order every time."""
    return {"seed": shuffle_seed % (1 << 62), "seed2": 1}


def variant(tensor: Any, element_spec: Any) -> Any:
    """The data set that an operation of TensorFlow's gave as a tensor."""
    from tensorflow.python.data.ops.dataset_ops import _VariantDataset

    return _VariantDataset(tensor, element_spec)


def _of(operation: Any, dataset: Any, source: Any, **function: Any) -> Any:
    captured = next(iter(function.values())).captured_inputs
    made = operation(input_dataset=source._variant_tensor, other_arguments=captured, **function, **dataset._flat_structure)
    return variant(made, dataset.element_spec)


def _stateless(wrapper: Any) -> Any:
    """The function of a transformation.  Raises NotBuiltAnew where it shares variables or tables with the training."""
    import tensorflow as tf

    function = wrapper.function
    if any(tensor.dtype == tf.resource for tensor in function.captured_inputs):
        raise NotBuiltAnew("a function that uses variables")
    return function

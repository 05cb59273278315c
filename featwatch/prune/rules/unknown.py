"""What no rule is known for: an operation without weights is asked itself; else all that it touches stays.

Asked means: on random inputs, f(x[…, k], y[…, k]) has to be f(x, y)[…, k] for several choices k of the channels, and likewise
for some of the samples; and a layer made anew for fewer channels has to give what this one does.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras.src.backend.common import global_state
from keras.src.random.seed_generator import GLOBAL_SEED_GENERATOR

from featwatch.prune.copying import copied
from featwatch.prune.labelled import Call, Labelled
from featwatch.running import _counters_kept
from featwatch.streams import untouched_random_state

_OPEN = 6               # how long an axis is taken to be whose length is open
_SAMPLES = 3


def unknown(anatomy: Any, call: Call) -> Labelled | list[Labelled]:
    """The same channels, where the operation says so itself; else everything that it reads and gives stays."""
    operation, kind = call.operation, type(call.operation).__name__
    what = f"{call.name!r} ({kind})" if call.name.split("/")[-1] != kind else repr(call.name)
    if not call.reads:
        return anatomy.keep(call, f"{what} reads nothing")
    if getattr(operation, "variables", None):
        return anatomy.keep(call, f"what {what} makes of it, with weights or a state of its own, is not known")
    if len(call.shapes) == 1 and len({(read.axis, len(read.ids)) for read in call.reads}) == 1 and len(call.read.ids) > 1:
        for axis in _places(call):
            given = call.read.shaped(call.shape, axis)
            if channelwise(operation, call.reads, call.args, call.kwargs, given):
                for read in call.reads[1:]:
                    anatomy.units.tie(call.read.ids, read.ids)
                return given
    return anatomy.keep(call, f"what {what} makes of it is not known, or mixes channels or samples")


def borrowed(operation: Any, args: Any, kwargs: Any) -> list[Any]:
    """Variables that an operation uses without having them: arguments, and what a `Lambda`'s function closes over."""
    found = [each for each in keras.tree.flatten((args, kwargs)) if isinstance(each, (keras.Variable, keras.Layer))]
    function = operation.function if isinstance(operation, keras.layers.Lambda) else None
    if inspect.isfunction(function):
        near = inspect.getclosurevars(function)
        found += [each for each in keras.tree.flatten([*near.nonlocals.values(), *near.globals.values()])
                  if isinstance(each, (keras.Variable, keras.Layer))]
    return [variable for each in found for variable in ([each] if isinstance(each, keras.Variable) else each.variables)]


def channelwise(
    function: Callable[..., Any], reads: Sequence[Labelled], args: tuple[Any, ...], kwargs: dict[str, Any], given: Labelled
) -> bool:
    """Whether a function makes each channel of what it gives of the same channel of all that it reads, and always the same.

    Arguments:
        reads: the tensors among `args` and `kwargs`, all with as many channels.
        given: what it would give, were that so.
    """
    if "training" in kwargs or _trains(function):
        return False
    count = len(reads[0].ids)
    with untouched_random_state(), _keras_seeds_untouched(), _as_it_was(function):
        try:
            return all(_agrees(function, reads, args, kwargs, given.axis, values, count) for values in _inputs(reads))
        except Exception:               # whatever it is that the function does not take
            return False


def _agrees(
    function: Callable[..., Any], reads: Sequence[Labelled], args: Any, kwargs: Any, axis: int, values: dict[int, np.ndarray],
    count: int,
) -> bool:  # fmt: skip
    def asked(channels: np.ndarray, samples: Any = slice(None), of: Any = function) -> np.ndarray:
        def filled(each: Any) -> Any:
            if not isinstance(each, Labelled):
                return each
            return keras.ops.convert_to_tensor(np.take(values[id(each)][samples], channels, each.axis))

        given = keras.tree.map_structure(filled, (args, kwargs))
        return np.asarray(keras.ops.convert_to_numpy(of(*given[0], **given[1])))

    every = np.arange(count)
    whole = asked(every)
    if whole.shape[axis] != count or not np.array_equal(whole, asked(every), equal_nan=True):
        return False                    # random, or counting its calls
    rng = np.random.default_rng(count)
    half = np.sort(rng.choice(every, max(1, count // 2), replace=False))
    for channels in (every[1:], every[:-1], every[:1], every[-1:], half):
        if not _alike(asked(channels), np.take(whole, channels, axis)):
            return False
    if len(whole) == _SAMPLES and not all(_alike(asked(every, some), whole[some]) for some in (slice(1), slice(1, None))):
        return False
    anew = _made_anew(function)
    return anew is None or _alike(asked(half, of=anew), np.take(whole, half, axis))


def _alike(found: np.ndarray, expected: np.ndarray) -> bool:
    return found.shape == expected.shape and bool(np.allclose(found, expected, rtol=1e-4, atol=1e-5, equal_nan=True))


def _made_anew(function: Any) -> Any:
    """The layer as a smaller model would have it, built for what it will read: it may count channels then.

    None where it is no layer, or cannot be made anew: then no smaller model of its own can be either, which says so.
    """
    if not isinstance(function, keras.Layer) or isinstance(function, keras.layers.Lambda):
        return None
    with _counters_kept():
        try:
            return copied(function, {})
        except ValueError:
            return None


def _inputs(reads: Sequence[Labelled]) -> Iterator[dict[int, np.ndarray]]:
    """Random values for tensors, by their identity: small ones of both signs, large ones, positive ones with zeros."""
    for seed, scale, low in ((0, 1.0, -np.inf), (1, 30.0, -np.inf), (2, 1.0, 0.0)):
        rng = np.random.default_rng(seed)
        yield {
            id(read): np.maximum(
                rng.normal(0, scale, [_SAMPLES, *(len(read.ids) if at == read.axis else size or _OPEN
                                                   for at, size in enumerate(read.shape) if at)]), low
            ).astype(np.float32)
            for read in reads
        }  # fmt: skip


@contextmanager
def _keras_seeds_untouched() -> Iterator[None]:
    """Keras' own global generator, which its random operations draw from, is afterwards where it was."""
    known = global_state.get_global_attribute(GLOBAL_SEED_GENERATOR)
    before = None if known is None else known.state.numpy()
    try:
        yield
    finally:
        if known is not None:
            known.state.assign(before)
        elif global_state.get_global_attribute(GLOBAL_SEED_GENERATOR) is not None:
            global_state.set_global_attribute(GLOBAL_SEED_GENERATOR, None)


@contextmanager
def _as_it_was(function: Any) -> Iterator[None]:
    """A layer has the attributes that it had, and no losses of having been asked."""
    held = vars(function) if isinstance(function, keras.Operation) else {}
    before, losses = dict(held), list(getattr(function, "_losses", ()))
    try:
        yield
    finally:
        for name in set(held) - set(before):
            del held[name]
        held.update(before)
        if len(getattr(function, "_losses", ())) != len(losses):
            function._losses[:] = losses


def _places(call: Call) -> list[int]:
    """The axes of what is given that could be that of the channels: where it was first, then any that is as long."""
    count, read = len(call.read.ids), call.read
    found = [axis for axis in range(1, len(call.shape)) if call.shape[axis] == count]
    liked = (read.axis, read.axis + len(call.shape) - len(read.shape))
    return sorted(found, key=lambda axis: (axis not in liked, axis))


def _trains(function: Any) -> bool:
    """Whether what it does may depend on whether the model is being trained."""
    if isinstance(function, keras.layers.Lambda):
        return bool(function._fn_expects_training_arg or function._fn_expects_mask_arg)
    called = function.call if isinstance(function, keras.Operation) else function
    try:
        return "training" in inspect.signature(called).parameters
    except (TypeError, ValueError):
        return True

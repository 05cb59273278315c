"""Second moments of the channels that layers read, over samples, as their weights meet them."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import keras
import numpy as np

from featwatch.probe import Probe
from featwatch.prune.compensation.consumers import Consumer
from featwatch.running import Calling, run
from featwatch.streams import untouched_random_state
from featwatch.structures import mapped

_ROWS = 8192                    # of what is read, that are multiplied at once in double precision


class Moments:
    """Sums of products of the channels that a layer reads, and of a constant 1, for each of its groups.

    Positions count as often as weights meet them; zeros around the input are met, too: there only the constant is not 0.

    products: (groups, channels + 1, channels + 1) float64, the constant last.
    zeros: (groups, channels) whether a channel is 0 anywhere.
    positions, used: how many there were, and how many of these were taken, at random.
    """

    def __init__(self, consumer: Consumer, limit: int) -> None:
        size = len(consumer.ids) + 1
        self.products = np.zeros((consumer.groups, size, size))
        self.zeros = np.zeros((consumer.groups, size - 1), bool)
        self._low = np.full(self.zeros.shape, np.inf)           # of what is not 0
        self._high = np.full(self.zeros.shape, -np.inf)
        self._first: np.ndarray | None = None                   # sample, by which it is seen whether others differ
        self._moving = np.zeros(self.zeros.shape)
        self.positions = self.used = 0
        self._consumer, self._limit = consumer, limit

    def add(self, value: np.ndarray, rng: np.random.Generator) -> None:
        """Count a batch of what the layer reads, (batch, …, groups · channels); of its positions `limit` at most."""
        counts, outside = self._consumer.times_read(value.shape)
        self._span(value.reshape(len(value), -1, *self.zeros.shape))
        rows = value.reshape(-1, *self.zeros.shape)
        times = np.broadcast_to(counts, value.shape[:-1]).reshape(-1)
        self.positions += len(rows)
        if len(rows) > self._limit:
            taken = np.sort(rng.choice(len(rows), self._limit, replace=False))
            rows, times = rows[taken], times[taken] * (len(rows) / self._limit)
        self.used += len(rows)
        for start in range(0, len(rows), _ROWS):
            part, each = rows[start : start + _ROWS].astype(np.float64), np.sqrt(times[start : start + _ROWS])[:, None]
            for group, products in enumerate(self.products):
                whole = np.concatenate([part[:, group] * each, each], axis=1)
                products += whole.T @ whole     # of one array by itself: half the work
        self.products[:, -1, -1] += outside * len(value)

    def constant(self, group: int) -> np.ndarray:
        """(channels,) whether each channel is the same in all samples, and has one value where it is not 0, as in padding."""
        low, high = self._low[group], self._high[group]
        largest = np.maximum(np.abs(low), np.abs(high))
        with np.errstate(invalid="ignore"):
            return np.asarray((high >= low) & (high - low <= 1e-5 * largest) & (self._moving[group] <= 1e-5 * largest))

    def alike(self, group: int, channels: np.ndarray, one: int) -> np.ndarray:
        """Whether each of these channels is a multiple of that one."""
        products = self.products[group]
        size = np.diagonal(products)
        return np.asarray(products[channels, one] ** 2 >= (1 - 1e-9) * size[channels] * size[one])

    def _span(self, value: np.ndarray) -> None:
        self._first = value[0] if self._first is None else self._first
        self._moving = np.maximum(self._moving, np.abs(value - self._first).max(axis=(0, 1)))
        nothing = value == 0
        self.zeros |= nothing.any(axis=(0, 1))
        self._low = np.minimum(self._low, np.where(nothing, np.inf, value).min(axis=(0, 1)))
        self._high = np.maximum(self._high, np.where(nothing, -np.inf, value).max(axis=(0, 1)))


def each_read(
    model: Any, batches: Iterable[Any], wanted: Mapping[int, Callable[[Any], None]], called: Calling | None = None
) -> Iterator[list[np.ndarray]]:
    """Run a model on batches, in inference; gives its outputs, flat, and tells by an operation's identity what enters it.

    Arguments:
        called: calls operations, in the place of a plain call.
    """

    def calling(operation: Any, args: Any, kwargs: Any) -> Any:
        told = wanted.get(id(operation))
        if told is not None:
            told(keras.tree.flatten((args, kwargs))[0])
        return operation(*args, **kwargs) if called is None else called(operation, args, kwargs)

    for batch in batches:
        with untouched_random_state():
            outputs = run(model, batch, [], lambda *_: None, calling=calling)
        yield [np.asarray(each, np.float32) for each in keras.tree.flatten(outputs)]


def taken(probe: Any, samples: int) -> np.ndarray:
    """(…,) rows of a probe, so many at most, evenly spread.  Raises TypeError where it is no `Probe`."""
    if not isinstance(probe, Probe):
        raise TypeError(f"probe is a {type(probe).__name__}; make one with featwatch.Probe(x)")
    return np.unique(np.linspace(0, len(probe) - 1, min(len(probe), samples)).astype(int))


def parts(x: Any, rows: np.ndarray, size: int) -> Iterator[Any]:
    """Batches of these rows of samples, of this size at most."""
    for start in range(0, len(rows), size):
        chosen = rows[start : start + size]
        yield mapped(operator.itemgetter(chosen), x)

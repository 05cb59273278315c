"""What layers read, over samples, as their weights meet it: second moments of the channels, or rows where these are fewer."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import keras
import numpy as np

from featwatch.probe import Probe
from featwatch.prune.compensation.consumers import Consumer
from featwatch.prune.compensation.regression import Known, of_products, of_rows
from featwatch.running import Calling, State, run
from featwatch.streams import untouched_random_state
from featwatch.structures import mapped

_ROWS = 8192                    # of what is read, that are multiplied at once in double precision


class Rows:
    """Some of the positions that a layer reads, at random, and a constant 1, for each of its groups.

    Positions count as often as weights meet them; zeros around the input are met, too: there only the constant is not 0.

    positions, used: how many there were, and how many of these were taken.
    """

    def __init__(self, consumer: Consumer, limit: int) -> None:
        self._rows: list[tuple[np.ndarray, np.ndarray]] = []    # (rows, groups, channels) float32, and how often each counts
        self._zeros = 0.0                                       # how many zeros were met around the input
        self.positions = self.used = 0
        self._consumer, self._limit = consumer, limit

    def add(self, value: np.ndarray, rng: np.random.Generator) -> None:
        """Count a batch of what the layer reads, (batch, …, groups · channels); of its positions `limit` at most."""
        counts, outside = self._consumer.times_read(value.shape)
        rows = value.reshape(-1, self._consumer.groups, len(self._consumer.ids))
        times = np.broadcast_to(counts, value.shape[:-1]).reshape(-1)
        self.positions += len(rows)
        if len(rows) > self._limit:
            taken = np.sort(rng.choice(len(rows), self._limit, replace=False))
            rows, times = rows[taken], times[taken] * (len(rows) / self._limit)
        self.used += len(rows)
        self._zeros += outside * len(value)
        self._rows.append((rows, times))

    def of(self, group: int, kind: type[np.floating[Any]] = np.float32) -> np.ndarray:
        """(rows, channels + 1), each times the root of how often it counts; the constant last."""
        rows, times = (np.concatenate(each) for each in zip(*self._rows, strict=True))
        often = np.sqrt(times).astype(kind)[:, None]
        found = np.concatenate([rows[:, group].astype(kind) * often, often], axis=1)
        if not self._zeros:
            return found
        around = np.zeros((1, found.shape[1]), kind)
        around[0, -1] = np.sqrt(self._zeros)
        return np.concatenate([found, around])


class Moments(Rows):
    """Sums of products of what `Rows` would be, (groups, channels + 1, channels + 1) float64: `products`.

    It says which channels are constant, too: that, of all positions.

    Arguments:
        fewer: whether the rows themselves are kept, because they are fewer than the channels.

    zeros: (groups, channels) whether a channel is 0 anywhere; told of those that are constant where they are not 0.
    """

    def __init__(self, consumer: Consumer, limit: int, fewer: bool = False) -> None:
        super().__init__(consumer, limit)
        self._form = consumer.groups, len(consumer.ids)
        size = self._form[1] + 1
        self._fewer = fewer
        self.products = np.zeros((consumer.groups, 0, 0) if fewer else (consumer.groups, size, size))
        self.zeros = np.zeros(self._form, bool)
        self._open = np.ones(self._form, bool)                  # whether it may still be constant
        self._low = np.full(self._form, np.inf)                 # of what is not 0
        self._high = np.full(self._form, -np.inf)
        self._first: np.ndarray | None = None                   # sample, by which it is seen whether others differ
        self._moving = np.zeros(self._form)

    def add(self, value: np.ndarray, rng: np.random.Generator) -> None:
        """As of `Rows`."""
        spread = value.reshape(len(value), -1, *self._form)
        self._first = spread[0] if self._first is None else self._first
        # Few are constant, and of the others one sample tells it.
        for part in (spread[:1], spread[1:]):
            if len(part) and self._open.any():
                self._span(part, self._first)
        super().add(value, rng)
        if not self._fewer:
            for group, products in enumerate(self.products):
                whole = self.of(group, np.float64)
                for start in range(0, len(whole), _ROWS):
                    part = whole[start : start + _ROWS]
                    products += part.T @ part           # of one array by itself: half the work
            self._rows.clear()
            self._zeros = 0.0

    def known(self, group: int) -> Known:
        """What a regression has to know of it."""
        return of_rows(self.of(group, np.float64)) if self._fewer else of_products(self.products[group])

    def constant(self, group: int) -> np.ndarray:
        """(channels,) whether each channel is the same in all samples, and has one value where it is not 0, as in padding."""
        return self._constant()[group] & self._open[group]

    def alike(self, group: int, channels: np.ndarray, one: int) -> np.ndarray:
        """Whether each of these channels is a multiple of that one."""
        if self._fewer:
            rows = self.of(group, np.float64)
            size, across = np.square(rows).sum(axis=0), rows[:, channels].T @ rows[:, one]
        else:
            size, across = np.diagonal(self.products[group]), self.products[group][channels, one]
        return np.asarray(across**2 >= (1 - 1e-9) * size[channels] * size[one])

    def _constant(self) -> np.ndarray:
        largest = np.maximum(np.abs(self._low), np.abs(self._high))
        with np.errstate(invalid="ignore"):
            return np.asarray((self._high >= self._low) & (self._high - self._low <= 1e-5 * largest)
                              & (self._moving <= 1e-5 * largest))  # fmt: skip

    def _span(self, value: np.ndarray, first: np.ndarray) -> None:
        some = self._open
        value, first = value[..., some], first[..., some]
        self._moving[some] = np.maximum(self._moving[some], np.abs(value - first).max(axis=(0, 1)))
        nothing = value == 0
        self.zeros[some] |= nothing.any(axis=(0, 1))
        self._low[some] = np.minimum(self._low[some], np.where(nothing, np.inf, value).min(axis=(0, 1)))
        self._high[some] = np.maximum(self._high[some], np.where(nothing, -np.inf, value).max(axis=(0, 1)))
        # What has been 0 everywhere so far may still turn out to have one value.
        self._open &= self._constant() | (self._high < self._low)


def each_read(
    model: Any, batches: Iterable[Any], wanted: Mapping[int, Callable[[Any], None]], called: Calling | None = None,
    state: State = (),
) -> Iterator[list[np.ndarray]]:  # fmt: skip
    """Run a model on batches, in inference; gives its outputs, flat, and tells by an operation's identity what enters it.

    Arguments:
        called: calls operations, in the place of a plain call.
        state: values that some variables have meanwhile.
    """

    def calling(operation: Any, args: Any, kwargs: Any) -> Any:
        told = wanted.get(id(operation))
        if told is not None:
            told(keras.tree.flatten((args, kwargs))[0])
        return operation(*args, **kwargs) if called is None else called(operation, args, kwargs)

    for batch in batches:
        with untouched_random_state():
            outputs = run(model, batch, [], lambda *_: None, state=state, calling=calling)
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

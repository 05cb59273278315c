"""Gradients of filters with regard to pictures, many filters and pictures at once, in one traced function per layer."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from featwatch.explain.attribution.attribution import Asked, Work
from featwatch.explain.attribution.layer_functions import LayerFunctions, Maps
from featwatch.explain.attribution.rules import rectifiers_before
from featwatch.explain.attribution.unit_windows import agrees, windows_of
from featwatch.explain.forms import Unsuitable

_TOGETHER = 4                       # filters that share a forward pass, each with a backward pass of its own
_HALF_PRECISION_SCALE = 1024.0      # of what goes back, so that small gradients do not vanish in float16

# (flat map of one filter (pictures, units), index of its strongest unit (pictures,), share) -> what of it is differentiated.
Seed = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]


def strongest_unit(values: tf.Tensor, places: tf.Tensor, share: tf.Tensor) -> tf.Tensor:
    """The one unit; of equal ones the first."""
    return tf.one_hot(places, tf.shape(values)[1])


def all_units(values: tf.Tensor, places: tf.Tensor, share: tf.Tensor) -> tf.Tensor:
    """The sum over all units."""
    return tf.ones_like(values)


def acting_units(values: tf.Tensor, places: tf.Tensor, share: tf.Tensor) -> tf.Tensor:
    """The sum over the units of at least a share of the largest value, above zero."""
    largest = tf.reduce_max(values, axis=1, keepdims=True)
    return tf.cast((values > 0) & (values >= share * largest), tf.float32)


def acting_values(values: tf.Tensor, places: tf.Tensor, share: tf.Tensor) -> tf.Tensor:
    """The same, each weighed by its value, as a DeconvNet sends them back."""
    return values * acting_units(values, places, share)


@dataclass(frozen=True, eq=False)
class Gone:
    """What came back."""

    maps: np.ndarray                # (filters, pictures, height, width), or with channels at the end; float32
    work: Work
    infinite: int                   # how many maps hold a value that is not finite


def gone_back(
    about: Asked, seed: Seed, *, mode: str = "gradient", share: float = 1.0, magnitude: bool = False, windows: bool = False
) -> Gone:
    """The gradients of what `seed` says of each filter, at each picture.

    Arguments:
        mode: what ReLUs pass back: `featwatch.explain.attribution.rules`.
        magnitude: whether the largest absolute value over channels is kept, instead of all channels.
        windows: whether windows of the pictures may serve: only for `strongest_unit`.

    Raises Unsuitable where no gradient leads from the layer to the input.
    """
    functions, (count, images) = about.functions, about.values.shape[:2]
    height, width, channels = functions.subject.form.size
    maps = np.zeros((count, images, height, width) + (() if magnitude else (channels,)), np.float32)
    run = Run(about, seed, mode, share, magnitude)
    done = np.zeros((count, images), bool)
    work = Work()
    if windows:
        _by_windows(run, maps, done, work)
    at_once = functions.at_once(functions.size)
    together = _TOGETHER
    if not done.any():
        per_block = max(1, at_once // together)
        for first in range(0, count - count % together, together):
            for start in range(0, images, per_block):
                block = np.s_[first : first + together, start : start + per_block]
                maps[block], _ = run(about.pictures[block[1]], about.filters[block[0]], about.places[block][..., 0])
                work.add(len(about.pictures[block[1]]), functions.size, functions.size)
                done[block] = True
    filters, pictures = np.nonzero(~done)
    for start in range(0, len(filters), at_once):
        some = np.s_[start : start + at_once]
        chosen, shown = filters[some], pictures[some]
        found, _ = run(about.pictures[shown], about.filters[chosen][None], about.places[chosen, shown, 0][None])
        maps[chosen, shown] = found[0]
        work.add(len(chosen), functions.size, functions.size)
    infinite = ~np.isfinite(maps).all(axis=tuple(range(2, maps.ndim)))
    return Gone(maps, work, int(infinite.sum()))


class Run:
    """The traced function for some seed and mode, on whole pictures or on windows."""

    def __init__(
        self, about: Asked, seed: Seed, mode: str = "gradient", share: float = 1.0, magnitude: bool = False
    ) -> None:
        self.about, self.seed, self.mode, self.share, self.magnitude = about, seed, mode, share, magnitude

    def __call__(self, pictures: np.ndarray, filters: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Gradients, (filters, pictures, height, width, …), and values at `places`, (filters, pictures).

        Arguments:
            filters: (filters,), or (1, pictures) for one each.
            places: (filters, pictures) flat positions of the strongest units.
        """
        functions = self.about.functions
        each = filters.ndim == 2
        filters = filters if each else np.broadcast_to(filters[:, None], places.shape)
        size = pictures.shape[1:]
        specs = [
            tf.TensorSpec((None, *size), tf.float32), tf.TensorSpec((len(places), None), tf.int32),
            tf.TensorSpec((len(places), None), tf.int32), tf.TensorSpec((), tf.float32), tf.TensorSpec((), tf.float32),
        ]  # fmt: skip
        key = "backward", self.seed.__name__, self.magnitude, len(places), size
        scale = _HALF_PRECISION_SCALE if functions.precision == 1e-3 else 1.0
        body = functools.partial(_body, functions, self.mode, self.seed, self.magnitude)

        def gone(scale: float) -> tuple[np.ndarray, np.ndarray]:
            return functions.call(
                key, body, specs, (pictures, filters, places, self.share, scale), self.about.twin, self.mode
            )  # fmt: skip

        found, values = gone(scale)
        if scale != 1 and not np.isfinite(found).all():
            found, values = gone(1.0)
        return found, values

# No method: what is traced is kept, and what it is first called for, pictures among that, is not to be.
def _body(
    functions: LayerFunctions, mode: str, seed: Seed, magnitude: bool, maps: Maps, pictures: tf.Tensor, filters: tf.Tensor,
    places: tf.Tensor, share: tf.Tensor, scale: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:  # fmt: skip
    after = maps(pictures)
    count, units = int(after.shape[-1]), math.prod(after.shape[1:-1])
    flat = tf.reshape(after, (-1, units, count))
    functions.facts(("rules", mode), lambda: rectifiers_before(after))
    found, values = [], []
    for chosen, place in zip(tf.unstack(filters), tf.unstack(places), strict=True):
        one = tf.gather(flat, chosen, axis=2, batch_dims=1)
        upwards = seed(one, place, share)[:, :, None] * tf.one_hot(chosen, count)[:, None] * scale
        gradient = tf.gradients(after, pictures, tf.stop_gradient(tf.reshape(upwards, tf.shape(after))))[0]
        if gradient is None:
            raise Unsuitable("no gradient leads from the layer to the model's input")
        found.append((tf.reduce_max(tf.abs(gradient), axis=-1) if magnitude else gradient) / scale)
        values.append(tf.gather(one, place, axis=1, batch_dims=1))
    return tf.stack(found), tf.stack(values)


def _by_windows(run: Run, maps: np.ndarray, done: np.ndarray, work: Work) -> None:
    """Fill in what windows give, where they agree with the whole picture."""
    about = run.about
    functions = about.functions
    filters, pictures = (axis.ravel() for axis in np.indices(done.shape))
    windows = windows_of(functions, about.units.reshape(len(filters), -1))
    if windows is None or not windows.fit.any():
        return
    order = np.flatnonzero(windows.fit)
    at_once = functions.at_once(windows.size)
    height, width = windows.size
    for start in range(0, len(order), at_once):
        some = order[start : start + at_once]
        chosen, shown = filters[some], pictures[some]
        places = np.ravel_multi_index(tuple(windows.units[some].T), windows.map_size)
        found, values = run(windows.cut(about.pictures[shown], some), about.filters[chosen][None], places[None])
        same = agrees(values[0], about.values[chosen, shown, 0], functions.precision)
        for index in np.flatnonzero(same):
            top, left = windows.corners[some[index]]
            maps[chosen[index], shown[index], top : top + height, left : left + width] = found[0, index]
        done[chosen[same], shown[same]] = True
    work.add(len(order), windows.size, functions.size)


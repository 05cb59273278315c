"""`occlusion`: by how much a filter's response falls when a part of the image is covered (row S2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from featwatch.explain.attribution.attribution import Asked, Attribution, Work, asked, fields_of
from featwatch.explain.attribution.layer_functions import LayerFunctions, Maps
from featwatch.explain.attribution.unit_windows import UnitWindows, agrees, windows_of
from featwatch.explain.forms import Form


def occlusion(
    model: Any,
    layer: Any,
    filters: Any,
    images: Any,
    size: int = 11,
    stride: int = 1,
    *,
    neutral: Any = None,
    restrict: bool = True,
    twin: Any = None,
) -> Attribution:
    """By how much the response of each filter's strongest unit falls (positive) or rises (negative) as a patch covers the image.

    A square of the neutral value is moved over the image; a pixel's number is the mean over the squares that
    cover it.  Squares that do not touch the unit's receptive field change nothing and are left out, which changes
    no number.  Filters whose strongest units coincide share their passes; where the layer takes windows of the
    image as large as the receptive field, and that is less work, they are what is run.

    Arguments:
        model, layer, filters, images, twin: as of `saliency`.
        size: of the square in pixels; of a side of the image where that is shorter, 1 for a vector of features.
        stride: by how many pixels it is moved; the last one is flush with the edge.
        neutral: what covers: a number, or one per channel; None = the mean of `images` per channel, of a `Probe`'s
            over all of it, of a vector per feature.
        restrict: False = run all squares, for comparison.

    Returns: an `Attribution`; `maps` are (filters, images, height, width), in units of the response.

    Raises:
        ValueError: an argument is out of its range, or the layer cannot be looked at: the message says why.

    Example:
        >>> found = occlusion(net, "conv", [0], x[:2], size=3)
        >>> found.maps.shape
        (1, 2, 8, 8)

    Source: Zeiler and Fergus 2014, *Visualizing and Understanding Convolutional Networks*, section 4.2.
    """
    for argument, value in (("size", size), ("stride", stride)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
            raise ValueError(f"{argument}={value!r}: give a whole number of pixels, 1 or more")
    about = asked(model, layer, filters, images, twin)
    return occlusion_of(about, int(size), int(stride), covering_of(about, neutral), restrict=restrict)


def covering_of(about: Asked, neutral: Any) -> np.ndarray:
    """(1, 1 or width, channels) float32: the neutral value that is meant, None = the mean.  Raises ValueError."""
    if neutral is None:
        return neutral_of(about.functions.subject.form, about.pictures)
    channels = about.functions.subject.form.size[2]
    try:
        covering = np.broadcast_to(np.asarray(neutral, np.float32), (channels,)).reshape(1, 1, -1)
    except (TypeError, ValueError):
        raise ValueError(f"neutral={neutral!r}: give a number, or one for each of {channels} channels") from None
    if not np.isfinite(covering).all():
        raise ValueError(f"neutral={neutral!r}: give finite numbers")
    return covering


def neutral_of(form: Form, pictures: np.ndarray) -> np.ndarray:
    """(1, 1 or width, channels) float32: the mean of pictures per channel, of vectors per feature."""
    axes = (0, 1, 2) if form.has_neighbours else (0, 1)
    mean = pictures.mean(axis=axes, dtype=np.float64).astype(np.float32)
    return mean.reshape(1, -1, pictures.shape[-1])


def occlusion_of(about: Asked, size: int, stride: int, neutral: np.ndarray, *, restrict: bool = True) -> Attribution:
    """The same of what is already looked at; `neutral`: as `neutral_of` gives it."""
    functions = about.functions
    height, width = functions.size
    flat = not functions.subject.form.has_neighbours
    square = (1, 1) if flat else (min(size, height), min(size, width))
    rows, columns = (_steps(side, part, stride) for side, part in zip((height, width), square, strict=True))
    fields = fields_of(functions, about.places[..., 0])
    notes = ["a vector has no neighbours: one feature is covered at a time"] if flat and size > 1 else []
    if fields is None:
        notes.append("receptive fields are not known: every square was run")
    if fields is None or not restrict:
        fields = np.broadcast_to(np.array([0, height - 1, 0, width - 1]), (*about.values.shape[:2], 4))
    squares = _Squares(square, rows, columns, neutral)
    maps = np.zeros((*about.values.shape[:2], height, width), np.float32)
    work = Work()
    for image in range(len(about.pictures)):
        _of_image(about, image, fields[:, image], squares, maps[:, image], work, windows=restrict)
    return about.attribution(maps, work, notes=notes)


@dataclass(frozen=True, eq=False)
class _Squares:
    """The squares that cover: a grid of them."""

    size: tuple[int, int]
    rows: np.ndarray                # first rows
    columns: np.ndarray             # first columns
    neutral: np.ndarray

    def touching(self, box: np.ndarray) -> np.ndarray:
        """(rows, columns) bool: which touch the box lo0, hi0, lo1, hi1."""
        rows = (self.rows <= box[1]) & (self.rows + self.size[0] > box[0])
        columns = (self.columns <= box[3]) & (self.columns + self.size[1] > box[2])
        return rows[:, None] & columns[None]

    def corners(self, wanted: np.ndarray) -> np.ndarray:
        """(squares, 2): first row and column of those that are wanted, (rows, columns) bool."""
        row, column = np.nonzero(wanted)
        return np.stack([self.rows[row], self.columns[column]], axis=1)

    def spread(self, drops: np.ndarray, height: int, width: int) -> np.ndarray:
        """(…, height, width) float32: at each pixel the mean of drops, (…, rows, columns), over the squares that cover it."""
        tall = _covers(self.rows, self.size[0], height)
        wide = _covers(self.columns, self.size[1], width)
        covered = np.outer(tall.sum(axis=1), wide.sum(axis=1))
        summed = tall @ drops @ wide.T
        return np.divide(summed, covered, out=np.zeros(summed.shape), where=covered > 0).astype(np.float32)


def _of_image(
    about: Asked, image: int, fields: np.ndarray, squares: _Squares, maps: np.ndarray, work: Work, *, windows: bool
) -> None:
    """Fill in the maps, (filters, height, width), of one image."""
    functions = about.functions
    places, group = np.unique(about.places[:, image, 0], return_inverse=True)
    first = [int(np.flatnonzero(group == each)[0]) for each in range(len(places))]
    wanted = np.stack([squares.touching(fields[each]) for each in first])           # (units, rows, columns)
    drops = np.zeros((len(group), *wanted.shape[1:]))
    units = about.units[first, image].astype(np.int64)
    found = windows_of(functions, units) if windows else None
    left = np.ones(len(places), bool)
    # A pass over the whole picture serves all units: windows have to be less work for all of them together.
    in_all = int(wanted.any(axis=0).sum()) * np.prod(functions.size)
    if found is not None and (int(wanted.sum()) + len(places)) * np.prod(found.size) < in_all:
        for unit in range(len(places)):
            chosen = np.flatnonzero(group == unit)
            covered = _in_window(about, image, chosen, found, unit, squares.corners(wanted[unit]), squares)
            if covered is not None:
                work.add(1 + int(wanted[unit].sum()), found.size, functions.size)
                drops[chosen[:, None], *np.nonzero(wanted[unit])] = covered.T
                left[unit] = False
    chosen = np.flatnonzero(left[group])
    if len(chosen):
        union = wanted[left].any(axis=0)
        values = _covered(
            functions, about, about.pictures[image], squares.corners(np.asarray(union)), squares, about.filters[chosen],
            about.places[chosen, image, 0], functions.map_size,
        )  # fmt: skip
        work.add(len(values), functions.size, functions.size)
        falls = np.zeros((len(chosen), *union.shape))
        falls[:, union] = (about.values[chosen, image, 0] - values).T
        drops[chosen] = np.where(wanted[group[chosen]], falls, 0)
    maps[:] = squares.spread(drops, *functions.size)


def _in_window(
    about: Asked, image: int, chosen: np.ndarray, windows: UnitWindows, unit: int, corners: np.ndarray, squares: _Squares
) -> np.ndarray | None:
    """(squares, filters): drops of one unit's filters in its window; None where the window does not give the picture's value."""
    functions = about.functions
    if not windows.fit[unit]:
        return None
    picture = windows.cut(about.pictures[image][None], np.array([unit]))[0]
    beyond = np.array([[-squares.size[0], -squares.size[1]]])       # covers nothing
    places = np.full(len(chosen), np.ravel_multi_index(tuple(windows.units[unit]), windows.map_size))
    values = _covered(
        functions, about, picture, np.concatenate([beyond, corners - windows.corners[unit]]), squares, about.filters[chosen],
        places, windows.map_size,
    )  # fmt: skip
    if not agrees(values[0], about.values[chosen, image, 0], functions.precision).all():
        return None
    return values[0] - values[1:]


def _covered(
    functions: LayerFunctions, about: Asked, picture: np.ndarray, corners: np.ndarray, squares: _Squares, filters: np.ndarray,
    places: np.ndarray, map_size: tuple[int, ...],
) -> np.ndarray:  # fmt: skip
    """(squares, filters) float32: values of one unit for each filter, with the picture covered at each corner in turn."""
    height, width, channels = picture.shape
    every = places.astype(np.int64) * functions.filters + filters
    neutral = np.broadcast_to(squares.neutral, picture.shape)

    def body(maps: Maps, picture: tf.Tensor, corners: tf.Tensor, square: tf.Tensor, neutral: tf.Tensor, wanted: tf.Tensor) -> Any:
        rows = _within(height, corners[:, 0], square[0])
        columns = _within(width, corners[:, 1], square[1])
        after = maps(tf.where(rows[:, :, None, None] & columns[:, None, :, None], neutral, picture))
        return tf.gather(tf.reshape(after, (tf.shape(corners)[0], -1)), wanted, axis=1)

    specs = [
        tf.TensorSpec(picture.shape, tf.float32), tf.TensorSpec((None, 2), tf.int32), tf.TensorSpec((2,), tf.int32),
        tf.TensorSpec(picture.shape, tf.float32), tf.TensorSpec((None,), tf.int32),
    ]  # fmt: skip
    at_once = functions.at_once((height, width))
    parts = []
    for start in range(0, len(corners), at_once):
        arguments = picture, corners[start : start + at_once], squares.size, neutral, every
        parts.append(functions.call(("covered", picture.shape), body, specs, arguments, about.twin))
    return np.concatenate(parts)


def _within(count: int, first: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """(squares, count) bool: which rows or columns a square covers."""
    places = tf.range(count)[None]
    return (places >= first[:, None]) & (places < first[:, None] + size)


def _covers(first: np.ndarray, side: int, count: int) -> np.ndarray:
    """(count, squares) float64: 1 where a row or column is covered."""
    places = np.arange(count)[:, None]
    return ((places >= first) & (places < first + side)).astype(np.float64)


def _steps(side: int, square: int, stride: int) -> np.ndarray:
    """Where squares begin along a side; the last is flush with its end."""
    return np.unique(np.append(np.arange(0, side - square + 1, stride), side - square))

"""`relevance`: for each pixel what it adds to a filter's response, or takes from it (row S8)."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from featwatch.explain.attribution.attribution import Asked, Attribution, Work, asked
from featwatch.explain.attribution.backward import Run, Seed, all_units, strongest_unit
from featwatch.explain.attribution.layer_functions import Maps
from featwatch.explain.attribution.occlusion_maps import covering_of

_SEEDS: dict[str, Seed] = {"max": strongest_unit, "sum": all_units}
_TOGETHER = 4                       # filters that share their forward passes


def relevance(
    model: Any,
    layer: Any,
    filters: Any,
    images: Any,
    aggregate: str = "max",
    *,
    steps: int = 32,
    neutral: Any = None,
    twin: Any = None,
) -> Attribution:
    """What each pixel adds to filters' responses (positive) or takes from them, compared with a neutral image.

    Integrated gradients: the gradient, averaged over images on the straight way from the neutral one to the image,
    times the difference between the two, summed over channels.  The numbers of a map add up to the difference of
    the two responses; by how much they miss it is said where it is more than a hundredth.  A class is a filter of the last
    layer; the relevance for a whole layer, for the sum of its filters, is the sum over `maps`.

    Arguments:
        model, layer, filters, images, twin: as of `saliency`.
        aggregate: "max", the unit of each filter that acts most on the image, or "sum" over its units.
        steps: images on the way; 1 = the gradient halfway.
        neutral: the neutral image's value, as of `occlusion`.

    Returns: an `Attribution`; its `maps` are (filters, images, height, width), signed.

    Raises:
        ValueError: an argument is out of its range, or the layer has no gradient: the message says why.

    Example:
        >>> found = relevance(net, "scores", [2], x[:1], steps=64, neutral=0)
        >>> found.maps.shape
        (1, 1, 8, 8)

    Source: Sundararajan, Taly and Yan 2017, *Axiomatic Attribution for Deep Networks*.
    """
    if aggregate not in _SEEDS:
        raise ValueError(f"aggregate={aggregate!r}: expected " + " or ".join(map(repr, _SEEDS)))
    if isinstance(steps, bool) or not isinstance(steps, (int, np.integer)) or steps < 1:
        raise ValueError(f"steps={steps!r}: give a whole number, 1 or more")
    about = asked(model, layer, filters, images, twin)
    away = np.broadcast_to(covering_of(about, neutral), about.pictures.shape[1:]).astype(np.float32)
    run = Run(about, _SEEDS[aggregate])
    maps = np.zeros((*about.values.shape[:2], *about.functions.size), np.float32)
    work = Work()
    shares = ((np.arange(steps) + 0.5) / steps).astype(np.float32)      # the middles of as many parts of the way
    at_once = max(1, about.functions.at_once(about.functions.size) // _TOGETHER)
    for image, picture in enumerate(about.pictures):
        for together, first in _blocks(len(about.filters)):
            some = slice(first, first + together)
            for start in range(0, steps, at_once):
                part = shares[start : start + at_once, None, None, None]
                places = np.repeat(about.places[some, image, :1], len(part), axis=1)
                found, _ = run(away + part * (picture - away), about.filters[some], places)
                maps[some, image] += (found.sum(axis=1) * (picture - away)).sum(axis=-1) / steps
                work.add(len(part), about.functions.size, about.functions.size)
    return about.attribution(maps, work, notes=[_missed(about, run.seed, maps, away)])


def _blocks(count: int) -> list[tuple[int, int]]:
    """(how many, the first) of filters that share their passes; the rest go one by one."""
    full = count - count % _TOGETHER
    return [*((_TOGETHER, first) for first in range(0, full, _TOGETHER)), *((1, first) for first in range(full, count))]


def _missed(about: Asked, seed: Seed, maps: np.ndarray, away: np.ndarray) -> str:
    """What is said where the numbers of a map do not add up to the difference of the responses."""
    differences = _responses(about, seed, about.pictures) - _responses(about, seed, np.broadcast_to(away, about.pictures.shape))
    missed = np.abs(maps.sum(axis=(2, 3), dtype=np.float64) - differences)
    worst = float((missed / np.maximum(np.abs(differences), 1e-6 * np.abs(differences).max(initial=1e-6))).max(initial=0.0))
    return f"a map's numbers miss the difference of the responses by up to {worst:.1%}; more steps miss less" * (worst > 0.01)


def _responses(about: Asked, seed: Seed, pictures: np.ndarray) -> np.ndarray:
    """(filters, images): what is explained, at the units that act most on the images that are explained."""
    functions = about.functions

    def body(maps: Maps, pictures: tf.Tensor, filters: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
        after = maps(pictures)
        flat = tf.reshape(after, (tf.shape(after)[0], -1, after.shape[-1]))
        one = tf.gather(flat, filters, axis=2, batch_dims=1)
        return tf.reduce_sum(one * seed(one, places, tf.constant(1.0)), axis=1)

    numbers = tf.TensorSpec((None,), tf.int32)
    specs = [tf.TensorSpec((None, *pictures.shape[1:]), tf.float32), numbers, numbers]
    found = np.zeros(about.values.shape[:2])
    at_once = functions.at_once(functions.size)
    for row, chosen in enumerate(about.filters):
        for start in range(0, len(pictures), at_once):
            some = slice(start, start + at_once)
            arguments = pictures[some], np.full(len(pictures[some]), chosen), about.places[row, some, 0]
            found[row, some] = functions.call(("response", seed.__name__), body, specs, arguments, about.twin)
    return found

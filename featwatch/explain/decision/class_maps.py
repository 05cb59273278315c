"""`class_activation`: where a layer sees a class, and which filters decide that (row S6).

Own code, as the maps are wanted of a model while it trains: of subclassed, nested and half-precision models too, of
all layers in one pass, without a copy of the model, and traced once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from featwatch.explain.decision.decision import NEITHER, Decision, Kept, Led, Scores, taken
from featwatch.explain.decision.masked import MOST_MASKS, Masked
from featwatch.explain.fields.fields import site_of
from featwatch.explain.forms import Unsuitable
from featwatch.explain.kept import kept
from featwatch.explain.maps import picture, pooled
from featwatch.layers import Site
from featwatch.probe import Probe
from featwatch.records import ClassActivation
from featwatch.structures import leaves, mapped

METHODS = ("gradcam", "gradcam++", "layercam", "scorecam")


def class_activation(
    model: Any,
    layer: Any,
    images: Any,
    classes: Sequence[int] | int | None = None,
    method: str = "gradcam",
    *,
    output: int | str | None = None,
) -> ClassActivation:
    """Where in each image a layer sees a class, and which of its filters decide that.

    The maps are as large as the layer's; `.maps` has them as numbers, 0 and more.  The layer's values are those that
    leave its activation.  The scores are those before softmax or sigmoid, where these are the last that the model
    computes; of a single column that a sigmoid made, class 0 has the negative score.

    Arguments:
        model: a built model; it is not changed.
        layer: its name, or the layer itself; it needs positions.
        images: a `Probe`, or samples: an array, or a dict or tuple of arrays for a model of several inputs.
        classes: of every image, or one for all; None = the predicted ones.
        method: "gradcam": the filters' maps, each weighted with the mean gradient of the class's score over its
            positions, added, and cut off below 0 (Selvaraju et al. 2017, equations 1 and 2).
            "gradcam++": the weights are of the positive gradients, at each position by its share in the score's
            derivatives of higher order (Chattopadhay et al. 2018, equations 5 and 19, the score through an exponential;
            its factor, the same for a whole image, is left out).
            "layercam": each position by its own positive gradient (Jiang et al. 2021, equations 5 to 7).
            "scorecam": the weights are the class's probability when the image is shown through the filter's map alone,
            one forward pass for each filter and image (Wang et al. 2020, as in their code); of a layer with more than 128
            filters those 128 take part whose maps of the image vary most.
        output: which output holds the scores, by index or name; needed where there are several and the losses do not tell.

    Returns a record; its `weights` are those of Grad-CAM, whatever the method, and `influence` follows from them.

    Raises:
        ValueError: an argument is out of its range, or no map can be had: the message says why.

    Example:
        >>> found = class_activation(net, "conv", x[:2])
        >>> found.maps.shape, found.weights.shape
        ((2, 6, 6), (2, 4))
    """
    if method not in METHODS:
        raise ValueError(f"method={method!r}: expected " + " or ".join(map(repr, METHODS)))
    site = site_of(model, layer)
    samples = mapped(np.asarray, images.x if isinstance(images, Probe) else images)
    count = len(leaves(samples)[0][1])
    if not count:
        raise ValueError("images: there is none")
    wanted = _classes(classes, count)
    form = tuple((path, array.shape[1:], array.dtype.str) for path, array in leaves(samples))
    views = kept(
        model,
        ("class activation", id(site.layer), id(site.tapped), method, output, form),
        lambda: ClassViews(model, [site], method, output=output),
    )
    try:
        if site.name not in views.read(samples, wanted):
            raise Unsuitable(f"layer {site.name!r} has no class activation: {views.refused[site.name]}")
        return record_of(views.view(site.name), views.classes, np.arange(count), count, epoch=0, layer=site.name, method=method)
    finally:
        views.forget()


@dataclass(frozen=True, eq=False)
class View:
    """Where one layer sees the classes of some samples."""

    maps: np.ndarray                # (samples, rows, columns) float32, 0 and more
    weights: np.ndarray             # (samples, filters) float32, those of Grad-CAM
    means: np.ndarray               # (samples, filters) float32: the filters' mean values
    full_size: tuple[int, int]      # rows and columns before they were pooled
    note: str                       # what is particular about it


class ClassViews:
    """Where some layers of a model see classes: one forward and one backward pass for all of them, traced once.

    Arguments:
        cell: (rows, columns) of a layer's map -> how many positions on a side become one.
    """

    def __init__(
        self,
        model: Any,
        sites: Sequence[Site],
        method: str,
        *,
        output: int | str | None = None,
        cell: Callable[[tuple[int, int]], int] = lambda size: 1,
    ) -> None:
        self._cell = cell
        self._cams = {"gradcam": gradcam, "gradcam++": gradcam_plus_plus, "layercam": layercam}
        self._method = method
        self._decision = Decision(model, sites, self._kept(method), output)
        self._masked = Masked(model, self._decision) if method == "scorecam" else None
        self._samples: Any = None       # that were read last
        self._found: dict[str, Any] = {}
        self._shown: int | None = None
        self._distribution = False      # whether the scores that were seen are probabilities after all
        self.classes = np.zeros(0, np.int32)    # of the samples that were read last

    @property
    def scores(self) -> Scores:
        """What the class scores are; known after the first use."""
        assert self._decision.scores is not None
        return self._decision.scores

    @property
    def refused(self) -> dict[str, str]:
        """Layers that have no maps, and why."""
        return self._decision.refused

    def read(
        self, samples: Any, classes: np.ndarray, *, rows: np.ndarray | None = None, shown: int | None = None
    ) -> list[str]:
        """Read samples and their classes: gives the names of the layers that `view` then has, all but those in `refused`.

        Arguments:
            samples: arrays of the model's inputs, nested as it takes them.
            classes: one for each of the `rows`, −1 = the predicted one.
            rows: indices of the samples that are meant; None = all.
            shown: of how many of these, the first ones, the maps are wanted; None = of all.

        Raises Unsuitable where there are no class scores, or nothing can be traced: the message says why.
        """
        self._samples = samples if rows is None else taken(samples, rows)
        self._found, self.classes, scores = self._decision.read(self._samples, classes)
        self._shown = shown
        self._distribution = bool(
            self.scores.squashed == NEITHER and self.scores.columns > 1
            and (scores >= 0).all() and np.allclose(scores.sum(axis=1), 1, atol=1e-2)
        )  # fmt: skip
        return list(self._found)

    def view(self, name: str) -> View:
        """What was found of a layer.  With "scorecam" this is what takes time."""
        maps, weights, means = self._found[name]
        cams = maps[: self._shown]
        if self._masked is not None:
            cams = self._masked.cams(cams, self._samples, self.classes, self._distribution)
        size = (int(cams.shape[1]), int(cams.shape[2]))
        cell = self._cell(size)
        if cell > 1:
            cams = pooled(tf.constant(cams[..., None]), cell).numpy()[..., 0]
        return View(cams, weights, means, size, self._note(weights.shape[1], cell))

    def forget(self) -> None:
        """Let go of what was read."""
        self._samples, self._found = None, {}

    def _note(self, filters: int, cell: int) -> str:
        notes = []
        if self._distribution:
            notes.append("the scores are those after the softmax: what enters it cannot be had")
        if not self.scores.of_classes:
            notes.append(f"neither model nor loss say that the output {self.scores.name!r} holds classes: its columns are shown")
        if self._masked is not None and filters > MOST_MASKS:
            notes.append(f"of {filters} filters the {MOST_MASKS} whose maps vary most")
        if cell > 1:
            notes.append(f"each pixel is the mean over {cell} positions × {cell}")
        return "; ".join(notes)

    def _kept(self, method: str) -> Kept:
        def of_layer(led: Led) -> Any:
            if led.maps.shape.rank < 3:
                return "it has no positions"
            space = list(range(1, led.maps.shape.rank - 1))
            cam = picture(led.maps) if method == "scorecam" else picture(self._cams[method](led)[..., None])[..., 0]
            return cam, tf.reduce_mean(led.gradients, axis=space), tf.reduce_mean(led.maps, axis=space)

        return of_layer


def gradcam(led: Led) -> tf.Tensor:
    """(samples, …): ReLU of the filters' maps, weighted with their mean gradients."""
    space = list(range(1, led.maps.shape.rank - 1))
    return tf.nn.relu(tf.reduce_sum(tf.reduce_mean(led.gradients, axis=space, keepdims=True) * led.maps, axis=-1))


def gradcam_plus_plus(led: Led) -> tf.Tensor:
    """(samples, …): ReLU of the filters' maps, weighted with positive gradients by their share in higher derivatives."""
    space = list(range(1, led.maps.shape.rank - 1))
    total = tf.reduce_sum(led.maps, axis=space, keepdims=True)
    # g² / (2 g² + Σ A · g³), shortened by g²: 0 where there is no gradient, as its weight is 0 there anyway.
    shares = tf.math.divide_no_nan(tf.ones_like(led.maps), 2 + total * led.gradients)
    weights = tf.reduce_sum(shares * tf.nn.relu(led.gradients), axis=space, keepdims=True)
    return tf.nn.relu(tf.reduce_sum(weights * led.maps, axis=-1))


def layercam(led: Led) -> tf.Tensor:
    """(samples, …): ReLU of the filters' maps, each position weighted with its own positive gradient."""
    return tf.nn.relu(tf.reduce_sum(tf.nn.relu(led.gradients) * led.maps, axis=-1))


def influence_of(weights: np.ndarray, means: np.ndarray) -> np.ndarray:
    """(filters,) float32 of sum 1: how much each filter moves the scores, mean over samples of |weight · mean value|.

    Weight · mean value is, to first order, what the score would lose if the filter were silent, over the number of positions.
    All 0 where no filter moves them.

    >>> influence_of(np.array([[1.0, -3.0], [1.0, 1.0]]), np.array([[2.0, 1.0], [1.0, 0.0]])).tolist()
    [0.5, 0.5]
    """
    moved = np.abs(weights.astype(np.float64) * means).mean(axis=0)
    total = moved.sum()
    return (moved / total if total > 0 else np.zeros_like(moved)).astype(np.float32)


def record_of(
    view: View, classes: np.ndarray, samples: np.ndarray, shown: int, *, epoch: int, layer: str, method: str, note: str = ""
) -> ClassActivation:
    """The record of a layer: maps and weights of the first `shown` samples, the influence over all.

    Raises Unsuitable where something is not finite.
    """
    if not all(np.isfinite(values).all() for values in (view.maps, view.weights, view.means)):
        raise Unsuitable("activations or gradients are not finite (did the training diverge?)")
    largest = view.maps.max(axis=(1, 2), initial=0.0)
    scale = np.divide(255.0, largest.astype(np.float64), out=np.zeros(len(largest)), where=largest > 0)
    return ClassActivation(
        epoch=epoch,
        layer=layer,
        samples=samples[:shown].astype(np.int32),
        classes=classes[:shown].astype(np.int32),
        pixels=np.rint(view.maps * scale[:, None, None]).astype(np.uint8),
        largest=largest.astype(np.float32),
        weights=view.weights[:shown].astype(np.float32),
        influence=influence_of(view.weights, view.means),
        method=method,
        full_size=view.full_size,
        note="; ".join(filter(None, (view.note, note))),
    )


def _classes(classes: Any, count: int) -> np.ndarray:
    if classes is None:
        return np.full(count, -1, np.int32)
    given = np.asarray(classes)
    if given.dtype.kind not in "iu" or given.ndim > 1 or (given.ndim == 1 and len(given) != count) or given.min() < 0:
        raise ValueError(f"classes={classes!r}: give the number of a class, or {count} of them, one for each image")
    return np.broadcast_to(given, (count,)).astype(np.int32)
